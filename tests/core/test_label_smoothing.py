"""Label smoothing of a task's cross-entropy: against the formula written out, and beside the methods without it."""

from dataclasses import replace

import pytest
import torch
from conftest import random_images, random_like, tiny_clip
from torch.func import functional_call, jvp

from taujp_core.evaluation import cross_entropy
from taujp_core.methods import METHODS, Batch, find_method
from taujp_core.parameters import added, leaves
from taujp_core.suites import load_suite
from taujp_core.suites.recipe import check_recipe
from taujp_core.training.config import run_config
from taujp_core.training.run_store import identity

TWINS = [(name.removesuffix("-smoothed"), name) for name in METHODS if name.endswith("-smoothed")]
CLASSES = 5


@pytest.fixture
def clip(mini):
    tiny = tiny_clip(mini)
    encoder = tiny.encoder.double()
    return replace(tiny, encoder=encoder, theta0=dict(encoder.named_parameters()))


@pytest.fixture
def head() -> torch.Tensor:
    return 30 * torch.randn(128, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def batch(others: int = 0) -> Batch:
    return Batch(random_images(6), torch.tensor([0, 1, 2, 3, 4, 4]), random_images(4, 9)[:others])


def written_out(features: torch.Tensor, head: torch.Tensor, labels: torch.Tensor, share: float) -> torch.Tensor:
    """(1 − ε)·(−log p_y) + ε·mean over c of (−log p_c), image after image, class after class."""
    total = 0.0
    for feature, label in zip(features, labels, strict=True):
        answers = (feature / feature.norm()) @ head
        log_p = [answer - torch.logsumexp(answers, 0) for answer in answers]
        total = total - (1 - share) * log_p[label] - share * sum(log_p) / len(log_p)
    return total / len(labels)


def features_of(method: str, clip, tau, images) -> torch.Tensor:
    """By plain autograd, which may differentiate through both, for τ a leaf."""
    if find_method(method).application.affine:
        return sum(jvp(lambda theta: functional_call(clip.encoder, theta, (images,)), (clip.theta0,), (tau,)))
    return functional_call(clip.encoder, added(clip.theta0, tau), (images,))


def test_each_smoothed_method_has_its_method():
    assert [plain for plain, _ in TWINS] == ["linear", "standard", "taujp-strict"]
    for plain, smoothed in TWINS:
        ours, theirs = METHODS[smoothed], METHODS[plain]
        assert (ours.application, ours.others, ours.gradient) == (theirs.application, theirs.others, theirs.gradient)
        assert {**theirs.parameters, "label_smoothing": ours.parameters["label_smoothing"]} == ours.parameters


@pytest.mark.parametrize("share", [0.0, 0.1, 0.75, 1.0])
def test_the_loss_is_the_formula(share, head):
    features, labels = torch.randn(6, 128, dtype=torch.float64), batch().labels
    assert cross_entropy(features, head, labels, share).item() == pytest.approx(
        written_out(features, head, labels, share).item(), rel=1e-12
    )


@pytest.mark.parametrize("smoothed", [smoothed for _, smoothed in TWINS])
def test_loss_and_gradient_equal_autograd_of_the_formula(smoothed, clip, head):
    tau = leaves(random_like(clip.theta0, 1))
    ours, share = batch(), 0.3
    loss = written_out(features_of(smoothed, clip, tau, ours.images), head, ours.labels, share)
    slopes = dict(zip(tau, torch.autograd.grad(loss, list(tau.values()), materialize_grads=True), strict=True))
    found, its_loss, penalty = METHODS[smoothed].gradient(clip, head, tau, ours, label_smoothing=share)
    assert its_loss.item() == pytest.approx(loss.item(), rel=1e-10) and penalty == 0
    for name, slope in slopes.items():
        assert torch.allclose(found[name], slope, rtol=1e-7, atol=1e-9 * slope.abs().max().item() + 1e-14), name


@pytest.mark.parametrize(("plain", "smoothed"), TWINS)
def test_without_smoothing_a_step_is_that_of_the_method_to_the_last_bit(plain, smoothed, clip, head):
    tau = random_like(clip.theta0, 1)
    others = 4 if METHODS[plain].penalised else 0
    for count in {0, others}:
        ours, theirs = (
            METHODS[name].gradient(clip, head, tau, batch(count), **more)
            for name, more in [(smoothed, {"label_smoothing": 0.0}), (plain, {})]
        )
        assert ours[1:] == theirs[1:] and all(torch.equal(ours[0][name], theirs[0][name]) for name in tau)


def test_the_penalty_is_not_smoothed(clip, head):
    """With images of others, smoothing changes the gradient by what it changes without them."""
    tau, weight = random_like(clip.theta0, 1), 0.4
    gradient = METHODS["taujp-strict-smoothed"].gradient
    found = {
        (count, share): gradient(clip, head, tau, batch(count), penalty_weight=weight, label_smoothing=share)
        for count in (0, 4)
        for share in (0.0, 0.3)
    }
    assert found[4, 0.3][2] == found[4, 0.0][2] > 0
    for name, value in found[4, 0.3][0].items():
        change = found[0, 0.3][0][name] - found[0, 0.0][0][name]
        assert torch.allclose(value - found[4, 0.0][0][name], change, rtol=1e-7, atol=1e-10), name


def test_what_is_no_share_is_refused_in_one_sentence():
    for share, said in [(1.5, "at most 1, not 1.5"), (-0.1, "not negative"), ("much", "must be a number, not 'much'")]:
        with pytest.raises((ValueError, TypeError), match=rf"^label_smoothing .*{said}"):
            run_config("mini", "uci", "standard-smoothed", label_smoothing=share)
    suite = load_suite("mini")
    with pytest.raises(ValueError, match=r"^label_smoothing of the recipe must be at most 1, not 3"):
        check_recipe({**suite.recipe, "label_smoothing": 3})


def test_runs_of_other_methods_know_nothing_of_it():
    """Their names would be others: all parameters are in a run's identity."""
    for plain, smoothed in TWINS:
        assert "label_smoothing" not in identity(run_config("mini", "uci", plain, label_smoothing=0.3), "θ₀")["options"]
        ours = [identity(run_config("mini", "uci", smoothed, **more), "θ₀") for more in ({}, {"label_smoothing": 0.3})]
        assert [one["options"]["label_smoothing"] for one in ours] == [0.1, 0.3]
