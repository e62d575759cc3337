"""Coefficients from cached products: equal to models evaluated one by one, and to brute force."""

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from conftest import random_images, random_like

from analysis.coefficients import (
    COEFFICIENTS,
    disentanglement_map,
    disentanglement_summary,
    per_task_coefficients,
    scores,
)
from analysis.products import edited_source, measure_products, pair_sources
from taujp_core.applications.linearised import Products
from taujp_core.datasets import Split, load_split
from taujp_core.evaluation import features, linearised_features
from taujp_core.models import logits, zero_shot_head
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector, edited

SUITE = load_suite("mini")


def vectors(clip, method="linear", size=0.02):
    return [
        TaskVector(random_like(clip.theta0, k, size), clip.fingerprint, task, method)
        for k, task in enumerate(("uci", "signs"), 1)
    ]


def head(clip, task="uci"):
    return zero_shot_head(clip, SUITE.task(task).classes, SUITE.task(task).templates)


def test_curves_from_products_are_those_of_the_linearised_model(mini64):
    """Equal predictions at each α, in float64, against evaluating f₀ + J(Σατ) anew."""
    pair, images = vectors(mini64), random_images(40)
    ours = measure_products(mini64, pair, Split(images, torch.zeros(40, dtype=torch.long)))
    classes = head(mini64).double()
    for alpha in COEFFICIENTS[::3]:
        tau = {name: alpha * (pair[0].tau[name] + pair[1].tau[name]) for name in mini64.theta0}
        expected = logits(linearised_features(mini64.encoder, mini64.theta0, tau, images), classes).argmax(-1)
        assert torch.equal(logits(ours.edited_features([alpha, alpha]), classes).argmax(-1), expected)


@pytest.mark.parametrize("method", ["linear", "standard"])
def test_scores_are_accuracy_and_cross_entropy_at_each_point(method, mini64):
    """In float64, where no image sits on a boundary that rounding could move."""
    pair, split = vectors(mini64, method), load_split(SUITE.task("uci"), "validation").first(50)
    points = [[0.0, 0.0], [1.0, -0.5]]
    found = scores(edited_source(mini64, pair, split), head(mini64), points)
    for (first, second), row in zip(points, found.itertuples(), strict=True):
        tau = {name: first * pair[0].tau[name] + second * pair[1].tau[name] for name in mini64.theta0}
        theta = edited(mini64.theta0, pair, [first, second])
        images, labels = split.tensors
        feature = (
            features(mini64.encoder, theta, images)
            if method == "standard"
            else linearised_features(mini64.encoder, mini64.theta0, tau, images)
        )
        expected = logits(feature, head(mini64))
        assert row.accuracy == (expected.argmax(-1) == labels).double().mean().item()
        assert row.loss == pytest.approx(F.cross_entropy(expected, labels).item(), rel=1e-9)


def planted(moves: list[list[list[float]]]) -> Products:
    """Two-dimensional features (1, 0) for each image, and these products [t, n, 2]; class k is direction k."""
    products = torch.tensor(moves)
    return Products(torch.tensor([[1.0, 0.0]] * products.shape[1]), products, torch.zeros(products.shape[1]).long())


def test_the_disentanglement_error_counts_what_the_other_vector_changes():
    """Vector 2 turns one of the first task's two images at α₂ > 0.5; vector 1 leaves the second task's alone."""
    first = planted([[[0.0, 0.0], [0.0, 0.0]], [[0.0, 2.0], [0.0, 0.0]]])
    second = planted([[[0.0, 0.0]], [[0.0, 3.0]]])
    found = disentanglement_map([first, second], [torch.eye(2), torch.eye(2)], [-1.0, 0.0, 1.0])
    assert len(found) == 9
    assert set(found.alpha_1) == {-1.0, 0.0, 1.0}
    for row in found.itertuples():
        assert row.error_1 == (0.5 if row.alpha_2 == 1.0 else 0.0)
        assert row.error_2 == 0.0  # its own vector's effect is no error
        assert row.error == row.error_1 + row.error_2
    summary = disentanglement_summary(found.assign(method="linear")).loc["linear"]
    assert (summary.error, summary.error_within, summary.error_at_one) == pytest.approx((1 / 6, 1 / 4, 1 / 2))


