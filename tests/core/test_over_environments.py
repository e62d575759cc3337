"""Methods over environments: what a step sees, and that a gradient is that of the objective it is told."""

import pytest
import torch
from conftest import random_like, tiny_clip

from taujp_core.datasets import load_split
from taujp_core.invariance import Environment, Step, find_objective
from taujp_core.invariance.pair import OBJECTIVE as PAIR
from taujp_core.invariance.pair import objectives, pareto_weights
from taujp_core.methods import METHODS, Batch, find_method
from taujp_core.models import logits, zero_shot_head
from taujp_core.suites import load_suite
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune
from taujp_core.training.step_images import parts_of, step_batches

SUITE = load_suite("mini")
TASK = SUITE.task("uci")
OVER = [name for name, method in METHODS.items() if method.others == "environments"]
SHORT = {"steps": 4, "batch_size": 8, "penalty_batch_size": 8}


def config(method: str = "irmv1", **changes):
    return run_config(SUITE, "uci", method, tasks=["uci", "mnist"], **SHORT | changes)


def batch(step: int) -> Batch:
    """Digits of two makes: environments, for they have the same classes."""
    first, second = (load_split(SUITE.task(name), "train")[:6] for name in ("uci", "mnist"))
    return Batch(*first, first[0][:0], (second,), step)


def test_every_environment_is_seen_with_its_labels_at_every_step():
    train, other = (load_split(SUITE.task(name), "train") for name in ("uci", "mnist"))
    assert config().penalty_tasks == ("mnist",)  # and not the control
    images, labels, others = step_batches(config(), train, [other], 3)
    (one,) = parts_of(images, labels, others, config(), 3)
    assert (len(one.labels), len(one.others), one.step) == (8, 0, 3)
    ((theirs, their_labels),) = one.environments
    pairs = {(image.numpy().tobytes(), int(y)) for image, y in zip(*other.tensors, strict=True)}
    assert {(image.numpy().tobytes(), int(y)) for image, y in zip(theirs, their_labels, strict=True)} <= pairs


def environments(clip, method: str, tau, ours: Batch) -> tuple[list[Environment], torch.Tensor]:
    """What the objective is asked about at τ, by an evaluation of its own; and the features."""
    head = zero_shot_head(clip, TASK.classes, TASK.templates)
    pictures = torch.cat([ours.images, ours.environments[0][0]])
    features = find_method(method).application.features(clip, tau, pictures).detach().requires_grad_()
    labels = (ours.labels, ours.environments[0][1])
    return [Environment(logits(f, head), y, f) for f, y in zip(features.split(6), labels, strict=True)], features


def fixed_mix(found: list[Environment], features: torch.Tensor) -> torch.Tensor:
    """PAIR's weights, which its gradient takes as they are."""
    losses = objectives(found)
    slopes = torch.stack([torch.autograd.grad(one, features, retain_graph=True)[0].flatten() for one in losses])
    preference = torch.tensor(PAIR.parameters["preference"])
    return torch.from_numpy(
        pareto_weights(losses.detach().numpy(), (slopes @ slopes.T).numpy(), preference.double().numpy(), 0.1)
    )


@pytest.mark.parametrize("method", OVER)
def test_the_gradient_is_that_of_the_objective(method, mini64):
    """Against a central difference in float64, along a random direction, after the start of all weights."""
    ours, size = batch(30), 1e-5
    head = zero_shot_head(mini64, TASK.classes, TASK.templates)
    tau, direction = (random_like(mini64.theta0, seed, 0.02) for seed in (1, 2))
    parameters = {**config(method).method_parameters(), **({"penalty_weight": 5.0} if "irm" in method else {})}
    objective = find_objective(method.removesuffix("-linear"))
    mix = fixed_mix(*environments(mini64, method, tau, ours)) if objective is PAIR else None

    def value(along: float) -> float:
        moved = {name: value + along * direction[name] for name, value in tau.items()}
        found, _ = environments(mini64, method, moved, ours)
        if mix is not None:
            return (mix @ objectives(found)).item()
        return objective(found, Step(30, generator=torch.Generator().manual_seed(30)), **parameters).item()

    gradient, loss, penalty = METHODS[method].gradient(mini64, head, tau, ours, **parameters)
    slope = sum((gradient[name] * direction[name]).sum() for name in gradient).item()
    assert slope == pytest.approx((value(size) - value(-size)) / (2 * size), rel=1e-5)
    found, _ = environments(mini64, method, tau, ours)
    assert [loss.item(), penalty.item()] == pytest.approx(objectives(found)[:2].tolist(), rel=1e-9)


def test_a_training_is_recorded_with_its_parameters(mini, tmp_path):
    clip = tiny_clip(mini)
    run = finetune(config("ib-irm-linear", variance_weight=0.5), tmp_path, clip)
    assert run.record["config"]["options"] == {"anneal_steps": 10, "variance_weight": 0.5}
    assert len(run.record["history"]) == 4
    assert finetune(config("ib-irm-linear", variance_weight=0.5), tmp_path, clip).record == run.record


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"tasks": ["uci"]}, "irmv1 needs at least one other data set"),
        ({"tasks": ["uci", "letters"]}, "letters is no environment of uci: its classes are others"),
        ({"accumulation": 2}, "irmv1 takes a batch of every environment at each step: accumulation must be 1"),
        ({"penalty_start": 2}, "irmv1 takes a batch of every environment at each step: penalty_start must be 0"),
        ({"penalty_batch_size": 0}, "penalty_batch_size must be at least 1, not 0"),
    ],
)
def test_what_are_no_environments_is_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        run_config(SUITE, "uci", "irmv1", **{"tasks": ["uci", "mnist"], **SHORT, **changes})
