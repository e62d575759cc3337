"""Joint training: its gradient is that of all tasks, and what it cannot be is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import tiny_clip

from taujp_core.datasets import load_split
from taujp_core.evaluation import cross_entropy
from taujp_core.files import read_json
from taujp_core.methods import find_method
from taujp_core.models import zero_shot_head
from taujp_core.optimisation import cosine_lr
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune
from taujp_core.training.joint import train_jointly
from taujp_core.training.step_images import step_batches

SUITE = load_suite("mini")
TASKS = ("uci", "signs")
SHORT = {"steps": 3, "batch_size": 8}  # of an expert: six steps of four images each for two tasks


def configs(method="standard", tasks=TASKS, **changes):
    return [run_config(SUITE, task, method, **{**SHORT, **changes}) for task in tasks]


def same(one: TaskVector, other: TaskVector) -> bool:
    return all(torch.equal(one.tau[name], value) for name, value in other.tau.items())


def loss(clip, method, tau, task, images, labels):
    one = SUITE.task(task)
    features = find_method(method).application.features(clip, tau, images)
    return cross_entropy(features, zero_shot_head(clip, one.classes, one.templates), labels)


@pytest.mark.parametrize("method", ["standard", "linear"])
def test_one_task_jointly_is_its_ordinary_training(method, mini, tmp_path):
    """Every batch, learning rate and update is the run's, digit for digit."""
    clip = tiny_clip(mini)
    (config,) = configs(method, ["uci"])
    assert same(train_jointly([config], tmp_path, clip), finetune(config, tmp_path, clip).vector)


def test_a_step_descends_the_mean_of_the_tasks_losses(mini, tmp_path):
    """Against plain AdamW on a loss that is written out, with one autograd pass over both tasks."""
    clip, both = tiny_clip(mini), configs(steps=2, warmup_steps=1)
    theta = {name: value.clone().requires_grad_() for name, value in clip.theta0.items()}
    optimizer = torch.optim.AdamW(theta.values(), weight_decay=0.0)
    for step in range(4):
        total = 0.0
        for config in both:
            task = SUITE.task(config.task)
            images, labels, _ = step_batches(replace(config, batch_size=4), load_split(task, "train"), [], step)
            features = torch.func.functional_call(clip.encoder, theta, (images,))
            total = total + cross_entropy(features, zero_shot_head(clip, task.classes, task.templates), labels) / 2
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(theta.values(), both[0].clip_norm)
        optimizer.param_groups[0]["lr"] = cosine_lr(step, 4, both[0].peak_lr, 2)
        optimizer.step()
    found = train_jointly([replace(config, weight_decay=0.0) for config in both], tmp_path, clip)
    assert found.task == "uci+signs"
    for name, value in clip.theta0.items():
        # AdamW divides by the gradient's size: rounding of a small one shows.
        assert torch.allclose(value + found.tau[name], theta[name], rtol=1e-3, atol=3e-6), name


def test_it_lowers_the_loss_of_every_task(mini, tmp_path):
    vector = train_jointly(configs(steps=6, batch_size=32), tmp_path, mini)
    zeros = {name: torch.zeros_like(value) for name, value in vector.tau.items()}
    for task in TASKS:
        images, labels = load_split(SUITE.task(task), "validation")[:60]
        assert loss(mini, "standard", vector.tau, task, images, labels) < 0.9 * loss(
            mini, "standard", zeros, task, images, labels
        )


def test_a_record_says_what_was_trained_and_of_what(mini, tmp_path):
    clip = tiny_clip(mini)
    train_jointly(configs(), tmp_path, clip)
    (folder,) = (tmp_path / "mini" / "jointly").iterdir()
    files = sorted(path.name for path in folder.iterdir() if path.name != ".lock")
    assert files == ["record.json", "vector.safetensors"]
    record = read_json(folder / "record.json")
    assert len(record["losses"]) == 6 and record["theta0"] == clip.fingerprint and record["versions"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (configs("taujp-efficient", penalty_batch_size=4), "joint training takes a method that sees nothing but its"),
        ([configs()[0], configs(seed=1)[1]], "configurations that differ in nothing but their task"),
    ],
)
def test_what_is_no_joint_training_is_refused(given, sentence, mini, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        train_jointly(given, tmp_path, mini)
    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_not_finite_stops_it(mini, tmp_path):
    clip = tiny_clip(mini)
    with pytest.raises(FloatingPointError, match="2 tasks jointly is nan at step"):
        train_jointly(configs(peak_lr=1e30, warmup_steps=0), tmp_path, clip)
    assert not list(Path(tmp_path).rglob("vector.safetensors"))
