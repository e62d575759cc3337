"""Jacobian products against finite differences, brute force and autograd through a jvp, in float64."""

import pytest
import torch
import torch.nn.functional as F
from conftest import SmallNetwork, random_images, random_like
from torch import nn
from torch.func import functional_call, jacrev, jvp
from towers import TOWERS, brute_force, central_difference, inner, pytorch_rules, relative_error

from taujp_core.evaluation import features, linearised_features
from taujp_core.methods import METHODS, Batch
from taujp_core.models import Clip, ImageEncoder
from taujp_core.pretrained import load_clip
from taujp_core.products.jacobian import (
    gauss_newton_product,
    jacobian_products,
    linearised_gradient,
    product_norms,
    transpose_product,
)


@pytest.fixture(params=TOWERS)
def network(request) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """An encoder of bytes with random weights in float64, batch norms with statistics of their own, and θ₀."""
    torch.manual_seed(0)
    tower = TOWERS[request.param]()
    for module in tower.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    if not isinstance(tower, SmallNetwork):
        tower = ImageEncoder(tower, (0.5,) * 3, (0.25,) * 3)
    tower = tower.double().eval().requires_grad_(False)
    return tower, {name: value.clone() for name, value in tower.named_parameters()}


def test_products_equal_central_differences(network):
    encoder, theta0 = network
    images, taus = random_images(7), [random_like(theta0, seed) for seed in (1, 2, 3)]
    f0, products = jacobian_products(encoder, theta0, taus, images)
    for tau, product in zip(taus, products, strict=True):
        # Steps small enough that no ReLU of a ResNet changes sides: at 1e-5 some did.
        assert relative_error(product, central_difference(encoder, theta0, tau, images, 1e-6)) < 1e-7
    assert torch.allclose(f0, features(encoder, theta0, images), rtol=0, atol=1e-12)


def test_linearised_features_are_the_first_order_taylor_expansion(mini64):
    images, tau = random_images(5), random_like(mini64.theta0, 2)
    expected = features(mini64.encoder, mini64.theta0, images)
    expected = expected + central_difference(mini64.encoder, mini64.theta0, tau, images, 1e-3)
    assert relative_error(linearised_features(mini64.encoder, mini64.theta0, tau, images), expected) < 1e-7


def test_vectors_that_leave_parameters_alone(network):
    """A τ that is zero but for one tensor: every rule meets tangents that are zero."""
    encoder, theta0 = network
    images = random_images(3)
    kinds = {(name.rpartition(".")[2], value.shape): name for name, value in theta0.items()}
    zeros, step = {name: torch.zeros_like(value) for name, value in theta0.items()}, random_like(theta0, 1)
    for moved in kinds.values():
        tau = zeros | {moved: step[moved]}
        with pytorch_rules():
            _, expected = jvp(lambda theta: functional_call(encoder, theta, (images,)), (theta0,), (tau,))
        assert (jacobian_products(encoder, theta0, [tau], images)[1][0] - expected).norm() < 1e-12, moved


def test_vectors_may_name_parameters_in_another_order(mini64):
    """As those from files do."""
    images, tau = random_images(2), random_like(mini64.theta0, 1)
    shuffled = {name: tau[name] for name in sorted(tau, reverse=True)}
    expected = jacobian_products(mini64.encoder, mini64.theta0, [tau], images)[1]
    assert relative_error(jacobian_products(mini64.encoder, mini64.theta0, [shuffled], images)[1], expected) < 1e-12
    gradients = [
        linearised_gradient(mini64.encoder, mini64.theta0, vector, images, lambda f, p: (p.square().sum(), None))[0]
        for vector in (tau, shuffled)
    ]
    for name, value in gradients[0].items():
        assert (gradients[1][name] - value).norm() <= 1e-12 * value.norm(), name


def test_gradients_under_no_grad(small):
    encoder, theta0 = small
    images, tau = random_images(3), random_like(theta0, 1)
    expected = gauss_newton_product(encoder, theta0, tau, images)
    with torch.no_grad():
        found = gauss_newton_product(encoder, theta0, tau, images)
    for name, value in expected.items():
        assert (found[name] - value).norm() <= 1e-12 * value.norm(), name


def test_step_gradient_equals_autograd_through_jvp(network):
    encoder, theta0 = network
    images, tau = random_images(5), random_like(theta0, 6)
    target = torch.arange(5)

    def loss(f0, products):
        return F.cross_entropy(f0 + products, target)

    ours, _ = linearised_gradient(encoder, theta0, tau, images, lambda f, p: (loss(f, p), None))
    theirs = brute_force(encoder, theta0, tau, images, loss)
    whole = sum(value.square().sum() for value in theirs.values()).sqrt().item()
    for name, value in theirs.items():
        assert (ours[name] - value).norm() <= 1e-10 * max(value.norm().item(), 1e-3 * whole), name


