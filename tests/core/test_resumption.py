"""A training that is killed any number of times ends like one that is left alone, bit for bit; all four kinds."""

import contextlib
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
import trainings
from conftest import tiny_for
from hypothesis import given, settings
from hypothesis import strategies as st
from kills import kill_trainings
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import taujp_core.files as files
import taujp_core.training.finetune as finetuning
import taujp_core.training.loop as loop
from taujp_core.files import Damaged, read_tensors, write_tensors
from taujp_core.methods import METHODS
from taujp_core.pretrained import load_clip
from taujp_core.training.state import Carried, restore_state, save_state, state_tensors

STEPS = 8
ADAM = {"step", "exp_avg", "exp_avg_sq"}
clip_of = cache(lambda name: tiny_for(name, load_clip("mini", device="cpu")))
# Of the methods over environments, which share what they hold, the one that draws.
TRAINED = [
    name
    for name, method in METHODS.items()
    if not method.vector_of and (method.others != "environments" or name == "bayesian-irm")
]


class Killed(BaseException):
    """Like a kill, it runs no `except Exception`."""


class Death:
    """Counts what a training does, the moments before and after every step of an optimiser and every write; ends it at
    one of them."""

    def __init__(self, moment: int | None, saves: list[bool]):
        self.moment, self.saves, self.events, self.looks, self.steps = moment, saves, 0, 0, 0
        self.write = files.write_atomically

    def event(self, *arguments) -> None:
        if self.events == self.moment:
            raise Killed
        self.events += 1

    def stepped(self, *arguments) -> None:
        self.steps += 1
        self.event()

    def write_atomically(self, path, write):
        self.event()
        self.write(path, write)
        self.event()

    def is_due(self, since, cost) -> bool:
        self.looks += 1
        return self.saves[self.looks % len(self.saves)]

    def ends(self, work) -> object:
        """What the work gives, or None if it died."""
        hooks = register_optimizer_step_pre_hook(self.event), register_optimizer_step_post_hook(self.stepped)
        try:
            with (
                patch.object(finetuning, "validation_accuracy", cheap_accuracy),
                patch.object(loop, "is_due", self.is_due),
                patch.object(files, "write_atomically", self.write_atomically),
                contextlib.suppress(Killed),
            ):
                return work()
        finally:
            for hook in hooks:
                hook.remove()


def cheap_accuracy(clip, application, tau, head, validation) -> float:
    return sum(value.double().sum().item() for value in tau.values())


def trained(name: str, accumulation: int, started: bool, store: str) -> dict:
    if name in METHODS:
        return trainings.vector(name, started, STEPS, Path(store), clip_of(name), accumulation=accumulation)
    return trainings.OTHERS[name](STEPS, Path(store), clip_of(name))


@cache
def expected(name: str, accumulation: int, started: bool) -> dict:
    with tempfile.TemporaryDirectory() as store:
        return Death(None, [False]).ends(lambda: trained(name, accumulation, started, store))


@pytest.mark.parametrize("name", [*TRAINED, *trainings.OTHERS])
@settings(max_examples=12, deadline=None)
@given(
    accumulation=st.sampled_from([1, 2]),
    started=st.booleans(),
    deaths=st.lists(st.integers(0, 40), min_size=2, max_size=5),
    saves=st.lists(st.booleans(), min_size=1, max_size=7),
)
def test_any_sequence_of_kills_leaves_the_run_as_it_would_have_been(name, accumulation, started, deaths, saves):
    if name not in METHODS:
        accumulation, started = 1, False
    with tempfile.TemporaryDirectory() as store:
        for moment in [*deaths, None]:
            found = Death(moment, saves).ends(lambda: trained(name, accumulation, started, store))
        assert found == expected(name, accumulation, started)


@pytest.mark.parametrize("name", [*TRAINED, *trainings.OTHERS])
def test_a_killed_training_takes_no_step_that_was_saved_again(name, tmp_path):
    last = trained_steps(name)
    for kill in (1, 4, last - 1):
        store = tmp_path / str(kill)
        dying = Death(None, [True])
        dying.stepped = lambda *arguments, dying=dying, kill=kill: stop_at(dying, kill)
        assert dying.ends(lambda store=store: trained(name, 1, False, store)) is None
        resumed = Death(None, [True])
        assert resumed.ends(lambda store=store: trained(name, 1, False, store)) == expected(name, 1, False)
        assert resumed.steps == last - kill
        if name in METHODS:
            (record,) = store.rglob("record.json")
            assert files.read_json(record)["resumed_at"] == [kill]
        again = Death(None, [True])
        assert again.ends(lambda store=store: trained(name, 1, False, store)) == expected(name, 1, False)
        assert again.steps == 0


