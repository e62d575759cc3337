"""A training that is killed any number of times ends like one that is left alone, bit for bit."""

import contextlib
import shutil
import tempfile
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from conftest import tiny_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from kills import kill_trainings

import taujp_core.files as files
import taujp_core.training.finetune as finetuning
from taujp_core.files import read_tensors, write_tensors
from taujp_core.methods import METHODS
from taujp_core.models import load_clip
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune
from taujp_core.training.run_store import run_folder, snapshot_file
from taujp_core.training.state import restore_state, save_state

SHORT = {"steps": 7, "batch_size": 8}
CLIP = tiny_clip(load_clip("mini", device="cpu"))
SNAPSHOTS = [2, 5]
# Of the methods over environments, which share what they hold, the one that draws.
TRAINED = [
    name
    for name, method in METHODS.items()
    if not method.vector_of and (method.others != "environments" or name == "bayesian-irm")
]


class Killed(BaseException):
    """Like a kill, it runs no `except Exception`."""


class Death:
    """Counts what a training does, every gradient and the moments before and after every write; ends it at one."""

    def __init__(self, moment: int | None, saves: list[bool]):
        self.moment, self.saves, self.events, self.looks = moment, saves, 0, 0
        self.gradient, self.write = finetuning.mean_gradient, files.write_atomically

    def event(self) -> None:
        if self.events == self.moment:
            raise Killed
        self.events += 1

    def mean_gradient(self, *arguments):
        self.event()
        return self.gradient(*arguments)

    def write_atomically(self, path, write):
        self.event()
        self.write(path, write)
        self.event()

    def is_due(self, since, cost) -> bool:
        self.looks += 1
        return self.saves[self.looks % len(self.saves)]


def cheap_accuracy(clip, application, tau, head, validation) -> float:
    return sum(value.double().sum().item() for value in tau.values())


def case(method: str, accumulation: int, started: bool):
    start, changes = None, SHORT | {"accumulation": accumulation}
    if started:
        start = TaskVector({n: v * 0.001 for n, v in CLIP.theta0.items()}, CLIP.fingerprint, "uci", method)
        changes["start"] = start.digest()
    if METHODS[method].others != "none":
        changes["penalty_batch_size"] = 4
    if METHODS[method].others == "environments":
        changes["accumulation"] = 1
    return run_config("mini", "uci", method, tasks=["uci", "mnist"], **changes), start


@cache
def expected(method: str, accumulation: int, started: bool) -> dict:
    config, start = case(method, accumulation, started)
    with tempfile.TemporaryDirectory() as store, patch.object(finetuning, "validation_accuracy", cheap_accuracy):
        return outcome(finetune(config, store, CLIP, SNAPSHOTS, start))


def outcome(run) -> dict:
    snapshots = [TaskVector.load(snapshot_file(run.folder, step), CLIP).digest() for step in SNAPSHOTS]
    return {"vector": run.vector.digest(), "snapshots": snapshots, **{k: run.record[k] for k in ("history", "curve")}}


@pytest.mark.parametrize("method", TRAINED)
@settings(max_examples=12, deadline=None)
@given(
    accumulation=st.sampled_from([1, 2]),
    started=st.booleans(),
    deaths=st.lists(st.integers(0, 40), min_size=2, max_size=5),
    saves=st.lists(st.booleans(), min_size=1, max_size=7),
)
def test_any_sequence_of_kills_leaves_the_run_as_it_would_have_been(method, accumulation, started, deaths, saves):
    config, start = case(method, accumulation, started)
    store, resumptions = Path(tempfile.mkdtemp()), 0
    try:
        for moment in [*deaths, None]:
            death = Death(moment, saves)
            with (
                patch.object(finetuning, "validation_accuracy", cheap_accuracy),
                patch.object(finetuning, "mean_gradient", death.mean_gradient),
                patch.object(finetuning, "is_due", death.is_due),
                patch.object(files, "write_atomically", death.write_atomically),
                contextlib.suppress(Killed),
            ):
                folder = run_folder(store, config, CLIP.fingerprint)
                unfinished = not (folder / "record.json").exists()
                resumptions += unfinished and (folder / "state.safetensors").exists()
                run = finetune(config, store, CLIP, SNAPSHOTS, start)
        assert outcome(run) == expected(method, accumulation, started)
        # A kill before a resumption is written down is not counted.
        assert len(run.record["resumed_at"]) <= resumptions
        assert set(run.record["resumed_at"]) <= set(range(1, 7))
        # What is left when the record was written and the state not yet removed goes with the next call.
        assert not (run.folder / "state.safetensors").exists()
    finally:
        shutil.rmtree(store)


