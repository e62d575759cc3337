"""Jacobian products against finite differences, brute force and autograd through a jvp, in float64."""

import runpy
import warnings
from contextlib import contextmanager
from pathlib import Path

import open_clip
import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from conftest import SmallNetwork, random_images, random_like
from torch import nn
from torch.func import functional_call, jacrev, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from taujp_core import jacobian, memory
from taujp_core.evaluation import features, linearised_features
from taujp_core.finetune import penalised_gradient
from taujp_core.forward_mode import RULES, forward_mode
from taujp_core.jacobian import (
    gauss_newton_product,
    jacobian_products,
    linearised_gradient,
    product_norms,
    transpose_product,
)
from taujp_core.models import Clip, ImageEncoder, load_clip
from taujp_core.precision import precision

peak_bytes = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "jacobian.py"))["peak_bytes"]
CPU = torch.device("cpu")


def open_clip_tower(**changes) -> nn.Module:
    sizes = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "heads": 2, "mlp_ratio": 4.0, "output_dim": 9}
    return open_clip.transformer.VisionTransformer(**sizes | changes)


TOWERS = {
    "linear and convolution": SmallNetwork,
    "open_clip ViT": open_clip_tower,
    "open_clip ViT, QuickGELU": lambda: open_clip_tower(act_layer=open_clip.transformer.QuickGELU),
    "open_clip ViT, attentional pool": lambda: open_clip_tower(attentional_pool=True, output_dim=8),
    "open_clip ResNet": lambda: open_clip.modified_resnet.ModifiedResNet((1, 1, 1, 1), 9, 4, 32, 8),
    "timm ViT": lambda: timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2, num_classes=9),
    "torchvision ResNet": lambda: torchvision.models.resnet18(num_classes=9),
}


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


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


def central_difference(encoder, theta0, tau, images, step: float) -> torch.Tensor:
    """(f(θ₀ + hτ) − f(θ₀ − hτ)) / 2h with one Richardson step, error O(h⁴)."""

    def difference(h):
        plus, minus = ({name: theta0[name] + sign * h * tau[name] for name in theta0} for sign in (1, -1))
        return (features(encoder, plus, images) - features(encoder, minus, images)) / (2 * h)

    return (4 * difference(step) - difference(2 * step)) / 3


def inner(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    return sum((a[name] * b[name]).sum() for name in a).item()


@contextmanager
def pytorch_rules():
    """Forward mode by PyTorch's own rules."""
    torch.backends.mha.set_fastpath_enabled(False)
    with sdpa_kernel(SDPBackend.MATH):
        yield
    torch.backends.mha.set_fastpath_enabled(True)


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
    for moved in theta0:
        tau = {name: torch.zeros_like(value) for name, value in theta0.items()} | {moved: random_like(theta0, 1)[moved]}
        with pytorch_rules():
            _, expected = jvp(lambda theta: functional_call(encoder, theta, (images,)), (theta0,), (tau,))
        assert (jacobian_products(encoder, theta0, [tau], images)[1][0] - expected).norm() < 1e-12, moved


def test_vectors_may_name_parameters_in_another_order(mini64):
    """As those from files do."""
    images, tau = random_images(2), random_like(mini64.theta0, 1)
    shuffled = {name: tau[name] for name in sorted(tau, reverse=True)}
    expected = jacobian_products(mini64.encoder, mini64.theta0, [tau], images)[1]
    assert torch.equal(jacobian_products(mini64.encoder, mini64.theta0, [shuffled], images)[1], expected)
    gradients = [
        linearised_gradient(mini64.encoder, mini64.theta0, vector, images, lambda f, p: (p.square().sum(), None))[0]
        for vector in (tau, shuffled)
    ]
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in tau)


@pytest.mark.parametrize(
    ("tower", "expected"),
    [
        ("open_clip ViT", {F.linear, F.layer_norm, F.gelu, F.multi_head_attention_forward}),
        ("timm ViT", {F.linear, F.layer_norm, F.gelu, F.scaled_dot_product_attention}),
    ],
)
def test_the_faster_rules_answer(tower, expected, monkeypatch):
    """PyTorch's own rules are right as well, so that nothing but speed would tell that ours did not."""
    answered = set()

    def spied(func, rule):
        def spy(*args, **kwargs):
            result = rule(*args, **kwargs)
            if result is not NotImplemented:
                answered.add(func)
            return result

        return spy

    for func, rule in RULES.items():
        monkeypatch.setitem(RULES, func, spied(func, rule))
    encoder = ImageEncoder(TOWERS[tower](), (0.5,) * 3, (0.25,) * 3).eval().requires_grad_(False)
    theta0 = dict(encoder.named_parameters())
    jacobian_products(encoder, theta0, [theta0], random_images(2))
    assert answered == expected


