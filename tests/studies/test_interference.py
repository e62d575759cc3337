"""Interference against brute force, edits against dense algebra, placebos that leave τJp alone, bad arguments."""

import dataclasses

import pytest
import torch
from conftest import random_images, random_like
from torch.func import functional_call, jacrev

from analysis.interference import (
    conjugate_gradients,
    edit_direction,
    exposure,
    interference,
    placebo_direction,
    reduce_tau_jp,
)
from analysis.products import edited_source, measure_products
from taujp_core.applications import find_application
from taujp_core.datasets import Split, load_split
from taujp_core.evaluation import accuracy, linearised_features
from taujp_core.models import logits, zero_shot_head
from taujp_core.parameters import flat, named
from taujp_core.products.jacobian import jacobian_products, product_norms, transpose_product
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector, edited


def dense_jacobian(network, theta, images):
    """[n·d, p], in the order of `flat`."""
    blocks = jacrev(lambda t: functional_call(network, t, (images,)))(theta)
    outputs = len(images) * 5
    return torch.cat([blocks[name].reshape(outputs, -1) for name in sorted(theta)], 1)


def tau_jp(network, theta, tau, images):
    return product_norms(jacobian_products(network, theta, [tau], images)[1][0]).mean().item()


def test_conjugate_gradients_solve_a_dense_system():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(12, 12, generator=generator, dtype=torch.float64)
    matrix, right = root @ root.T + torch.eye(12), torch.randn(12, generator=generator, dtype=torch.float64)
    x = conjugate_gradients(lambda v: matrix @ v, right, 60)
    assert torch.allclose(x, torch.linalg.solve(matrix, right), rtol=1e-9, atol=1e-11)
    assert torch.equal(conjugate_gradients(lambda v: matrix @ v, 0 * right, 5), 0 * right)


def test_the_edit_is_the_dense_solution(small):
    network, theta = small
    tau, moved, kept = random_like(theta, 1), random_images(4, 1), random_images(3, 2)
    jm, jk = dense_jacobian(network, theta, moved), dense_jacobian(network, theta, kept)
    gm, gk, vector = jm.T @ jm / 4, jk.T @ jk / 3, flat(tau)
    rho = 0.5 * (vector @ gm @ vector / (vector @ vector)).item()
    expected = torch.linalg.solve(gm + 2.0 * gk + rho * torch.eye(len(vector)), -gm @ vector)
    found = flat(edit_direction(network, theta, tau, moved, kept, 2.0, 0.5, 300))
    assert torch.allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_an_edit_takes_the_effect_away_where_asked_and_keeps_it_elsewhere(small):
    network, theta = small
    tau, moved, kept = random_like(theta, 1), random_images(4, 1), random_images(4, 2)
    delta = edit_direction(network, theta, tau, moved, kept, 1.0, 1e-6, 300)
    for dose in (1.0, 0.5, -1.0):
        after = {name: value + dose * delta[name] for name, value in tau.items()}
        ratio = tau_jp(network, theta, after, moved) / tau_jp(network, theta, tau, moved)
        assert ratio == pytest.approx(1 - dose, abs=1e-3)
        _, (before_own, after_own) = jacobian_products(network, theta, [tau, after], kept)
        assert torch.allclose(before_own, after_own, rtol=1e-3, atol=1e-3 * before_own.abs().max())


def test_a_placebo_has_the_norm_and_leaves_tau_jp_where_it_was(small):
    network, theta = small
    tau, fixed = random_like(theta, 1), random_images(6, 1)
    placebo = placebo_direction(network, theta, fixed, 3.0, 0, 1e-6, 300)
    assert torch.linalg.vector_norm(flat(placebo)).item() == pytest.approx(3.0)
    for sign in (1, -1):
        after = {name: value + sign * placebo[name] for name, value in tau.items()}
        assert tau_jp(network, theta, after, fixed) == pytest.approx(tau_jp(network, theta, tau, fixed), rel=1e-3)
    elsewhere = {name: value + placebo[name] for name, value in tau.items()}
    assert tau_jp(network, theta, elsewhere, random_images(6, 9)) > 1.5 * tau_jp(
        network, theta, tau, random_images(6, 9)
    )
    other = placebo_direction(network, theta, fixed, 3.0, 1, 1e-6, 300)
    assert not torch.allclose(flat(placebo), flat(other))


def head_and_split(clip, count=30):
    task = load_suite("mini").task("signs")
    head = zero_shot_head(clip, task.classes, task.templates)
    images = load_split(load_suite("mini").task("signs"), "validation")[:count][0]
    return head, Split(images, torch.arange(count) % 18)


