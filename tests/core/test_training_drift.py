"""τJp of a moving encoder: value and gradient against brute force, what must coincide, and what is drawn."""

import pytest
import torch
import torch.nn.functional as F
from conftest import random_images, random_like
from torch import nn
from torch.func import functional_call

import taujp_core.methods.drift as drift
import taujp_core.methods.taujp_tangent as taujp_tangent
from taujp_core.methods import METHODS, Batch, Sight
from taujp_core.methods.taujp_partner import partner
from taujp_core.methods.taujp_path import coefficient
from taujp_core.models import Clip
from taujp_core.parameters import added, leaves, zeros_like
from taujp_core.products.jacobian import jacobian_products
from taujp_core.products.precision import precision
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune

SEED, STEP, WEIGHT = 3, 5, 0.7
FORMS = ("taujp-secant", "taujp-tangent", "taujp-path", "taujp-partner")
BATCH = Batch(random_images(4), torch.tensor([0, 1, 2, 0]), random_images(6, seed=1), step=STEP)
HEAD = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def small_clip(network: nn.Module) -> Clip:
    return Clip("small", network, None, network, dict(network.named_parameters()), "", 32, 1.0)


def found_by(form: str, clip: Clip, tau, batch: Batch = BATCH, seed: int = SEED, **options):
    method = METHODS[form]
    parameters = {name: one.default for name, one in method.parameters.items()} | {"penalty_weight": WEIGHT} | options
    prepared = method.prepare(Sight(clip, HEAD, None, None, [], seed, parameters, 10)) if method.prepare else None
    return method.gradient(clip, HEAD, tau, batch, prepared, **parameters)


def along(theta0, tau, coefficient: float):
    return {name: theta0[name] + coefficient * tau[name] for name in theta0}


def written_out(form: str, clip: Clip, tau, delta, features: str) -> torch.Tensor:
    """The mean penalty by its formula; the partner δ is a constant."""
    read = F.normalize if features == "normalised" else lambda f: f

    def f(theta):
        return read(functional_call(clip.encoder, theta, (BATCH.others,)))

    theta0, u = clip.theta0, coefficient(SEED, STEP)
    difference = {
        "taujp-secant": lambda: f(added(theta0, tau)) - f(theta0),
        "taujp-tangent": lambda: (f(along(theta0, tau, 65 / 64)) - f(along(theta0, tau, 63 / 64))) * 32,
        "taujp-path": lambda: (f(along(theta0, tau, u)) - f(theta0)) / u,
        "taujp-partner": lambda: f(along(added(theta0, delta), tau, 1.0)) - f(added(theta0, delta)),
    }[form]()
    return difference.square().sum(-1).sqrt().mean()


@pytest.mark.parametrize("features", ["raw", "normalised"])
@pytest.mark.parametrize("form", FORMS)
def test_value_and_gradient_equal_the_formula_and_finite_differences(form, features, small):
    clip, tau = small_clip(small[0]), random_like(small[1], 7, 0.2)
    delta = partner(tau, STEP, SEED, 7**0.5)

    def objective(tau):
        answers = functional_call(clip.encoder, added(clip.theta0, tau), (BATCH.images,))
        task = F.cross_entropy(F.normalize(answers, dim=-1) @ HEAD, BATCH.labels)
        penalty = written_out(form, clip, tau, delta, features)
        return task + WEIGHT * penalty, task, penalty

    gradient, loss, penalty = found_by(form, clip, tau, features=features)
    variables = leaves(tau)
    whole, task, expected = objective(variables)
    assert loss.item() == pytest.approx(task.item(), rel=1e-12)
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-10)
    slopes = torch.autograd.grad(whole, list(variables.values()))
    for name, slope in zip(variables, slopes, strict=True):
        assert torch.allclose(gradient[name], slope, rtol=1e-8, atol=1e-11), name
    for seed in range(3):
        direction, h = random_like(tau, 100 + seed, 1.0), 1e-6
        plus, minus = (objective(along(tau, direction, sign * h))[0] for sign in (1, -1))
        ours = sum((gradient[name] * direction[name]).sum() for name in tau).item()
        assert ours == pytest.approx(((plus - minus) / (2 * h)).item(), rel=1e-6)