def stop_at(dying: Death, kill: int) -> None:
    """After the step that follows the saved one."""
    dying.steps += 1
    if dying.steps > kill:
        raise Killed


@cache
def trained_steps(name: str) -> int:
    with tempfile.TemporaryDirectory() as store:
        death = Death(None, [True])
        death.ends(lambda: trained(name, 1, False, store))
    return death.steps


def test_trainings_killed_with_9_end_as_if_they_had_not_been(tmp_path):
    report = kill_trainings(6, tmp_path, seed=0, steps=20)
    assert report.kills == 6
    assert report.resumptions > 0
    assert not report.different


@pytest.mark.parametrize("other", ["seed", "recipe", "pictures"])
def test_a_networks_state_is_of_its_data_its_recipe_and_its_seed(other, tmp_path):
    file, fitted = tmp_path / "state", trainings.invariant.fit
    recipe = trainings.invariant.recipe_of("erm", steps=3, images=20, hidden=4)
    fitted("erm", trainings.coloured("mnist"), 0, recipe, file)
    domains = trainings.coloured("mnist", seed=1 if other == "pictures" else 0)
    changed = trainings.invariant.recipe_of("erm", steps=4, images=20, hidden=4) if other == "recipe" else recipe
    with pytest.raises(Damaged, match="state is the state of another run, erm on coloured mnist, pictures"):
        fitted("erm", domains, 1 if other == "seed" else 0, changed, file)


def optimised(steps: int, which: type = torch.optim.AdamW) -> Carried:
    parameters = {"a": torch.ones(3), "tau/a": torch.ones(2), "step/a": torch.zeros(1), "fixed": torch.zeros(2)}
    moving = [value for name, value in parameters.items() if name != "fixed"]
    optimizer = which(moving, lr=0.1, **({"momentum": 0.9} if which is torch.optim.SGD else {}))
    for step in range(steps):
        for value in moving:
            value.grad = torch.full_like(value, step + 1.0)
        optimizer.step()
    return Carried(parameters, (optimizer,), {"draws": torch.Generator().manual_seed(steps)})


@pytest.mark.parametrize("which", [torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD])
@pytest.mark.parametrize("before", [0, 1])
def test_what_is_restored_is_what_was_saved_twice(which, before, tmp_path):
    """Names like those of the slots are no trouble; a restored state is saved as the same tensors and digest."""
    first, second = tmp_path / "first", tmp_path / "second"
    save_state(first, optimised(3, which), {"step": 3})
    carried = optimised(before, which)
    assert restore_state(first, carried) == {"step": 3}
    save_state(second, carried, {"step": 3})
    (tensors, metadata), (again, metadata_again) = read_tensors(first), read_tensors(second)
    assert metadata == metadata_again
    assert tensors.keys() == again.keys()
    assert all(torch.equal(tensors[name], value) for name, value in again.items())
    (optimizer,), slots = carried.optimizers, {"momentum_buffer"} if which is torch.optim.SGD else ADAM
    assert all({*state} == slots for state in optimizer.state.values())
    assert len(optimizer.state) == 3
    drawn = torch.rand(3, generator=carried.generators["draws"])
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(3)))


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
    save_state(tmp_path / "state", optimised(3), {"step": 3})
    damage(tmp_path / "state")
    carried = optimised(1)
    before = {name: value.clone() for name, value in state_tensors(carried).items()}
    with pytest.raises(ValueError, match="state is damaged or not a saved state: delete it to train from the start"):
        restore_state(tmp_path / "state", carried)
    assert all(torch.equal(before[name], value) for name, value in state_tensors(carried).items())


def test_the_state_of_another_model_is_refused(tmp_path):
    """That the file holds more, or less, than is carried."""
    all_of_it = optimised(3)
    some = replace(all_of_it, optimizers=(torch.optim.AdamW([all_of_it.parameters["a"]]),))
    for saved, carried in ((all_of_it, some), (some, all_of_it)):
        save_state(tmp_path / "state", saved, {"step": 3})
        with pytest.raises(
            ValueError, match="state of another model or optimiser, which differ in optimizer/exp_avg/step/a"
        ):
            restore_state(tmp_path / "state", carried)