@pytest.mark.parametrize("application", ["linearised", "encoder"])
def test_interference_is_what_a_second_evaluation_finds(application, mini64):
    """In float64, where no image sits on a boundary that rounding could move."""
    target, source = (
        TaskVector(random_like(mini64.theta0, k, size), mini64.fingerprint, "signs", "linear")
        for k, size in ((1, 0.001), (2, 0.03))  # the second one spoils the first one's predictions
    )
    head, split = head_and_split(mini64)
    rows = interference(
        edited_source(mini64, [target, source], split, find_application(application)),
        head,
        [1.0, 0.0],
        [[1.0, 1.0], [1.0, -0.5], [1.0, 0.0]],
    )
    images, labels = split.tensors

    def found(coefficient):
        tau = edited(target.tau, [source], [coefficient])
        if application == "linearised":
            return linearised_features(mini64.encoder, mini64.theta0, tau, images)
        theta = {name: value + tau[name] for name, value in mini64.theta0.items()}
        return functional_call(mini64.encoder, theta, (images,))

    alone = found(0.0)
    for (_, row), coefficient in zip(rows.iterrows(), (1.0, -0.5, 0.0), strict=True):
        both = found(coefficient)
        loss = [torch.nn.functional.cross_entropy(logits(f, head), labels).item() for f in (alone, both)]
        assert row.accuracy_loss == pytest.approx(accuracy(alone, head, labels) - accuracy(both, head, labels))
        assert row.loss_change == pytest.approx(loss[1] - loss[0], abs=1e-9)
        other = logits(both, head).argmax(-1) != logits(alone, head).argmax(-1)
        assert row.changed == pytest.approx(other.double().mean().item())
    assert rows.changed[0] > 0
    assert rows.iloc[2].abs().max() == 0


def test_metrics_are_norms_of_derivatives(mini64):
    vectors = [TaskVector(random_like(mini64.theta0, k, 0.01), mini64.fingerprint, "uci", "linear") for k in (1, 2)]
    head, split = head_and_split(mini64, 6)
    found = exposure(measure_products(mini64, vectors, split), head, [[1.0, 0.0], [0.5, 2.0]])
    tau = edited({name: torch.zeros_like(value) for name, value in mini64.theta0.items()}, vectors, [0.5, 2.0])
    images = split.tensors[0]

    def at(step):
        theta = {name: value + step * tau[name] for name, value in mini64.theta0.items()}
        return functional_call(mini64.encoder, theta, (images,))

    step = 1e-4
    for name, of in (("tau_jp", lambda f: f), ("logit_jp", lambda f: logits(f, head))):
        norms = product_norms((of(at(step)) - of(at(-step))) / (2 * step))
        assert found[name][1] == pytest.approx(norms.mean().item(), rel=1e-4)
        assert found[f"{name}_squared"][1] == pytest.approx(norms.square().mean().item(), rel=1e-4)


def test_a_reduced_vector_has_lower_tau_jp_on_images_it_never_saw_and_its_own_effect(mini):
    suite = load_suite("mini")
    images = {name: load_split(suite.task(name), "train")[:16][0] for name in ("signs", "mnist", "terrain")}
    # A direction with an effect: signs' features pushed along a fixed direction (a gradient, as in training).
    features = jacobian_products(mini.encoder, mini.theta0, [mini.theta0], images["signs"][:1])[0]
    push = torch.randn(features.shape, generator=torch.Generator().manual_seed(0)).expand(16, -1).contiguous()
    gradient = transpose_product(mini.encoder, mini.theta0, push, images["signs"])
    length = torch.linalg.vector_norm(flat(gradient))
    tau = {name: value / length for name, value in gradient.items()}
    vector = TaskVector(tau, mini.fingerprint, "signs", "linear")
    reduced = reduce_tau_jp(vector, mini, images["signs"], [images["mnist"], images["terrain"]], iterations=8)
    assert (reduced.task, reduced.method, reduced.theta0_fingerprint) == ("signs", "linear", mini.fingerprint)
    assert all(torch.equal(vector.tau[name], tau[name]) for name in tau)
    unseen = {name: load_split(suite.task(name), "validation")[:16][0] for name in images}
    ratios = {
        name: tau_jp(mini.encoder, mini.theta0, reduced.tau, x) / tau_jp(mini.encoder, mini.theta0, tau, x)
        for name, x in unseen.items()
    }
    assert ratios["mnist"] < 0.7
    assert ratios["terrain"] < 0.7
    assert ratios["signs"] > 0.8


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"others": []}, ValueError, "at least one other are needed"),
        ({"own": random_images(1)[:0]}, ValueError, "no empty set"),
        ({"dose": float("nan")}, ValueError, "dose must be finite, not nan"),
        ({"own_weight": -1.0}, ValueError, "preserved_weight must be finite and not negative, not -1.0"),
        ({"damping": float("inf")}, ValueError, "damping must be finite and not negative, not inf"),
        ({"iterations": 0}, ValueError, "at least one iteration, not 0"),
    ],
)
def test_bad_arguments_are_answered_in_a_sentence(changes, error, sentence, mini):
    vector = TaskVector(random_like(mini.theta0, 1), mini.fingerprint, "uci", "linear")
    arguments = {"own": random_images(2), "others": [random_images(2)], **changes}
    with pytest.raises(error, match=sentence):
        reduce_tau_jp(vector, mini, **arguments)


def test_vectors_of_another_model_or_with_nan_are_refused(mini):
    vector = TaskVector(random_like(mini.theta0, 1), mini.fingerprint, "uci", "linear")
    with pytest.raises(ValueError, match="belongs to θ₀ 0123, not to this model's"):
        reduce_tau_jp(
            dataclasses.replace(vector, theta0_fingerprint="0123"), mini, random_images(2), [random_images(2)]
        )
    broken = {name: value * float("nan") for name, value in vector.tau.items()}
    with pytest.raises(FloatingPointError, match="the linear vector of uci holds NaN or infinity"):
        reduce_tau_jp(dataclasses.replace(vector, tau=broken), mini, random_images(2), [random_images(2)])


def test_flat_and_named_are_inverse(small):
    _, theta = small
    back = named(flat(theta), theta)
    assert list(back) == list(theta)
    assert all(torch.equal(back[name], theta[name]) for name in theta)
