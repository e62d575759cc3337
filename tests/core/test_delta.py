"""DELTA: its curvature against each image's gradient, its two models against differences, and what is kept of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import random_images, random_like, tiny_clip, tiny_tower
from torch.func import functional_call, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

import taujp_core.methods.delta as delta
import taujp_core.methods.tak as tak
from taujp_core.datasets import Split
from taujp_core.evaluation import cross_entropy
from taujp_core.methods import Batch, Sight, find_method
from taujp_core.models import Clip
from taujp_core.parameters import added, leaves, zeros_like
from taujp_core.products.eigenvalues import EigenFactors, eigen_factors
from taujp_core.products.jacobian import jacobian_products
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune

METHOD, TEACHER = delta.METHOD, delta.TEACHER
NOTHING = torch.zeros(0, 3, 32, 32, dtype=torch.uint8)


def config(**changes):
    return run_config("mini", "uci", "delta", tasks=["uci", "mnist"], **{"steps": 3, "batch_size": 8} | changes)


def double(clip: Clip) -> Clip:
    encoder = clip.encoder.double()
    return replace(clip, encoder=encoder, theta0=dict(encoder.named_parameters()))


def factors_of(clip: Clip, images, features=F.normalize, draws: int = 0) -> EigenFactors:
    return eigen_factors(clip.encoder, clip.theta0, images, features, draws, torch.Generator().manual_seed(0))


def whole_gradients(clip: Clip, image: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """Of each normalised feature of one image, by autograd: [ΔW | Δb] of every parameter that is a matrix."""
    theta = leaves(clip.theta0)
    g = F.normalize(functional_call(clip.encoder, theta, (image[None],)), dim=-1)[0]
    found = []
    for feature in g:
        slopes = dict(
            zip(
                theta,
                torch.autograd.grad(feature, list(theta.values()), retain_graph=True, materialize_grads=True),
                strict=True,
            )
        )
        found.append(slopes)
    return found


def as_matrix(name: str, values, biases) -> torch.Tensor:
    matrix = values[name].T if name == "visual.proj" else values[name]
    return torch.cat([matrix, values[biases[name]][:, None]], 1) if biases[name] else matrix


@pytest.mark.parametrize("batch_first", [True, False])
def test_the_moments_are_those_of_each_images_gradient(batch_first, mini):
    """Along the eigenvectors of A and B, tokens summed first; over images of five tokens, in both layouts."""
    clip = tiny_tower(mini)
    clip.encoder.visual.transformer.batch_first = batch_first
    for block in clip.encoder.visual.transformer.resblocks:
        block.attn.batch_first = batch_first
    clip, images = double(clip), random_images(3, 2)
    found, expected = factors_of(clip, images), {}
    for image in images:
        for slopes in whole_gradients(clip, image):
            for name, (ua, ub, _) in found.matrices.items():
                turned = ub.T @ as_matrix(name, slopes, found.biases) @ ua
                expected[name] = expected.get(name, 0) + turned**2 / len(images)
    assert found.projections == {"visual.proj"} and len(found.matrices) > 4
    fused = found.matrices["visual.transformer.resblocks.0.attn.in_proj_weight"][1]
    assert torch.equal(fused, torch.block_diag(*(fused[k : k + 16, k : k + 16] for k in (0, 16, 32))))
    for name, (ua, ub, moments) in found.matrices.items():
        assert torch.allclose(moments, expected[name], rtol=1e-8, atol=1e-12 * moments.max()), name
        assert torch.allclose(ua.T @ ua, torch.eye(len(ua)).double(), atol=1e-10)
        assert torch.allclose(ub.T @ ub, torch.eye(len(ub)).double(), atol=1e-10)


def test_of_one_image_with_one_token_the_block_is_exact(mini):
    clip, image = double(tiny_clip(mini)), random_images(1, 2)
    tau = zeros_like(clip.theta0)
    tau |= {name: random_like(clip.theta0, 4)[name] for name in ("linear.weight", "linear.bias")}
    value, _ = tak.penalty_and_slope(tau, factors_of(clip, image, lambda f: f), 10.0, 1.0)
    products = jacobian_products(clip.encoder, clip.theta0, [tau], image)[1]
    assert value.item() == pytest.approx(products.square().sum().item(), rel=1e-12)


def test_nothing_hangs_on_eigenvectors_outside_the_factors_range(mini):
    """Two images span little, and outside of it the moments are zero, whatever the basis there."""
    clip, name = double(tiny_tower(mini)), "visual.transformer.resblocks.0.mlp.c_fc.weight"
    found = factors_of(clip, random_images(2, 2), draws=1)
    _, _, moments = found.matrices[name]
    rows = moments.sum(1)
    assert (rows < 1e-15 * rows.max()).sum() > 4  # two images of five tokens in 32 outputs


def test_signs_and_order_of_the_eigenvectors_do_not_matter(mini):
    clip = double(tiny_tower(mini))
    found, tau = factors_of(clip, random_images(4, 2)), random_like(clip.theta0, 1)

    def other(ua, ub, moments):
        signs = torch.tensor([1.0, -1.0]).double().repeat(len(ua))[: len(ua)]
        order = torch.arange(len(ub)).flip(0)
        return ua * signs, ub[:, order], moments[order]

    turned = replace(found, matrices={name: other(*of) for name, of in found.matrices.items()})
    (value, slopes), (same, again) = (tak.penalty_and_slope(tau, one, 10.0, 0.1) for one in (found, turned))
    assert value.item() == pytest.approx(same.item(), rel=1e-12)
    assert all(torch.allclose(slopes[name], again[name], rtol=1e-9, atol=1e-12) for name in slopes)


def sight(clip: Clip, others, **changes) -> Sight:
    own = Split(random_images(9, 5), torch.arange(9) % 3)
    head = F.normalize(torch.randn(128, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)), dim=0)
    options = {name: one.default for name, one in METHOD.parameters.items()} | {"draws": 0} | changes
    return Sight(clip, head, own, own, others, 7, options, 10)


@pytest.fixture
def case(mini):
    """A clip in float64, two reference data sets of different size, a batch in the middle of the training, and two models."""
    clip = double(tiny_tower(mini))
    others = [Split(random_images(count, count), torch.zeros(count, dtype=torch.long)) for count in (3, 6)]
    tau = random_like(clip.theta0, 1, 0.1) | {
        TEACHER + name: value for name, value in random_like(clip.theta0, 2, 0.1).items()
    }
    return clip, others, tau, Batch(random_images(5), torch.tensor([0, 1, 2, 0, 1]), NOTHING, step=4)


@pytest.mark.parametrize("changes", [{}, {"vectors": "mean", "coefficients": "uniform", "match_weight": 3.0}])
def test_both_models_gradients_are_differences_of_their_objectives(changes, case, monkeypatch):
    """The teacher's target stands still for the student, and nothing of the student reaches the teacher."""
    clip, others, tau, batch = case
    ours = sight(clip, others, penalty_weight=0.2, **changes)
    prepared, options = delta.prepare(ours), ours.parameters
    alpha = delta.coefficient(prepared, 4, options["coefficients"])
    assert alpha != 1

    def answer(prefix, along, direction):
        return {name: tau[prefix + name] + along * direction[name] for name in clip.theta0}

    monkeypatch.setattr(torch.backends.mha, "_is_fastpath_enabled", False)

    def of_teacher(model):
        def unit(theta):
            return F.normalize(functional_call(clip.encoder, theta, (batch.images,)), dim=-1)

        with sdpa_kernel(SDPBackend.MATH):  # PyTorch has forward mode for this kernel alone
            u, product = jvp(unit, (clip.theta0,), ({name: alpha * value for name, value in model.items()},))
        return u + product

    def curvature(model):
        total = 0.0
        for count, (share, factors) in zip((3, 6), prepared.references, strict=True):
            assert share == count / 9
            for name, (ua, ub, moments) in factors.matrices.items():
                turned = ub.T @ as_matrix(name, model, factors.biases) @ ua
                total += share * (0.1 if name == "visual.proj" else 1.0) * (moments * turned**2).sum()
            plain = factors_of(clip, others[count // 6].images).vectors
            for name, gram in plain.items():
                gram = gram / (count if options["vectors"] == "mean" else 1)
                total += share * 10.0 * model[name] @ gram @ model[name]
        return total

    target = of_teacher(answer(TEACHER, 0.0, clip.theta0)).detach()

    def teacher(along, direction):
        model = answer(TEACHER, along, direction)
        return cross_entropy(of_teacher(model), ours.head, batch.labels) + 0.2 * curvature(model)

    def student(along, direction):
        model = answer("", along, direction)
        moved = added(clip.theta0, {name: alpha * value for name, value in model.items()})
        f = functional_call(clip.encoder, moved, (batch.images,))
        match = (F.normalize(f, dim=-1) - target).square().sum(-1).mean()
        return cross_entropy(f, ours.head, batch.labels) + options["match_weight"] * match + 0.2 * curvature(model)

    found, _, penalty = METHOD.gradient(clip, ours.head, tau, batch, prepared, **options)
    assert found.keys() == tau.keys()
    whole = curvature(answer("", 0.0, clip.theta0)) + curvature(answer(TEACHER, 0.0, clip.theta0))
    assert penalty.item() == pytest.approx(whole.item(), rel=1e-10)
    for prefix, objective in {"": student, TEACHER: teacher}.items():
        for seed in (10, 11):
            direction, step = random_like(clip.theta0, seed), 1e-4
            with torch.no_grad():
                slope = (objective(step, direction) - objective(-step, direction)) / (2 * step)
            ours_ = sum((found[prefix + name] * direction[name]).sum() for name in clip.theta0)
            assert ours_.item() == pytest.approx(slope.item(), rel=1e-6), prefix


def test_without_match_and_penalty_the_student_is_ordinary_fine_tuning_to_the_last_bit(case):
    """At the first step of the curriculum, where α is 1; and the teacher has the linearised gradient of f/‖f‖."""
    clip, others, tau, batch = case
    ours = sight(clip, others, penalty_weight=0.0, match_weight=0.0)
    batch = replace(batch, step=0)
    found, loss, _ = METHOD.gradient(clip, ours.head, tau, batch, delta.prepare(ours), **ours.parameters)
    student = {name: tau[name] for name in clip.theta0}
    plain, plain_loss, _ = find_method("standard").gradient(clip, ours.head, student, batch)
    assert loss == plain_loss and all(torch.equal(found[name], plain[name]) for name in plain)


def test_coefficients_are_drawn_by_seed_and_step_in_ranges_that_open():
    prepared = [delta.Prepared([], seed, 100) for seed in range(200)]
    for step in (0, 25, 99):
        p = (step / 100) ** 0.5
        drawn = np.array([delta.coefficient(one, step, "curriculum") for one in prepared])
        assert (1 - p / 2 <= drawn).all() and (drawn <= 1 + p).all()
        assert step == 0 or (drawn.min() < 1 - 0.45 * p and drawn.max() > 1 + 0.9 * p)
    uniform = [delta.coefficient(one, 50, "uniform") for one in prepared]
    assert 0.5 <= min(uniform) < 0.52 and 0.98 < max(uniform) <= 1
    assert delta.coefficient(prepared[3], 7, "curriculum") == delta.coefficient(prepared[3], 7, "curriculum")
    assert delta.coefficient(prepared[3], 7, "curriculum") != delta.coefficient(prepared[3], 8, "curriculum")


def test_the_student_is_the_vector_and_the_teacher_is_trained_beside_it(mini, tmp_path):
    clip = tiny_tower(mini)
    run = finetune(config(), tmp_path, clip)
    assert run.vector.tau.keys() == clip.theta0.keys()
    still = {"visual.conv1.weight", "visual.positional_embedding"}
    assert {name for name, value in run.vector.tau.items() if not value.any()} == still
    assert run.record["history"][-1]["penalty"] > 0
    without = finetune(config(match_weight=0.0), tmp_path, clip)
    assert any(not torch.equal(run.vector.tau[name], without.vector.tau[name]) for name in clip.theta0)
    assert config(penalty_tasks=["dead-leaves"]).penalty_tasks == ("dead-leaves",)


def test_both_models_start_where_the_vector_does(mini):
    tau = random_like(mini.theta0, 1)
    both = METHOD.trained(tau)
    for name, value in tau.items():
        assert both[name] is value and torch.equal(both[TEACHER + name], value) and both[TEACHER + name] is not value
    assert find_method("tak").trained(tau) == tau


def test_a_started_training_goes_on_from_the_vector(mini, tmp_path):
    clip = tiny_tower(mini)
    start = TaskVector(random_like(clip.theta0, 1, 0.01), clip.fingerprint, "uci", "delta")
    tau = finetune(config(start=start.digest(), weight_decay=0.0), tmp_path, clip, start=start).vector.tau
    moved = [name for name in tau if not torch.equal(tau[name], start.tau[name])]
    assert set(moved) == {name for name in tau if METHOD.moves(name)}
