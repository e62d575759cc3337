"""Which files of an earlier call are damaged? They are set aside, and their points are done again.

Everything here is written under another name and renamed, so that a kill damages nothing; a disk or a person may. Only
what is proven to be damaged is moved. What this user may not read is said and left alone, and so is a disk that fails.
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock, Timeout

from taujp_core.files import Damaged, is_there, read_json, readable
from taujp_core.identity import digest
from taujp_core.training.run_store import CONFIG, LOCK, RECORD, STATE, check_places, read_record
from taujp_core.training.state import read_progress

from .deaths import deaths_file
from .point import Point, finished_file

DAMAGED = "damaged"  # folder of the study
FOLDERS = ("points", "tls")
FILES = (".ipynb", ".txt", ".json", ".html", ".sh", ".log", ".lock", ".pem")  # ends of what is a file in a study


def clear_places(folder: Path) -> list[str]:
    """Move away what stands where this study has its files and folders and is the other of the two; a sentence for each.

    Before anything else is read or written.
    """
    said = []
    if (folder / DAMAGED).is_file():
        moved_first = (folder / DAMAGED).replace(folder / f".{DAMAGED}")
        said.append(f"{folder / DAMAGED} is a file, where a folder should be: moved to {moved(moved_first, folder)}")
    for place in (folder, *(folder / name for name in FOLDERS)):
        if place.is_file():
            said.append(exchanged(place, folder))
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            if path.suffix in FILES and path.is_dir():
                said.append(exchanged(path, folder))
    return said


def clear_lock(folder: Path) -> list[str]:
    """The same for the lock of the study, before it is taken."""
    return [exchanged(folder / ".lock", folder)] if (folder / ".lock").is_dir() else []


def exchanged(path: Path, folder: Path) -> str:
    """A file that stands where a folder should be, or a folder in a file's place, is moved away."""
    found, wanted = ("folder", "file") if path.is_dir() else ("file", "folder")
    return f"{path} is a {found}, where a {wanted} should be: moved to {moved(path, folder)}"


def set_damaged_aside(folder: Path, points: Iterable[Point]) -> list[str]:
    """Move damaged notebooks, runs and counts of deaths to FOLDER/damaged; a sentence for each. The points are then not
    done. A sentence, too, for each file that may not be read."""
    said = []
    for point in points:
        try:
            said += damaged_run(folder, point) if point.run else []
            said += damaged_files(folder, point)
        except OSError as error:
            said.append(f"{point.key} is left as it is: {error}")
    return said


def damaged_run(folder: Path, point: Point) -> list[str]:
    run, notebook, said = Path(point.run), finished_file(folder, point.key), []
    for place in (run.parent.parent, run.parent, run):
        if place.is_file():
            said.append(exchanged(place, folder))
    try:
        if is_of_older_version(run):
            return [
                f"{run / RECORD} is of an older version and names no vector: move {run} away to train the run again"
            ]
        check_run(run)
    except Damaged as error:
        place = moved_run(run, folder)
        if not place:
            return []
        said.append(f"{error}. The run was moved to {place}, to be trained again")
    if notebook.exists() and not is_there(run / RECORD):
        said.append(f"the run of {notebook} is gone: moved to {moved(notebook, folder)}, to be trained again")
    return said


def moved_run(run: Path, folder: Path) -> Path | None:
    """None for a run that somebody trains, who knows what is there."""
    if (run / LOCK).is_dir():
        return moved(run, folder)
    try:
        with FileLock(run / LOCK, timeout=0):
            return moved(run, folder)
    except Timeout:
        return None


def check_run(run: Path) -> None:
    """Raises Damaged for the first file of a run that is, PermissionError for one that may not be read.

    What decides the run is read whole; of a vector what tells its length and its digest, for reading all vectors of a
    study takes long: a bit that flipped is found by whoever reads the vector. A damaged `config.json` without other
    damage, and `resumed.json`, are written again by the training.
    """
    check_places(run)
    if is_there(run / CONFIG):
        check_config(run)
    if is_there(run / RECORD):
        read_record(run)
    elif is_there(run / STATE):
        found = read_progress(run / STATE).get("run")
        if found and found != run.name:  # of older versions there is none, which the training answers
            raise Damaged(f"{run / STATE} is the state of another run, {found}")


def is_of_older_version(run: Path) -> bool:
    """Whether its record is whole, but from before records had digests: nothing proves that it is damaged."""
    try:
        record = read_json(run / RECORD) if is_there(run / RECORD) else {}
    except Damaged:
        return False
    return "digest" not in record and {"config", "theta0", "metrics", "history"} <= record.keys()


def check_config(run: Path) -> None:
    """The folder's name ends with a digest of what `config.json` says."""
    try:
        config = read_json(run / CONFIG)
    except Damaged:
        return
    if config and run.name.rpartition("-")[2] != digest(config):
        raise Damaged(f"{run / CONFIG} is altered or another run's: its digest is not the one in the folder's name")


def damaged_files(folder: Path, point: Point) -> list[str]:
    said, notebook, deaths = [], finished_file(folder, point.key), deaths_file(folder, point.key)
    if is_there(notebook):
        try:
            check_notebook(notebook)
        except Damaged as error:
            said.append(f"{error}: moved to {moved(notebook, folder)}, to be run again")
    if is_there(deaths):
        try:
            read_json(deaths)
        except Damaged as error:
            said.append(f"{error}: moved to {moved(deaths, folder)}, and counted anew")
    return said


def check_notebook(notebook: Path) -> None:
    """Raises Damaged for a file that is not an executed notebook which came to its end."""
    with readable(notebook) as path:
        text = path.read_bytes()
    try:
        found = json.loads(text)
        metadata = found["metadata"]
        whole = metadata["papermill"]["exception"] is None and metadata["batch"]["seconds"] >= 0 and found["cells"]
    except (ValueError, TypeError, KeyError, RecursionError):
        whole = False
    if not whole:
        raise Damaged(f"{notebook} is cut off or altered: it is not a notebook that came to its end")


def moved(path: Path, folder: Path) -> Path:
    """Below FOLDER/damaged, under the first number that is free."""
    place = folder / DAMAGED
    place.mkdir(exist_ok=True)
    number = next(n for n in range(len(list(place.iterdir())) + 1) if not (place / f"{n}-{path.name}").exists())
    return Path(shutil.move(path, place / f"{number}-{path.name}"))
