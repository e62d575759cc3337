"""The run store: two processes that want one run are kept apart, and a death frees what it held."""

import multiprocessing
import time
from unittest.mock import patch

import pytest
from conftest import tiny_clip
from kills import trained

import taujp_core.training.finetune as finetuning
from taujp_core.files import write_json
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune
from taujp_core.training.run_store import is_finished, only_process

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
                (folder / "vector.safetensors").touch()
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


def train_at_once(barrier, store):
    barrier.wait()
    trained("standard", False, 8, store)


def test_processes_that_begin_a_new_run_at_the_same_moment_train_it_once(tmp_path):
    """The folder, its config.json and what is cleared away are made under the lock, too."""
    for number in range(2):
        store, barrier = tmp_path / str(number), CONTEXT.Barrier(3)
        processes = [CONTEXT.Process(target=train_at_once, args=(barrier, store)) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0, 0]
        assert trained("standard", False, 8, store)["files"] == sorted(
            ["config.json", "record.json", "vector.safetensors", "step-2.safetensors", "step-5.safetensors"]
        )


def test_a_process_that_waited_for_a_run_without_snapshots_says_so(mini, tmp_path):
    config = run_config("mini", "uci", "standard", tasks=["uci", "mnist"], steps=2, batch_size=8)
    clip = tiny_clip(mini)
    finetune(config, tmp_path, clip)
    calls = iter([False, True])
    with (
        patch.object(finetuning, "is_finished", lambda folder: next(calls)),
        pytest.raises(ValueError, match="passed step 1 without leaving a snapshot"),
    ):
        finetune(config, tmp_path, clip, [1])


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
    (folder / ".record.json.01234567.part").mkdir()
    (folder / ".record.json.01234567.part" / "record.json").write_text("{half")
    with only_process(folder):
        assert sorted(path.name for path in folder.iterdir()) == [".lock"]
