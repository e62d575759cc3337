"""A training looks at the accelerator once in LOSS_STEPS steps: a look makes its queue run empty."""

import pytest
import torch
from accelerator import accelerator
from conftest import tiny_clip, tiny_for

import taujp_core.invariance.training as invariant
import taujp_core.training.finetune as finetuning
import taujp_core.training.state as state
from taujp_core.datasets.domains import Domains
from taujp_core.invariance import OBJECTIVES
from taujp_core.invariance.training import fit, recipe_of
from taujp_core.methods import METHODS
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune
from taujp_core.training.joint import train_jointly
from taujp_core.training.loop import LOSS_STEPS

SHORT = {"batch_size": 4, "warmup_steps": 1}
SOLVED = 2  # looks of PAIR at each step: its weights are those of a linear programme, which the CPU solves
TRAINED = [name for name, method in METHODS.items() if not method.vector_of]


def looks(pair: bool) -> int:
    return 1 + SOLVED * LOSS_STEPS * pair


@pytest.fixture(autouse=True)
def never_slow(monkeypatch):
    """States are saved by the clock, and each save looks: on a busy machine a training of twenty steps would be saved."""
    monkeypatch.setattr(state, "SAVE_SECONDS", float("inf"))


@pytest.fixture
def gpu():
    with accelerator() as gpu:
        yield gpu


@pytest.mark.parametrize("method", TRAINED)
def test_twenty_steps_of_a_task_vector(method, gpu, mini, tmp_path, monkeypatch):
    monkeypatch.setattr(finetuning, "EVALUATIONS", 0)
    clip, counted = gpu.clip(tiny_for(method, mini)), []
    over = METHODS[method].others == "environments"
    suite, tasks = ("mini-domains", ["mnist", "mnist-inverted"]) if over else ("mini", ["uci", "signs"])
    more = {"penalty_batch_size": 4} if METHODS[method].others != "none" else {}
    for steps in (LOSS_STEPS, 2 * LOSS_STEPS):
        before = gpu.looks
        finetune(run_config(suite, tasks[0], method, tasks=tasks, steps=steps, **SHORT, **more), tmp_path, clip)
        counted.append(gpu.looks - before)
    assert counted[1] - counted[0] == looks(method.startswith("pair"))


@pytest.mark.parametrize("method", ["standard", "linear"])
def test_twenty_steps_of_a_joint_training(method, gpu, mini, tmp_path):
    clip, counted = gpu.clip(tiny_clip(mini)), []
    for steps in (LOSS_STEPS // 2, LOSS_STEPS):  # of each of two tasks
        before = gpu.looks
        train_jointly(
            [run_config("mini", one, method, steps=steps, **SHORT) for one in ("uci", "signs")], tmp_path, clip
        )
        counted.append(gpu.looks - before)
    assert counted[1] - counted[0] == looks(False)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_twenty_steps_of_a_small_network(name, gpu, monkeypatch):
    labels = torch.tensor([0, 1] * 20)
    pictures = torch.rand(40, 1, 14, 14)
    gpu.put(labels, pictures)
    domains = Domains("tiny", 2, 1, ("a", "b"), lambda count, _: [(pictures, labels)] * 2, {"test": (pictures, labels)})
    ordinary, counted = invariant.network, []

    def network(*arguments):
        model = ordinary(*arguments)
        gpu.put(*model.parameters())
        return model

    monkeypatch.setattr(invariant, "network", network)
    annealed = {"anneal_steps": 0} if "anneal_steps" in OBJECTIVES[name].parameters else {}
    # Evaluated three times, however many steps, and with a rule that would end a game.
    changes = {"images": 80, "hidden": 8, "last": 1, "stop_below": 1e-9, "sgd_from": None, "parameters": annealed}
    for steps in (3 * LOSS_STEPS, 4 * LOSS_STEPS):
        before = gpu.looks
        fit(name, domains, 0, recipe_of(name, steps=steps, **changes))
        counted.append(gpu.looks - before)
    assert counted[1] - counted[0] == looks(name == "pair")