def test_the_tangent_is_the_jacobian_at_the_trained_point_but_for_the_square_of_h(small, monkeypatch):
    network, theta0 = small
    tau = random_like(theta0, 7, 0.2)
    _, (products,) = jacobian_products(network, added(theta0, tau), [tau], BATCH.others)
    exact, errors = products.norm(dim=-1).mean().item(), []
    for h in (1 / 64, 1 / 128):
        monkeypatch.setattr(taujp_tangent, "H", h)
        errors.append(found_by("taujp-tangent", small_clip(network), tau)[2].item() - exact)
    assert abs(errors[0]) < 1e-3 * exact
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.01)


class Affine(nn.Module):
    """Features that are affine in the parameters: fixed random values of the pixels, times a matrix, and a shift."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.register_buffer("mixing", torch.randn(3 * 32 * 32, 7, generator=generator, dtype=torch.float64) / 50)
        self.weight = nn.Parameter(torch.randn(5, 7, generator=generator, dtype=torch.float64), requires_grad=False)
        self.bias = nn.Parameter(torch.randn(5, generator=generator, dtype=torch.float64), requires_grad=False)

    def forward(self, images):
        return torch.tanh(images.flatten(1).double() / 255 @ self.mixing) @ self.weight.T + self.bias


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_are_tau_jp_where_features_are_affine_in_the_parameters(form):
    clip = small_clip(Affine())
    tau = random_like(clip.theta0, 7, 0.2)
    gradient, loss, penalty = found_by(form, clip, tau)
    strict, its_loss, its_penalty = METHODS["taujp-strict"].gradient(clip, HEAD, tau, BATCH, penalty_weight=WEIGHT)
    assert loss.item() == pytest.approx(its_loss.item(), rel=1e-12)
    assert penalty.item() == pytest.approx(its_penalty.item(), rel=1e-10)
    for name, value in gradient.items():
        assert torch.allclose(value, strict[name], rtol=1e-9, atol=1e-11), name


@pytest.mark.parametrize("form", FORMS)
def test_a_change_of_length_alone_is_free_for_normalised_features(form):
    """τ = θ₀/3 stretches the features of a network without a shift."""
    network = Affine()
    network.bias.zero_()
    clip = small_clip(network)
    tau = {"weight": clip.theta0["weight"] / 3, "bias": zeros_like(clip.theta0)["bias"]}
    options = {"partner_norm": 0.0} if form == "taujp-partner" else {}
    _, _, raw = found_by(form, clip, tau, **options)
    _, _, normalised = found_by(form, clip, tau, features="normalised", **options)
    assert raw > 0.1 and normalised < 1e-12


@pytest.mark.parametrize("features", ["raw", "normalised"])
@pytest.mark.parametrize("form", FORMS)
def test_at_zero_the_penalty_is_zero_and_the_gradient_the_tasks(form, features, small):
    clip, tau = small_clip(small[0]), zeros_like(small[1])
    gradient, _, penalty = found_by(form, clip, tau, features=features)
    plain, _, _ = METHODS["standard"].gradient(clip, HEAD, tau, BATCH)
    assert penalty == 0
    assert all(torch.equal(value, plain[name]) for name, value in gradient.items())


@pytest.mark.parametrize("form", FORMS)
def test_at_zero_rounding_has_no_say(form, small, monkeypatch):
    """The end without τ may go through other kernels: what the two ends then differ by is no drift."""
    clip, tau = small_clip(small[0]), zeros_like(small[1])
    generator = torch.Generator().manual_seed(0)

    def rounded(*arguments):
        found = functional_call(*arguments)
        return found + 1e-12 * torch.randn(found.shape, generator=generator, dtype=found.dtype)

    monkeypatch.setattr(drift, "functional_call", rounded)
    gradient, _, penalty = found_by(form, clip, tau)
    monkeypatch.undo()
    plain, _, _ = METHODS["standard"].gradient(clip, HEAD, tau, BATCH)
    assert penalty == 0
    assert all(torch.equal(value, plain[name]) for name, value in gradient.items())


def config(method: str, **changes):
    return run_config("mini", "uci", method, tasks=["uci", "mnist"], steps=4, batch_size=8, **changes)


@pytest.mark.parametrize("form", FORMS)
def test_without_weight_and_before_its_start_the_training_is_that_of_standard(form, tiny, tmp_path):
    expected = finetune(config("standard"), tmp_path, tiny).vector
    for changes in ({"penalty_weight": 0.0}, {"penalty_start": 4}):
        run = finetune(config(form, penalty_batch_size=4, **changes), tmp_path, tiny)
        assert all(torch.equal(run.vector.tau[name], value) for name, value in expected.tau.items())
        assert (run.record["history"][-1]["penalty"] > 0) == ("penalty_start" not in changes)


def test_what_is_drawn_differs_between_steps_and_seeds_and_is_drawn_again(small):
    drawn = [coefficient(seed, step) for seed in range(30) for step in range(30)]
    assert len(set(drawn)) == 900 and 0.5 <= min(drawn) < 0.51 and 1.49 < max(drawn) <= 1.5
    assert coefficient(3, 5) == coefficient(3, 5)
    tau = random_like(small[1], 7, 0.2)
    one = partner(tau, 5, 3, 2.0)
    assert all(torch.equal(value, partner(tau, 5, 3, 2.0)[name]) for name, value in one.items())
    for step, seed in ((6, 3), (5, 4)):
        assert not any(torch.equal(value, partner(tau, step, seed, 2.0)[name]) for name, value in one.items())
    for name, value in one.items():
        assert value.norm().item() == pytest.approx(2 * tau[name].norm().item(), rel=1e-12)


def test_the_run_takes_its_seed_to_what_is_drawn(small):
    """Another seed or step gives another penalty of the same vector and images, and only where something is drawn."""
    clip, tau = small_clip(small[0]), random_like(small[1], 7, 0.2)
    for form in FORMS:
        other = Batch(BATCH.images, BATCH.labels, BATCH.others, step=STEP + 1)
        penalties = [
            found_by(form, clip, tau)[2],
            found_by(form, clip, tau, other)[2],
            found_by(form, clip, tau, seed=4)[2],
        ]
        assert len({value.item() for value in penalties}) == (3 if form in ("taujp-path", "taujp-partner") else 1)


@pytest.mark.parametrize("form", ["taujp-secant", "taujp-tangent", "taujp-path"])
def test_bf16_does_not_drown_the_difference(form, mini, mini64):
    tau = random_like(mini.theta0, 1, 0.01)  # a drift of a sixth of the features' length
    head = torch.randn(128, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    double = {name: value.double() for name, value in tau.items()}
    exact, _, expected = METHODS[form].gradient(mini64, head, double, BATCH, SEED, penalty_weight=100.0)
    with precision("bf16", torch.device("cpu")):
        gradient, _, penalty = METHODS[form].gradient(mini, head.float(), tau, BATCH, SEED, penalty_weight=100.0)
    assert penalty.dtype == torch.float32 and all(value.dtype == torch.float32 for value in gradient.values())
    assert penalty.item() == pytest.approx(expected.item(), rel=0.02)
    difference = sum((gradient[name] - exact[name]).square().sum() for name in exact).sqrt()
    assert difference < 0.05 * sum(value.square().sum() for value in exact.values()).sqrt()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"features": "unit"}, "unknown features 'unit': accepted are raw, normalised"),
        ({"partner_norm": -1.0}, "partner_norm must be finite and not negative, not -1.0"),
        ({"penalty_tasks": []}, "taujp-partner needs at least one other data set"),
        ({"penalty_batch_size": 0}, "penalty_batch_size must be at least 1, not 0"),
    ],
)
def test_bad_options_are_refused_in_one_sentence(changes, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        config("taujp-partner", **changes)
