"""The run store: two processes that want one run are kept apart, and a death frees what it held."""

import multiprocessing
import time

import pytest

from taujp_core.files import write_json
from taujp_core.runs import is_finished, only_process

CONTEXT = multiprocessing.get_context("forkserver")


def train_slowly(folder, began, may_end):
    """What `finetune` does around a training, with a training that takes as long as somebody wants."""
    if not is_finished(folder):
        with only_process(folder):
            if not is_finished(folder):
                began.touch()
                while not may_end.exists():
                    time.sleep(0.01)
                (folder / "trained").open("a").write("once\n")
                write_json(folder / "record.json", {})


def started(folder, name, tmp_path):
    process = CONTEXT.Process(target=train_slowly, args=(folder, tmp_path / f"{name} began", tmp_path / "end"))
    process.start()
    return process


def wait_for(path):
    while not path.exists():
        time.sleep(0.01)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def test_the_second_process_waits_and_finds_the_run(folder, tmp_path):
    first = started(folder, "first", tmp_path)
    wait_for(tmp_path / "first began")
    second = started(folder, "second", tmp_path)
    second.join(timeout=3)  # not a matter of speed: it would have begun long ago, and cannot end
    assert second.exitcode is None
    assert not (tmp_path / "second began").exists()
    (tmp_path / "end").touch()
    first.join()
    second.join()
    assert (first.exitcode, second.exitcode) == (0, 0)
    assert (folder / "trained").read_text() == "once\n"
    assert not (tmp_path / "second began").exists()


def test_a_death_frees_the_run(folder, tmp_path):
    first = started(folder, "first", tmp_path)
    wait_for(tmp_path / "first began")
    first.kill()
    first.join()
    assert not is_finished(folder)
    (tmp_path / "end").touch()
    second = started(folder, "second", tmp_path)
    second.join()
    assert second.exitcode == 0
    assert (folder / "trained").read_text() == "once\n"


def test_what_a_killed_writer_left_is_removed(folder):
    (folder / ".record.json.abc.part").mkdir()
    (folder / ".record.json.abc.part" / "record.json").write_text("{half")
    with only_process(folder):
        assert sorted(path.name for path in folder.iterdir()) == [".lock"]
