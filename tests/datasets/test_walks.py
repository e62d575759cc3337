"""A data set of many files is listed once when it is loaded, and each file is looked at once for the run's identity."""

import os
from collections import Counter
from pathlib import Path

import pytest
from written import encoded, noise, small_task

from taujp_core.datasets import load_split, task_identity
from taujp_core.datasets.check import check_own
from taujp_core.suites import load_suite, own_suite, own_task

CLASSES, EACH = [f"class {k}" for k in range(20)], 60
CONTROL = load_suite("mini").control


class Events(Counter):
    """How often a folder was listed, and a file's status asked for, by path."""

    def listed(self, below: Path) -> Counter:
        return Counter({path: n for (kind, path), n in self.items() if kind == "list" and is_below(path, below)})

    def asked(self, below: Path) -> Counter:
        return Counter({path: n for (kind, path), n in self.items() if kind == "stat" and is_below(path, below)})


def is_below(path: str, folder: Path) -> bool:
    return Path(path) == folder or folder in Path(path).parents


@pytest.fixture
def events(monkeypatch) -> Events:
    found = Events()

    def counted(kind: str, function):
        def call(path=".", *arguments, **more):
            if not isinstance(path, int):
                found[kind, os.fspath(path)] += 1
            return function(path, *arguments, **more)

        return call

    for name, kind in (("scandir", "list"), ("listdir", "list"), ("stat", "stat"), ("lstat", "stat")):
        monkeypatch.setattr(os, name, counted(kind, getattr(os, name)))
    return found


@pytest.fixture
def pets(tmp_path, monkeypatch) -> Path:
    """Some thousands of files, links to a few pictures."""
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TAUJP_DATA", str(tmp_path / "data"))
    data = encoded(noise(0, 8, 8))
    for part, each in (("train", EACH), ("test", EACH // 4)):
        for name in CLASSES:
            folder = tmp_path / "data/pets" / part / name
            folder.mkdir(parents=True)
            for k in range(each):
                (folder / f"{k:03}.png").write_bytes(data)
    return tmp_path / "data/pets"


def most(counts: Counter) -> int:
    return max(counts.values(), default=0)


@pytest.mark.parametrize("layout", ["parts", "classes alone"])
def test_class_folders_are_walked_once_a_load(pets, events, layout):
    folder = pets if layout == "parts" else pets / "train"
    files = (EACH + EACH // 4 * (layout == "parts")) * len(CLASSES)

    def bound(step, per_folder: int, per_file: int):
        events.clear()
        result = step()
        listed, asked = events.listed(folder), events.asked(folder)
        assert most(Counter({path: n for path, n in listed.items() if Path(path).name in CLASSES})) <= per_folder
        assert sum(asked[path] for path in asked if path.endswith(".png")) <= per_file * files
        # The folders above: what there is, and each part.
        assert sum(listed.values()) <= per_folder * (len(CLASSES) * 2 + 4)
        return result

    task = bound(lambda: own_task("pets", folder=str(folder)), 1, 0)
    suite = bound(lambda: own_suite("mini", [task], CONTROL), 1, 1)
    for split in ("train", "validation", "test"):
        bound(lambda split=split: load_split(suite.task("pets"), split), 1, 0)
    bound(lambda: task_identity(suite.task("pets")), 1, 1)
    bound(lambda: check_own(suite.task("pets")), 1, 1)


def test_a_suite_file_is_walked_once_a_load(pets, events, tmp_path, monkeypatch):
    (tmp_path / "suites").mkdir()
    monkeypatch.setenv("TAUJP_SUITES", str(tmp_path / "suites"))
    (tmp_path / "suites/mine.yaml").write_text(
        "model: mini\npretrained: null\ntasks: {pets: {folder: pets}}\ncontrol: {uci: {from: mini}}\n"
    )
    load_suite("mine")
    events.clear()
    load_suite("mine")
    assert most(events.listed(pets)) == 1
    assert sum(n for path, n in events.asked(pets).items() if path.endswith(".png")) <= EACH // 4 * 5 * len(CLASSES)


def test_a_published_data_set_is_walked_once_a_split(pets, events):
    task = small_task("pets", *CLASSES)
    for split in ("train", "validation", "test"):
        events.clear()
        load_split(task, split)
        assert most(events.listed(pets)) == 1
        assert not any(path.endswith(".png") for path in events.asked(pets))