class Options(nn.Module):
    """Functions of the rules as encoders may also call them: options, keywords, frozen and missing parameters."""

    def __init__(self, case: str):
        super().__init__()
        torch.manual_seed(0)
        self.case = case
        self.embed = nn.Linear(48, 16, bias="no bias" not in case)
        self.norm = nn.LayerNorm(16, elementwise_affine="no affine" not in case)
        self.attention = nn.MultiheadAttention(16, 2, batch_first="batch first" in case, bias="no bias" not in case)
        self.double().eval()

    def forward(self, images):
        x = images.double().unflatten(2, (8, 4)).flatten(3)[:, :, :, :16].flatten(1, 2).unflatten(2, (-1, 16))[:, :, 0]
        x = F.linear(input=torch.cat([x] * 3, -1) / 255, weight=self.embed.weight, bias=self.embed.bias)
        x = self.norm(x)
        mask = None
        if "mask" in self.case:
            mask = nn.Transformer.generate_square_subsequent_mask(
                x.shape[1 if "batch first" in self.case else 0], dtype=x.dtype
            )
        weights = "weights" in self.case
        x = x + self.attention(x, x, x, need_weights=weights, attn_mask=mask, is_causal=mask is not None)[0]
        heads = F.gelu(input=x, approximate="tanh" if "tanh" in self.case else "none").unflatten(-1, (2, 8))
        q = heads.transpose(1, 2)
        x = F.scaled_dot_product_attention(
            query=q, key=q, value=2 * q, is_causal="causal" in self.case, scale=0.3 if "scale" in self.case else None
        )
        return x.transpose(1, 2).flatten(2).mean(1)


@pytest.mark.parametrize(
    "case",
    ["no bias, no affine", "batch first", "mask", "batch first, mask, weights", "weights", "tanh, causal", "scale",
     "frozen, batch first"],
)  # fmt: skip
def test_options_keywords_and_frozen_parameters(case):
    encoder = Options(case).requires_grad_(False)
    theta0 = {
        name: value
        for name, value in encoder.named_parameters()
        if "frozen" not in case or "norm" in name or "in_proj" in name
    }
    images, taus = random_images(3), [random_like(theta0, seed, 0.3) for seed in (1, 2)]
    f0, products = jacobian_products(encoder, theta0, taus, images)
    for tau, product in zip(taus, products, strict=True):
        with pytorch_rules():
            expected = jvp(lambda theta: functional_call(encoder, theta, (images,)), (theta0,), (tau,))
        assert torch.allclose(f0, expected[0], rtol=1e-10, atol=1e-12)
        assert relative_error(product, expected[1]) < 1e-11

    def loss(f0, products):
        return (f0 + products).square().sum()

    ours, _ = linearised_gradient(encoder, theta0, taus[0], images, lambda f, p: (loss(f, p), None))
    theirs = brute_force(encoder, theta0, taus[0], images, loss)
    assert ours.keys() == theta0.keys()
    for name, value in theirs.items():
        assert (ours[name] - value).norm() <= 1e-10 * max(value.norm().item(), 1e-3), name


def test_gradients_under_no_grad(small):
    encoder, theta0 = small
    images, tau = random_images(3), random_like(theta0, 1)
    expected = gauss_newton_product(encoder, theta0, tau, images)
    with torch.no_grad():
        found = gauss_newton_product(encoder, theta0, tau, images)
    assert all(torch.equal(found[name], expected[name]) for name in theta0)


def test_features_alone_under_the_rules_have_no_tangent(mini64):
    images = random_images(2)
    with forward_mode():
        plain = functional_call(mini64.encoder, mini64.theta0, (images,))
    assert torch.allclose(plain, features(mini64.encoder, mini64.theta0, images), rtol=0, atol=1e-12)


def brute_force(encoder, theta0, tau, images, loss) -> dict[str, torch.Tensor]:
    """Autograd through torch.func.jvp: the slow way."""
    tau = {name: value.clone().requires_grad_() for name, value in tau.items()}
    with pytorch_rules():
        f0, products = jvp(lambda theta: functional_call(encoder, theta, (images,)), (theta0,), (tau,))
        gradients = torch.autograd.grad(loss(f0, products), list(tau.values()), materialize_grads=True)
    return dict(zip(tau, gradients, strict=True))


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