def test_trainings_killed_with_9_end_as_if_they_had_not_been(tmp_path):
    report = kill_trainings(4, tmp_path, seed=0, steps=20)
    assert report.kills == 4
    assert report.resumptions > 0
    assert not report.different


def optimised(steps: int) -> tuple[dict, torch.optim.AdamW]:
    parameters = {"a": torch.ones(3), "tau/a": torch.ones(2), "step/a": torch.zeros(1), "fixed": torch.zeros(2)}
    moving = [value for name, value in parameters.items() if name != "fixed"]
    optimizer = torch.optim.AdamW(moving, lr=0.1)
    for step in range(steps):
        for value in moving:
            value.grad = torch.full_like(value, step + 1.0)
        optimizer.step()
    return parameters, optimizer


def test_what_is_restored_is_what_was_saved_twice(tmp_path):
    """Names like those of the slots are no trouble; a restored state is saved as the same tensors and digest."""
    first, second = tmp_path / "first", tmp_path / "second"
    save_state(first, *optimised(3), {"step": 3})
    parameters, optimizer = optimised(1)
    assert restore_state(first, parameters, optimizer) == {"step": 3}
    save_state(second, parameters, optimizer, {"step": 3})
    (tensors, metadata), (again, metadata_again) = read_tensors(first), read_tensors(second)
    assert metadata == metadata_again
    assert tensors.keys() == again.keys()
    assert all(torch.equal(tensors[name], value) for name, value in again.items())
    assert all({*state} == {"step", "exp_avg", "exp_avg_sq"} for state in optimizer.state.values())
    assert len(optimizer.state) == 3


def damage_tensor(path):
    tensors, metadata = read_tensors(path)
    tensors["optimizer/exp_avg/a"][0] += 1e-6
    write_tensors(path, tensors, metadata)


def damage_progress(path):
    tensors, metadata = read_tensors(path)
    write_tensors(path, tensors, metadata | {"progress": {"step": 4}})


def without_digest(path):
    tensors, metadata = read_tensors(path)
    write_tensors(path, tensors, {"progress": metadata["progress"]})


@pytest.mark.parametrize("damage", [damage_tensor, damage_progress, without_digest])
def test_a_damaged_state_is_named_and_changes_nothing(damage, tmp_path):
    save_state(tmp_path / "state", *optimised(3), {"step": 3})
    damage(tmp_path / "state")
    parameters, optimizer = optimised(1)
    before = {name: value.clone() for name, value in parameters.items()}
    with pytest.raises(ValueError, match="state is damaged or not a saved state: delete it to train from the start"):
        restore_state(tmp_path / "state", parameters, optimizer)
    assert all(torch.equal(before[name], value) for name, value in parameters.items())


def test_the_state_of_another_model_is_refused(tmp_path):
    save_state(tmp_path / "state", *optimised(3), {"step": 3})
    parameters, _ = optimised(1)
    optimizer = torch.optim.AdamW([parameters["a"]])
    with pytest.raises(
        ValueError, match="state of another model or optimiser, which differ in optimizer/exp_avg/step/a"
    ):
        restore_state(tmp_path / "state", parameters, optimizer)
