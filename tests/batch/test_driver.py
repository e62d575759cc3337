"""The driver's decisions, with an engine that only says what came of a point."""

import re
from collections import deque
from pathlib import Path

import pytest

from analysis.studies.driver import RETRIES, Tally, drive, finished
from analysis.studies.plan import take_over
from analysis.studies.point import Outcome, Point, failed_files, finished_file
from analysis.studies.status import Page, described, duration
from analysis.studies.study import Study
from taujp_core.files import read_json, write_json


class Told:
    """Points end in the order in which they were begun; `errors` are those of each point's attempts, in turn."""

    def __init__(self, folder: Path, errors: dict[str, list[str]] | None = None, ahead: int = 3):
        self.folder, self.errors, self.ahead, self.slots = folder, errors or {}, ahead, 2
        self.begun: deque[str] = deque()
        self.order: list[str] = []
        self.most = 0

    def start(self, point: Point) -> None:
        self.begun.append(point.key)
        self.order.append(point.key)
        self.most = max(self.most, len(self.begun))

    def next(self, seconds: float) -> Outcome | None:
        key = self.begun.popleft()
        error = self.errors[key].pop(0) if self.errors.get(key) else ""
        if not error:
            finished_file(self.folder, key).write_text("{}")
        return Outcome(key, 10.0, error, f"traceback of {error}")

    def close(self) -> None: ...


def point(key: str, *after: str, run: str = "") -> Point:
    return Point(key, f"{key}.ipynb", {}, after, run)


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "points").mkdir()
    return tmp_path


def driven(folder: Path, points: list[Point], errors: dict | None = None) -> tuple[Tally, Told]:
    tally, engine = finished(folder, points), Told(folder, errors)
    drive(folder, tally, engine, lambda tally, ended: None)
    return tally, engine


def test_a_point_comes_after_what_it_reads(folder):
    points = [point("e", "a", "b"), point("f", "e"), *map(point, "abcd")]
    tally, engine = driven(folder, points)
    assert engine.order == ["a", "b", "c", "d", "e", "f"]
    assert tally.complete()
    assert engine.most == engine.ahead


def test_a_failing_point_is_tried_again_and_does_not_stop_the_others(folder):
    points = [point("a"), point("b"), point("c"), point("e", "a"), point("f", "b"), point("g", "e")]
    tally, engine = driven(folder, points, {"a": ["no"] * (RETRIES + 1), "b": ["no"] * RETRIES})
    assert [engine.order.count(key) for key in "abc"] == [RETRIES + 1, RETRIES + 1, 1]
    assert (tally.done, set(tally.failed), tally.blocked) == ({"b", "c", "f"}, {"a"}, {"e", "g"})
    assert not tally.complete()
    assert failed_files(folder, "a")[1].read_text() == "traceback of no"
    again, engine = driven(folder, points)
    assert engine.order == ["a", "e", "g"]
    assert again.complete()
    assert not list((folder / "points").glob("*.failed.*"))


@pytest.mark.parametrize(("deaths", "order"), [({}, ["a", "b"]), ({"e": 1}, ["a", "b", "e"])], ids=["", "deadly"])
def test_a_last_point_may_be_left_to_another_engine(deaths, order, folder):
    points = [point("a"), point("b"), point("e", "a", "b")]
    tally, engine = finished(folder, points), Told(folder, {"b": ["no"]})
    tally.deaths = deaths
    drive(folder, tally, engine, lambda tally, ended: None, leave_last=True)
    assert (engine.order, tally.left()) == ([*order[:2], "b", *order[2:]], {"a", "b", "e"} - set(order))
    drive(folder, tally, engine, lambda tally, ended: None)
    assert tally.complete()


def test_the_line_tells_the_time_left_from_what_was_measured(folder):
    tally = Tally({p.key: p for p in [point("a", run="x"), point("b", run="x"), point("e", "a", "b"), point("f", "e")]})
    tally.open, tally.slots = {"a": 1, "b": 1}, 2
    assert described(tally) == "0 of 4 points done, 2 running"
    tally.done, tally.open, tally.seconds[True] = {"a"}, {"b": 1}, [600.0]
    assert tally.seconds_left() is None  # how long a notebook takes is not known yet
    tally.seconds[False] = [1200.0, 2400.0]
    assert tally.seconds_left() == (600 + 2 * 1800) / 2
    assert described(tally) == "1 of 4 points done, 1 running, about 35 min left"
    tally.slots = 0
    assert described(tally).endswith("waiting for workers")


@pytest.mark.parametrize(
    ("seconds", "text"), [(59, "59 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (360000, "100 h")]
)
def test_durations_are_told_in_the_largest_unit(seconds, text):
    assert duration(seconds) == text


def record(task: str, seed: int, accuracy: float) -> dict:
    return {
        "config": {"suite": "mini", "method": "linear", "penalty_weight": 0.0, "seed": seed, "task": task, "steps": 3},
        "metrics": {"zero_shot_validation_accuracy": 0.1, "validation_accuracy": accuracy, "tau_norm": 1.0},
        "hardware": {"accelerator": None, "processor": "one"}, "seconds": 7.0, "images_per_second": 1.0,
        "peak_memory_mib": 1.0, "commit": None,
    }  # fmt: skip


def test_the_page_shows_where_the_study_stands(folder):
    points = [point(f"uci-{seed}", run=str(folder / f"run{seed}")) for seed in (0, 1)] + [
        point("bad"),
        point("e", "bad"),
    ]
    for seed, accuracy in enumerate((0.25, 0.5)):
        write_json(folder / f"run{seed}" / "record.json", record("uci", seed, accuracy))
    tally, _ = driven(folder, points, {"bad": ["<Oh> & no"] * 3})
    failed_files(folder, "bad")[0].touch()
    Page(folder, Study("grid", "Is 1 < 2?"), ["a note"]).write(tally)
    page = (folder / "report.html").read_text()
    for text in (
        "Is 1 &lt; 2?",
        "2 of 4 points done",
        "1 failed",
        "1 not run",
        "a note",
        "&lt;Oh&gt; &amp; no",
        ">0.375<",
    ):
        assert text in page, text
    links = set(re.findall("href='(.*?)'", page))
    assert links == {"points/uci-0.ipynb", "points/uci-1.ipynb", "points/bad.failed.ipynb", "points/bad.failed.txt"}


def test_trainings_of_another_study_are_taken_over_while_their_runs_are_there(tmp_path):
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for folder in (theirs, ours):
        (folder / "points").mkdir(parents=True)
    points = [point(key, run=str(tmp_path / f"run-{key}")) for key in "ab"] + [point("c"), point("d", run="nowhere")]
    whole = {"cells": ["of a"], "metadata": {"papermill": {"exception": None}, "batch": {"seconds": 1.0}}}
    for key in "abcd":
        write_json(finished_file(theirs, key), whole)
    write_json(tmp_path / "run-a" / "record.json", {})
    damaged = tmp_path / "damaged" / "points"
    finished_file(damaged.parent, "a").mkdir(parents=True)  # of a third study, and not in the way
    assert take_over(ours, points) == 1
    assert list(finished(ours, points).done) == ["a"]
    assert read_json(finished_file(ours, "a")) == whole
    assert take_over(ours, points) == 0