def test_chunks_of_vectors_and_images_change_nothing(mini64, monkeypatch):
    images, u = random_images(7), torch.randn(7, 128, dtype=torch.float64)
    taus = [random_like(mini64.theta0, seed) for seed in (3, 4, 5)]

    def everything():
        return (
            *jacobian_products(mini64.encoder, mini64.theta0, taus, images),
            *gauss_newton_product(mini64.encoder, mini64.theta0, taus[0], images).values(),
            *transpose_product(mini64.encoder, mini64.theta0, u, images).values(),
        )

    whole = everything()
    theta_bytes = sum(value.nbytes for value in mini64.theta0.values())
    largest, total = memory.activation_bytes(mini64.encoder, mini64.theta0, images)
    batches, own = [], jacobian.functional_call

    def counted(encoder, theta, arguments):
        batches.append(len(arguments[0]))
        return own(encoder, theta, arguments)

    monkeypatch.setattr(jacobian, "functional_call", counted)
    # Room for 2 vectors and, where no graph is kept, 2 images.
    monkeypatch.setattr(memory, "memory_budget", lambda device: 4 * theta_bytes)
    room = 2 * 4 * 3 * largest
    monkeypatch.setattr(jacobian, "chunk_size", lambda budget, image_bytes, theta0: max(1, room // image_bytes))
    graph = max(1, room // (2 * total))
    for ours, expected in zip(everything(), whole, strict=True):
        assert (ours - expected).norm() <= 1e-12 * expected.norm()
    # The last group is one vector, which leaves room for more images.
    of_graphs = [min(graph, 7 - start) for start in range(0, 7, graph)]
    assert batches == [2, 2, 2, 1, 2, 2, 2, 1, *of_graphs, *of_graphs]


def test_chunk_sizes(mini):
    theta_bytes = memory.bytes_of(mini.theta0)
    assert memory.chunk_size(10 * 2**20, 2**20, mini.theta0) == 10
    assert memory.chunk_size(2**40, 2**20, mini.theta0) == 128  # a CPU's share
    assert memory.chunk_size(-5, 2**20, mini.theta0) == 1
    large = dict.fromkeys("abcdefghijklmnopqrst", torch.empty(2**23))  # 20 times the same 32 MiB
    assert memory.chunk_size(2**40, 2**20, large) == 640
    assert theta_bytes == 4 * sum(value.numel() for value in mini.theta0.values())


def test_running_out_of_memory_halves_the_budget_with_a_notice(mini64, monkeypatch):
    images, tau = random_images(9), random_like(mini64.theta0, 1)
    _, expected = jacobian_products(mini64.encoder, mini64.theta0, [tau], images)
    own, batches = jacobian.products_of, []

    def products_of(encoder, theta0, stacked, images):
        if len(images) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        batches.append(len(images))
        return own(encoder, theta0, stacked, images)

    monkeypatch.setattr(jacobian, "products_of", products_of)
    with pytest.warns(UserWarning, match=r"cpu ran out of memory: trying again within \d+ MiB"):
        _, products = jacobian_products(mini64.encoder, mini64.theta0, [tau], images)
    assert relative_error(products, expected) < 1e-12
    assert max(batches) <= 3


def test_errors_that_are_not_memory_pass(mini64, monkeypatch):
    def products_of(*args):
        raise RuntimeError("something else")

    monkeypatch.setattr(jacobian, "products_of", products_of)
    with warnings.catch_warnings(), pytest.raises(RuntimeError, match="something else"):
        warnings.simplefilter("error")
        jacobian_products(mini64.encoder, mini64.theta0, [mini64.theta0], random_images(2))


@pytest.mark.parametrize("heads", [3, 2])  # PyTorch has a fused attention for even numbers, which must not be counted
def test_measured_memory_stays_within_the_estimate(heads):
    """Chunk sizes rest on 4·(1 + T) of the largest tensor for products, and on all tensors twice for a graph."""
    torch.manual_seed(0)
    tower = open_clip_tower(width=64 * heads, heads=heads, layers=4)
    encoder = ImageEncoder(tower, (0.5,) * 3, (0.25,) * 3).eval().requires_grad_(False)
    theta0 = dict(encoder.named_parameters())
    images, taus = random_images(48), [random_like(theta0, seed) for seed in range(4)]
    largest, total = memory.activation_bytes(encoder, theta0, images)
    stacked = {name: torch.stack([tau[name] for tau in taus]) for name in theta0}
    with torch.no_grad():
        peak = peak_bytes(lambda: jacobian.products_of(encoder, theta0, stacked, images), CPU)
    assert 0.3 < peak / (len(images) * 4 * 5 * largest) < 1
    theta_bytes = sum(value.nbytes for value in theta0.values())
    peak = peak_bytes(lambda: gauss_newton_product(encoder, theta0, taus[0], images), CPU)
    assert 0.1 < (peak - 2 * theta_bytes) / (len(images) * 2 * total) < 1


def test_estimates_under_autocast_do_not_count_casts_of_weights(mini):
    exact = memory.activation_bytes(mini.encoder, mini.theta0, random_images(1))
    with precision("bf16", CPU):
        found = memory.activation_bytes(mini.encoder, mini.theta0, random_images(1))
    assert 0.4 * exact[0] < found[0] <= exact[0]
    assert 0.4 * exact[1] < found[1] < 1.5 * exact[1]


@pytest.mark.slow
def test_vit_b_32_in_float64():
    """The architecture of the paper, random weights: products to 1e-7, gradients to 1e-10."""
    clip = load_clip("ViT-B-32", device="cpu")
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
