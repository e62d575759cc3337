"""Jacobian products against finite differences and against autograd through a jvp."""

import pytest
import torch
import torch.nn.functional as F
from conftest import random_images, random_like
from torch.func import functional_call, jvp

from taujp_core.evaluation import features, linearised_features
from taujp_core.finetune import penalised_gradient
from taujp_core.jacobian import forward_mode, jacobian_products, linearised_gradient, product_norms
from taujp_core.models import Clip


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


def central_difference(encoder, theta0, tau, images, step: float) -> torch.Tensor:
    """(f(θ₀ + hτ) − f(θ₀ − hτ)) / 2h with one Richardson step, error O(h⁴)."""

    def difference(h):
        plus, minus = ({name: theta0[name] + sign * h * tau[name] for name in theta0} for sign in (1, -1))
        return (features(encoder, plus, images) - features(encoder, minus, images)) / (2 * h)

    return (4 * difference(step) - difference(2 * step)) / 3


@pytest.mark.parametrize("which", ["small", "mini64"])
def test_products_equal_central_differences(which, request):
    model = request.getfixturevalue(which)
    encoder, theta0 = model if which == "small" else (model.encoder, model.theta0)
    images, tau = random_images(7), random_like(theta0, 1)
    primal, products = jacobian_products(encoder, theta0, [tau], images)
    assert relative_error(products[0], central_difference(encoder, theta0, tau, images, 1e-3)) < 1e-7
    assert torch.allclose(primal, features(encoder, theta0, images), rtol=0, atol=1e-12)


def test_linearised_features_are_the_first_order_taylor_expansion(mini64):
    images, tau = random_images(5), random_like(mini64.theta0, 2)
    expected = features(mini64.encoder, mini64.theta0, images)
    expected = expected + central_difference(mini64.encoder, mini64.theta0, tau, images, 1e-3)
    assert relative_error(linearised_features(mini64.encoder, mini64.theta0, tau, images), expected) < 1e-7


def test_several_vectors_in_chunks_equal_single_products(mini64):
    images = random_images(7)
    taus = [random_like(mini64.theta0, seed) for seed in (3, 4, 5)]
    _, together = jacobian_products(mini64.encoder, mini64.theta0, taus, images, chunk=3)
    for k, tau in enumerate(taus):
        _, alone = jacobian_products(mini64.encoder, mini64.theta0, [tau], images)
        assert relative_error(together[k], alone[0]) < 1e-12


def brute_force(encoder, theta0, tau, images, loss) -> dict[str, torch.Tensor]:
    """Autograd through torch.func.jvp: the slow way."""
    tau = {name: value.clone().requires_grad_() for name, value in tau.items()}
    with forward_mode():
        f0, products = jvp(lambda theta: functional_call(encoder, theta, (images,)), (theta0,), (tau,))
        return dict(zip(tau, torch.autograd.grad(loss(f0, products), list(tau.values())), strict=True))


def test_step_gradient_equals_autograd_through_jvp(mini64):
    images, tau = random_images(6), random_like(mini64.theta0, 6)
    target = torch.arange(6)

    def loss(f0, products):
        return F.cross_entropy(f0 + products, target)

    ours, _ = linearised_gradient(mini64.encoder, mini64.theta0, tau, images, lambda f, p: (loss(f, p), None))
    theirs = brute_force(mini64.encoder, mini64.theta0, tau, images, loss)
    for name, value in theirs.items():
        assert (ours[name] - value).norm() <= 1e-10 * max(value.norm().item(), 1e-6), name


def test_gradient_of_the_penalised_objective_equals_finite_differences(small):
    """CE(f₀ + Jτ) + λ mean ‖Jτ‖ on a small network: every coordinate of a random direction."""
    encoder, theta0 = small
    clip = Clip("small", encoder, None, encoder, theta0, "", 32, 1.0)
    images, labels, penalised = random_images(4), torch.tensor([0, 1, 2, 0]), random_images(6, seed=1)
    head = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    tau, penalty_weight = random_like(theta0, 7, 0.2), 0.7
    gradient, (loss, penalty) = penalised_gradient(clip, head, tau, images, labels, penalised, penalty_weight)

    def objective(tau):
        edited = linearised_features(encoder, theta0, tau, images)
        task = F.cross_entropy(F.normalize(edited, dim=-1) @ head, labels)
        _, products = jacobian_products(encoder, theta0, [tau], penalised)
        norms = (products[0] ** 2).sum(-1).sqrt()  # not squared, not normalised
        return task + penalty_weight * norms.mean(), task, norms.mean()

    value, task, norms = objective(tau)
    assert loss == pytest.approx(task.item(), rel=1e-12)
    assert penalty == pytest.approx(norms.item(), rel=1e-12)
    for seed in range(5):
        direction, h = random_like(theta0, 100 + seed, 1.0), 1e-5
        plus, minus = ({name: tau[name] + sign * h * direction[name] for name in tau} for sign in (1, -1))
        slope = ((objective(plus)[0] - objective(minus)[0]) / (2 * h)).item()
        ours = sum((gradient[name] * direction[name]).sum() for name in tau).item()
        assert ours == pytest.approx(slope, rel=1e-6, abs=1e-8 * abs(value.item()))


def test_penalty_has_gradient_zero_at_tau_zero(small):
    """The norm has no derivative at 0, where training starts; NaN there would spoil the first step."""
    encoder, theta0 = small
    zero = {name: torch.zeros_like(value) for name, value in theta0.items()}
    gradient, penalty = linearised_gradient(
        encoder, theta0, zero, random_images(3), lambda f0, p: (product_norms(p).mean(), product_norms(p).mean().item())
    )
    assert penalty == 0.0
    assert all((value == 0).all() for value in gradient.values())


def test_forward_mode_restores_the_fast_path():
    before = torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(RuntimeError, match="inside"), forward_mode():
        assert not torch.backends.mha.get_fastpath_enabled()
        raise RuntimeError("inside")
    assert torch.backends.mha.get_fastpath_enabled() == before