def test_maps_that_cannot_be_summed_up_are_refused():
    source = planted([[[0.0, 0.0]], [[0.0, 1.0]]])
    with pytest.raises(ValueError, match="takes two tasks, not 1"):
        disentanglement_map([source], [torch.eye(2)], [0.0, 1.0])
    with pytest.raises(ValueError, match=r"must hold 0 and 1: -2.0, 2.0"):
        disentanglement_map([source, source], [torch.eye(2)] * 2, [-2.0, 2.0])


@pytest.mark.parametrize("method", ["linear", "standard"])
def test_a_map_equals_predictions_of_edited_models(method, mini64):
    """In float64, where no image sits on a boundary that rounding could move."""
    pair = vectors(mini64, method, 0.05)
    sources, heads = pair_sources(mini64, SUITE, pair, 8)
    found = disentanglement_map(sources, heads, [0.0, 1.0, 1.5]).set_index(["alpha_1", "alpha_2"])
    for (first, second), row in found.iterrows():
        for t, task in enumerate(("uci", "signs")):
            images = load_split(SUITE.task(task), "validation").tensors[0][:8]
            both, alone = (
                predictions(mini64, method, pair, images, head(mini64, task), alpha)
                for alpha in ([first, second], [first, 0.0] if t == 0 else [0.0, second])
            )
            assert row[f"error_{t + 1}"] == (both != alone).double().mean().item()
    assert found.error.max() > 0


def predictions(clip, method, pair, images, classes, alpha):
    if method == "standard":
        return logits(features(clip.encoder, edited(clip.theta0, pair, alpha), images), classes).argmax(-1)
    tau = {name: alpha[0] * pair[0].tau[name] + alpha[1] * pair[1].tau[name] for name in clip.theta0}
    return logits(linearised_features(clip.encoder, clip.theta0, tau, images), classes).argmax(-1)


def test_per_task_coefficients_find_the_minimum_of_the_loss():
    """Against a grid: vector 1 helps task 1, vector 2 hurts it beyond a small dose.

    In float64: a step of 1e-3 from the minimum raises the loss by about 1e-8, which float32 cannot see.
    """
    generator = torch.Generator().manual_seed(0)
    sources, heads = [], [3 * torch.eye(4, dtype=torch.float64) for _ in range(2)]
    for k in range(2):
        labels = torch.randint(0, 4, (60,), generator=generator)
        right = torch.eye(4, dtype=torch.float64)[labels]
        features, noise, harmful = torch.randn(3, 60, 4, generator=generator, dtype=torch.float64)
        features += right  # were θ₀ to know nothing, the loss would fall for ever
        useful = right + 0.5 * noise
        sources.append(Products(features, torch.stack([useful, harmful] if k == 0 else [harmful, useful]), labels))

    def loss(alpha):
        return np.mean([scores(s, h, [alpha]).loss[0] for s, h in zip(sources, heads, strict=True)])

    best = per_task_coefficients(sources, heads, 0.3)
    assert 0 < best.min() <= best.max() < 3
    grid = np.linspace(-0.5, 3, 36)
    on_grid = min(loss([a, b]) for a in grid for b in grid)
    assert loss(best.tolist()) < on_grid
    for k in range(2):
        for step in (-1e-3, 1e-3):
            moved = best.clone()
            moved[k] += step
            assert loss(moved.tolist()) > loss(best.tolist())


def test_a_vector_that_only_turns_features_away_gets_no_dose():
    """Two images on the axis of their class, which the vector moves to either side: α = 0 is best by symmetry."""
    sources = [planted([[[0.0, 1.0], [0.0, -1.0]]])]
    head = torch.tensor([[1.0, -0.5, -0.5], [0.0, 0.8, -0.8]])
    assert per_task_coefficients(sources, [head], 0.5).item() == pytest.approx(0, abs=1e-3)


def test_scores_are_a_row_a_point():
    found = scores(planted([[[0.0, 2.0]]]), torch.eye(2), [[0.0], [1.0]])
    pd.testing.assert_frame_equal(found[["accuracy"]], pd.DataFrame({"accuracy": [1.0, 0.0]}))


@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_a_loss_that_falls_for_ever_gives_a_bounded_coefficient(scale):
    """One image, moved towards its class's axis and never past it."""
    source = Products(torch.tensor([[1.0, 0.0]]), scale * torch.tensor([[[0.0, 1.0]]]), torch.tensor([1]))
    found = per_task_coefficients([source], [20 * torch.eye(2)], 0.3)
    assert 0.3 <= found.item() <= 100
    if scale == 1:
        assert scores(source, torch.eye(2), [found.tolist()]).accuracy[0] == 1
