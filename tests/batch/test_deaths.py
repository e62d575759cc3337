"""Points that their workers die in: the others come first, the deaths are counted and seen, and at last they are too many."""

import os
from pathlib import Path

import pytest
from drivers import until
from test_driver import Told, driven, point
from test_faults import begun, finished

from analysis.studies.deaths import DEATHS, deaths_of, earlier_deaths, note_death
from analysis.studies.driver import count_earlier_deaths, drive
from analysis.studies.driver import finished as tally_of
from analysis.studies.point import (
    Outcome,
    attempts_left,
    failed_files,
    finished_file,
    forget_attempts,
    remove_unfinished,
)
from analysis.studies.status import Page, described
from analysis.studies.study import Study

pytest_plugins = ["batch_fixtures"]
# The worker, or the driver where that is the worker, dies as long as the file `left` has lines.
DYING = (
    "number: int = 0",
    "import os, pathlib, signal\nhome = pathlib.Path(os.environ['TAUJP_HOME'])\n"
    "with (home / 'begun.txt').open('a') as file:\n    print(number, file=file)\n"
    "left = home / 'left'\nlines = left.read_text().split() if left.exists() else []\n"
    "if lines:\n    left.write_text(' '.join(lines[1:]))\n    os.kill(int(os.environ['JPY_PARENT_PID']), signal.SIGKILL)",
    "print(number**2)",
)


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "points").mkdir()
    return tmp_path


def attempt(folder: Path, key: str) -> Path:
    path = folder / "points" / f".{key}.01234567.part.ipynb"
    path.write_text("as far as it came")
    return path


class Dying(Told):
    """Workers die in the points of `deaths`, so many times each."""

    def __init__(self, folder: Path, deaths: dict[str, int]):
        super().__init__(folder)
        self.deaths = deaths

    def next(self, seconds: float) -> Outcome | None:
        if self.deaths.get(self.begun[0], 0):
            key = self.begun.popleft()
            self.deaths[key] -= 1
            attempt(self.folder, key)
            return Outcome(key, 0.0, died=True)
        return super().next(seconds)


def dying(folder: Path, names: str, deaths: dict[str, int]):
    points = [point(name) for name in names] + [point("reads", names[0])]
    engine, seen = Dying(folder, deaths), []
    tally = tally_of(folder, points)
    count_earlier_deaths(folder, tally)

    def watch(tally, ended):
        Page(folder, Study("grid", "What?"), []).write(tally)
        seen.append((described(tally), (folder / "report.html").read_text()))

    drive(folder, tally, engine, watch)
    return tally, engine.order, seen


def test_a_point_that_kills_its_worker_comes_after_the_others_and_is_seen(folder):
    tally, order, seen = dying(folder, "abcdef", {"a": 2})
    assert order == [*"abcdefaa", "reads"]
    assert tally.complete() and not tally.deaths
    assert any("deaths of workers: 2" in line for line, _ in seen)
    assert any("waiting; workers that died in it: 1" in page for _, page in seen)
    assert not [*folder.glob("points/.*"), *folder.glob("points/*.deaths.json")]


def test_too_many_deaths_in_a_row_are_a_failure_and_the_next_call_begins_anew(folder):
    tally, order, _ = dying(folder, "ab", {"a": DEATHS})
    assert order.count("a") == DEATHS and order[1] == "b"
    assert f"{DEATHS} workers in a row died in it" in tally.failed["a"].error
    assert (tally.done, tally.blocked) == ({"b"}, {"reads"})
    notebook, text = failed_files(folder, "a")
    assert notebook.read_text() == "as far as it came" and "died in it" in text.read_text()
    assert deaths_of(folder, "a")["deaths"] == 0
    tally, order, _ = dying(folder, "ab", {"a": DEATHS - 1})
    assert tally.complete() and order.count("a") == DEATHS


def test_the_count_outlives_the_driver(folder):
    """What a driver that died has left is a death, once; of one that is still being run nobody knows."""
    points = [point("a"), point("b"), point("a.b")]
    for count in range(1, DEATHS + 1):
        left = attempt(folder, "a")
        assert earlier_deaths(folder, points) == {"a": count}
        assert remove_unfinished(folder) == [] and not left.exists()
        assert earlier_deaths(folder, points) == {"a": count}
    tally = tally_of(folder, points)
    count_earlier_deaths(folder, tally)
    engine = Told(folder)
    drive(folder, tally, engine, lambda tally, ended: None)
    assert (list(tally.failed), engine.order) == (["a"], ["b", "a.b"])


def test_a_training_that_comes_further_is_not_given_up(folder):
    """Preempted however often: each time its state was saved anew meanwhile."""
    run = folder / "run"
    run.mkdir()
    training = point("a", run=str(run))
    for moment in range(3 * DEATHS):
        (run / "state.safetensors").touch()
        os.utime(run / "state.safetensors", ns=(moment, moment))
        assert note_death(folder, training) == 1
    assert [note_death(folder, training) for _ in range(3)] == [2, 3, 4]
    os.utime(run / "state.safetensors", ns=(0, 0))
    assert note_death(folder, training) == 1


def test_workers_that_die_leave_the_healthy_points_to_the_next(quick_workers, place, counting):
    """Real ones. With one worker the healthy points come before the second attempt."""
    place.home.mkdir()
    (place.home / "left").write_text("once twice")
    entries = [{"notebook": place.notebook("dying", *DYING), "parameters": {"number": 7}}, *counting(1, 2)]
    study = place.study("grid", notebooks=entries)
    driver = place.driver(study, "--workers", "1", "--scheduler-file", str(place.folder / "s.json"))
    driver.join()
    assert driver.exitcode == 0, place.said()
    assert begun(place) == [7, 1, 2, 7, 7]
    assert finished(place, "grid") == {7: "49\n", 1: "1\n", 2: "4\n"}
    said = place.said()
    assert [f": {count} of {DEATHS}; it is begun again after all others" in said for count in (1, 2, 3)] == [
        True,
        True,
        False,
    ]


def test_a_driver_that_dies_of_a_point_counts_it_in_the_next_call(place, counting):
    """Without an engine the driver is what dies."""
    place.home.mkdir()
    (place.home / "left").write_text("once twice")
    entries = [{"notebook": place.notebook("dying", *DYING), "parameters": {"number": 7}}, *counting(1)]
    study = place.study("grid", notebooks=entries)
    for count in (0, 1, 2):
        driver = place.driver(study, "--workers", "1")
        driver.join()
        assert driver.exitcode == (0 if count == 2 else -9), place.said()
        assert (f": {count} of {DEATHS}, in earlier calls" in place.said()) == (count > 0)
        until(lambda: not place.kernel_processes())
    assert begun(place) == [7, 1, 7, 7]


def test_a_call_that_is_stopped_counts_nothing(folder):
    attempt(folder, "a")
    forget_attempts(folder)
    assert earlier_deaths(folder, [point("a")]) == {}
    assert attempts_left(folder, "a") == [] and not finished_file(folder, "a").exists()
    assert driven(folder, [point("a")])[0].complete()