def test_transposed_product_is_the_adjoint(network):
    """⟨u, Jv⟩ = ⟨Jᵀu, v⟩."""
    encoder, theta0 = network
    images, v = random_images(6), random_like(theta0, 8)
    f0, (product,) = jacobian_products(encoder, theta0, [v], images)
    u = torch.randn(f0.shape, dtype=f0.dtype, generator=torch.Generator().manual_seed(1))
    left = (u * product).sum().item()
    assert inner(transpose_product(encoder, theta0, u, images), v) == pytest.approx(left, rel=1e-10)


def test_gauss_newton_product_is_the_mean_of_transposed_products(network):
    encoder, theta0 = network
    images, v = random_images(6), random_like(theta0, 9)
    _, (product,) = jacobian_products(encoder, theta0, [v], images)
    theirs = transpose_product(encoder, theta0, product, images)
    ours = gauss_newton_product(encoder, theta0, v, images)
    difference = {name: ours[name] - theirs[name] / len(images) for name in ours}
    assert inner(difference, difference) < 1e-20 * inner(ours, ours)
    assert inner(ours, v) == pytest.approx(product.square().sum(-1).mean().item(), rel=1e-10)  # ⟨v, Gv⟩


def test_products_equal_those_of_the_whole_jacobian(small):
    """Brute force: J as a matrix [n, d, parameters]."""
    encoder, theta0 = small
    images, v = random_images(4), random_like(theta0, 10)
    jacobian = jacrev(lambda theta: functional_call(encoder, theta, (images,)))(theta0)
    matrix = torch.cat([jacobian[name].flatten(2) for name in theta0], -1)
    vector = torch.cat([v[name].flatten() for name in theta0])
    assert relative_error(jacobian_products(encoder, theta0, [v], images)[1][0], matrix @ vector) < 1e-12
    gauss_newton = torch.einsum("ndp,ndq,q->p", matrix, matrix, vector) / len(images)
    ours = gauss_newton_product(encoder, theta0, v, images)
    assert relative_error(torch.cat([ours[name].flatten() for name in theta0]), gauss_newton) < 1e-12


@pytest.mark.slow
def test_vit_b_32_in_float64():
    """The architecture of the paper, random weights: products to 1e-7, gradients to 1e-10."""
    clip = load_clip("ViT-B-32", "random", device="cpu")
    encoder, theta0 = clip.encoder.double(), {name: value.double() for name, value in clip.theta0.items()}
    images = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    tau = random_like(theta0, 1)
    _, (product,) = jacobian_products(encoder, theta0, [tau], images)
    assert relative_error(product, central_difference(encoder, theta0, tau, images, 1e-4)) < 1e-7

    def loss(f0, products):
        return F.cross_entropy(f0 + products, torch.tensor([3, 5]))

    ours, _ = linearised_gradient(encoder, theta0, tau, images, lambda f, p: (loss(f, p), None))
    theirs = brute_force(encoder, theta0, tau, images, loss)
    for name, value in theirs.items():
        assert (ours[name] - value).norm() <= 1e-10 * max(value.norm().item(), 1e-6), name


def test_gradient_of_the_penalised_objective_equals_finite_differences(small):
    """CE(f₀ + Jτ) + λ mean ‖Jτ‖ on a small network: every coordinate of a random direction."""
    encoder, theta0 = small
    clip = Clip("small", encoder, None, encoder, theta0, "", 32, 1.0)
    images, labels, penalised = random_images(4), torch.tensor([0, 1, 2, 0]), random_images(6, seed=1)
    head = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    tau, penalty_weight = random_like(theta0, 7, 0.2), 0.7
    batch = Batch(images, labels, penalised)
    gradient, loss, penalty = METHODS["taujp-strict"].gradient(clip, head, tau, batch, penalty_weight=penalty_weight)

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


def test_bad_arguments_are_answered_at_the_door(small):
    encoder, theta0 = small
    images = random_images(2)
    with pytest.raises(ValueError, match="at least one vector and one image are needed, not 0 and 2"):
        jacobian_products(encoder, theta0, [], images)
    with pytest.raises(ValueError, match="at least one vector and one image are needed, not 1 and 0"):
        gauss_newton_product(encoder, theta0, theta0, images[:0])
    with pytest.raises(ValueError, match="at least one vector and one image are needed, not 1 and 0"):
        transpose_product(encoder, theta0, torch.zeros(0, 5, dtype=torch.float64), images[:0])
    foreign = {**theta0, "head.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"do not name the same parameters: head\.weight"):
        jacobian_products(encoder, theta0, [theta0, foreign], images)
