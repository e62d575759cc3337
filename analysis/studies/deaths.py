"""In which points did workers die, and how often?

A point that fills a worker's memory dies with it, without a word, and so does one whose machine was preempted. Which of
the two it was nobody knows, so that deaths are counted: those in a row in which a training came no further than before.
The count is a file of the study, for the driver may be what dies.

How many are too many? Dask gives a task up at the fourth worker, Spark at the fourth attempt, Slurm holds a job after five
requeues, a Kubernetes Job fails after six retries. A point may take hours on machines that are preempted: if every second attempt of a
notebook meets a preemption, ten in a row are met once in a thousand notebooks, and four in sixteen.
"""

from collections.abc import Iterable
from pathlib import Path

from taujp_core.files import write_json

from .locks import is_taken
from .point import Point, key_of, lock_file, unfinished
from .records import read_object

DEATHS = 10  # in a row, after which a point is given up
SAVED = "state.safetensors"  # of a training, in its run's folder


def deaths_file(folder: Path, key: str) -> Path:
    return Path(folder) / "points" / f"{key}.deaths.json"


def note_death(folder: Path, point: Point) -> int:
    """How many there are now, this one among them."""
    before, saved = deaths_of(folder, point.key), last_saved(point)
    count = before["deaths"] + 1 if before["saved"] == saved else 1
    write_json(deaths_file(folder, point.key), {"deaths": count, "saved": saved})
    return count


def deaths_of(folder: Path, key: str) -> dict:
    """As the file says; of one that is not there or is damaged, none."""
    found = read_object(deaths_file(folder, key))
    return found if isinstance(found.get("deaths"), int) and "saved" in found else {"deaths": 0, "saved": None}


def last_saved(point: Point) -> int | None:
    """What changes whenever a training saves its state, which it does only if it came further."""
    try:
        return (Path(point.run) / SAVED).stat().st_mtime_ns if point.run else None
    except OSError:
        return None


def forget_deaths(folder: Path, key: str) -> None:
    deaths_file(folder, key).unlink(missing_ok=True)


def earlier_deaths(folder: Path, points: Iterable[Point]) -> dict[str, int]:
    """Deaths of the points that are not done, before this call: a driver that died left what it and its workers ran."""
    left = {key_of(path) for path in unfinished(folder)}
    counted = {path.name for path in (Path(folder) / "points").glob(deaths_file(folder, "*").name)}
    found = {}
    for point in points:
        if point.key in left and not is_taken(lock_file(folder, point.key)):
            found[point.key] = note_death(folder, point)
        elif deaths_file(folder, point.key).name in counted:
            found[point.key] = deaths_of(folder, point.key)["deaths"]
    return found
