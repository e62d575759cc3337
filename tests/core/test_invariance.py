"""Invariant objectives: equal to their formulas worked out image by image, PAIR's weights to another solver."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from taujp_core.datasets.domains import Domains, coloured
from taujp_core.invariance import OBJECTIVES, Environment, Step, find_objective
from taujp_core.invariance.irm_games import ensemble, fixed_mover, is_over, variable_mover
from taujp_core.invariance.networks import Game, Perceptron
from taujp_core.invariance.objective import scale_gradient
from taujp_core.invariance.pair import adjustments, objectives, pareto_weights
from taujp_core.invariance.training import answers, fit, move, recipe_of

SIZES = (3, 5, 4)  # images of the environments


def weights(seed: int = 0, size: float = 0.7) -> list[torch.Tensor]:
    """Of a tiny network: 4 inputs, 3 features, 3 classes; float64."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(4, 3), (3, 3)]
    return [(size * torch.randn(*s, generator=generator, dtype=torch.float64)).requires_grad_() for s in shapes]


def images(seed: int = 1) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(n, 4, generator=generator, dtype=torch.float64), torch.randint(0, 3, (n,), generator=generator))
        for n in SIZES
    ]


def environments(network: list[torch.Tensor], batches=None) -> list[Environment]:
    found = []
    for x, y in batches or images():
        features = torch.tanh(x @ network[0])
        found.append(Environment(features @ network[1], y, features))
    return found


def cross_entropy(environment: Environment, scale: float = 1.0) -> float:
    """Image by image, with Python's own functions."""
    total = 0.0
    for row, label in zip(environment.logits.tolist(), environment.labels.tolist(), strict=True):
        scaled = [scale * z for z in row]
        total += math.log(sum(math.exp(z) for z in scaled)) - scaled[label]
    return total / len(environment.labels)


def slope(environment: Environment, scale: float = 1.0) -> float:
    """g_e by central differences of the cross-entropy itself, to about 1e-10."""
    h = 1e-5
    return (cross_entropy(environment, scale + h) - cross_entropy(environment, scale - h)) / (2 * h)


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def variance(values, below: int) -> float:
    values = list(values)
    return sum((v - mean(values)) ** 2 for v in values) / (len(values) - below)


def feature_variance(environment: Environment) -> float:
    return mean(variance(column, 1) for column in environment.features.T.tolist())


def bayesian_draws(sigma: float, samples: int) -> list[list[float]]:
    noise = torch.randn(samples, len(SIZES), generator=torch.Generator().manual_seed(7))
    return (1 + sigma * noise).tolist()


DECAY = 0.37


def formula(name: str, found: list[Environment], weight: float) -> float:
    """Each objective at penalty weight `weight`, as its docstring has it."""
    risk = mean(cross_entropy(e) for e in found) + DECAY
    penalty = mean(slope(e) ** 2 for e in found)
    if name == "erm":
        return risk
    if name == "ib-irm":
        risk += 20.0 * mean(feature_variance(e) for e in found)
    if name == "bayesian-irm":
        penalty = mean(mean(slope(e, w) ** 2 for e, w in zip(found, ws, strict=True)) for ws in bayesian_draws(0.3, 4))
    return (risk + weight * penalty) / max(1.0, weight)


CHANGES = {"ib-irm": {"variance_weight": 20.0}, "bayesian-irm": {"sigma": 0.3, "samples": 4}}


def value(name: str, network: list[torch.Tensor], weight: float) -> torch.Tensor:
    penalised = {} if name == "erm" else {"penalty_weight": weight, "anneal_steps": 0}
    step = Step(0, torch.tensor(DECAY, dtype=torch.float64), generator=torch.Generator().manual_seed(7))
    return find_objective(name)(environments(network), step, **penalised, **CHANGES.get(name, {}))


@pytest.mark.parametrize("weight", [0.5, 1000.0])
@pytest.mark.parametrize("name", ["erm", "irmv1", "ib-irm", "bayesian-irm"])
def test_value_and_gradient_are_the_formulas(name, weight):
    network = weights()
    with torch.no_grad():
        assert value(name, network, weight).item() == pytest.approx(
            formula(name, environments(network), weight), rel=1e-6
        )
    gradients = torch.autograd.grad(value(name, network, weight), network)
    for weight_matrix, gradient in zip(network, gradients, strict=True):
        for place in [(0, 0), (2, 1), (1, 2)]:
            ends = []
            for change in (1e-4, -1e-4):
                moved = [w.detach().clone() for w in network]
                moved[0 if weight_matrix is network[0] else 1][place] += change
                ends.append(formula(name, environments(moved), weight))
            assert gradient[place].item() == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-5, abs=1e-8)


def test_the_closed_form_of_the_penalty_is_the_gradient_through_a_graph():
    """Value and gradient to 1e-12 against autograd's second derivative."""
    network = weights()
    for environment in environments(network):
        scale = torch.ones((), dtype=torch.float64, requires_grad=True)
        loss = nn.functional.cross_entropy(scale * environment.logits, environment.labels)
        (graph,) = torch.autograd.grad(loss, scale, create_graph=True)
        assert scale_gradient(environment).item() == pytest.approx(graph.item(), rel=1e-12)
        ours, theirs = (
            torch.autograd.grad(one**2, network, retain_graph=True) for one in (scale_gradient(environment), graph)
        )
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-14)


def test_the_penalty_is_zero_where_every_environment_is_calibrated():
    """Two images of one logit with both labels: at p = share, the scale cannot do better."""
    z = math.log(3)  # p = 3/4, and three of four labels
    logits = torch.tensor([[0.0, z]] * 4, dtype=torch.float64)
    both = [Environment(logits, torch.tensor([1, 1, 1, 0])), Environment(logits, torch.tensor([1, 1, 0, 0]))]
    assert scale_gradient(both[0]).item() == pytest.approx(0, abs=1e-15)
    assert scale_gradient(both[1]).item() == pytest.approx(z / 4)  # (p − 1/2)·z
    found = find_objective("irmv1")(both, Step(0), penalty_weight=8.0, anneal_steps=0)
    risks = (cross_entropy(both[0]) + cross_entropy(both[1])) / 2
    assert found.item() == pytest.approx((risks + 8 * (z / 4) ** 2 / 2) / 8)


@pytest.mark.parametrize("name", ["irmv1", "ib-irm", "bayesian-irm"])
def test_the_penalty_starts_late_with_weight_one(name):
    found, objective = environments(weights()), find_objective(name)
    at = {
        (step, weight): objective(
            found, Step(step, generator=torch.Generator().manual_seed(0)), penalty_weight=weight, anneal_steps=5
        ).item()
        for step in (4, 5)
        for weight in (1.0, 50.0)
    }
    assert at[4, 50.0] == at[4, 1.0] == at[5, 1.0]
    assert at[5, 50.0] != at[5, 1.0]


def test_the_bottleneck_is_within_environments_and_not_pooled():
    """Features that differ between environments alone have no variance here, and one when pooled."""
    features = [torch.full((4, 2), float(k), dtype=torch.float64) for k in (0, 3)]
    labels = torch.tensor([0, 1, 0, 1])
    apart = [Environment(torch.zeros(4, 2, dtype=torch.float64), labels, f) for f in features]
    with_it, without = (find_objective("ib-irm")(apart, Step(0), variance_weight=weight) for weight in (100.0, 0.0))
    assert with_it.item() == without.item()
    assert torch.cat(features).var(0).mean() > 1


def test_bayesian_irm_without_spread_is_irmv1():
    network = weights()
    bayes = find_objective("bayesian-irm")(environments(network), Step(0), sigma=0.0, anneal_steps=0)
    plain = find_objective("irmv1")(environments(network), Step(0), anneal_steps=0)
    assert bayes.item() == pytest.approx(plain.item(), rel=1e-12)


# PAIR


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Losses of several sizes, inner products of gradients, a preference."""
    random = np.random.default_rng(seed)
    gradients = random.normal(size=(3, 6)) * 10 ** random.uniform(-3, 0, size=(3, 1))
    gradients[1] += random.normal() * gradients[0]
    return 10 ** random.uniform(-4, 0, 3), gradients @ gradients.T, 10 ** random.uniform(-6, 0, 3)


def programme(losses, products, preference, epsilon):
    """Gain, rows and bounds as Mahapatra & Rajan 2020 have them, written down a second time."""
    r = preference / sum(preference)
    shares = r * losses / (r @ losses)
    mu = sum(s * math.log(3 * s) for s in shares)
    a = np.array([r[k] * (math.log(3 * shares[k]) - mu) for k in range(3)])
    toward = products @ a
    if mu <= epsilon:
        rows = [*products, toward]
        return products.sum(0), np.array(rows), np.array([0, 0, 0, min(0.0, max(toward))])
    largest = int(np.argmax(r * losses))
    keep = [j for j in range(3) if j == largest or toward[j] <= 0 or max(toward) <= 0]
    bounds = [0.0 if j == largest or max(toward) <= 0 else toward[j] for j in keep]
    return toward, products[keep], np.array(bounds)


def corners(gain, rows, bounds) -> tuple[np.ndarray, float] | None:
    """The best corner of the feasible part of the simplex by trying all, and by how much the second best is worse."""
    lines = [(row, bound) for row, bound in zip(rows, bounds, strict=True)] + [(e, 0.0) for e in np.eye(3)]
    size = np.abs(rows).max()
    found = []
    for first, second in combinations(lines, 2):
        system = np.array([first[0] / np.abs(first[0]).max(), second[0] / np.abs(second[0]).max(), np.ones(3)])
        if abs(np.linalg.det(system)) < 1e-12:
            continue
        right = [first[1] / np.abs(first[0]).max(), second[1] / np.abs(second[0]).max(), 1.0]
        point = np.linalg.solve(system, right)
        if (point >= -1e-9).all() and (rows @ point >= bounds - 1e-9 * size).all():
            found.append((gain @ point, point))
    if not found:
        return None
    best = max(found, key=lambda one: one[0])
    others = [value for value, point in found if np.abs(point - best[1]).max() > 1e-6]
    return best[1], (best[0] - max(others, default=-np.inf)) / np.abs(gain).max()


@pytest.mark.parametrize("epsilon", [0.1, 2.0])  # balancing mostly; descending always, for μ ≤ log 3
def test_pairs_weights_are_those_of_another_solver(epsilon):
    """All corners of the feasible part, and SLSQP from the best of a grid; where the optimum is not unique, its
    value."""
    compared = 0
    for seed in range(60):
        losses, products, preference = random_case(seed)
        found = pareto_weights(losses, products, preference, epsilon)
        assert found.sum() == pytest.approx(1) and (found >= -1e-9).all()
        gain, rows, bounds = programme(losses, products, preference, epsilon)
        answer = corners(gain, rows, bounds)
        if answer is None and adjustments(losses, preference / preference.sum())[1] <= epsilon:
            gain, rows, bounds = products.sum(0), products, np.zeros(3)
            answer = corners(gain, rows, bounds)
        expected, margin = answer
        assert gain @ found == pytest.approx(gain @ expected, abs=1e-6 * np.abs(gain).max())
        if margin < 1e-4:
            continue
        compared += 1
        np.testing.assert_allclose(found, expected, atol=1e-4)
        sizes = np.abs(rows).max(1)
        slsqp = minimize(
            lambda alpha, gain=gain: -gain @ alpha / np.abs(gain).max(), expected * 0.9 + 0.1 / 3, method="SLSQP",
            bounds=[(0, 1)] * 3, options={"ftol": 1e-12, "maxiter": 500},
            constraints=[
                {"type": "eq", "fun": lambda alpha: alpha.sum() - 1},
                {"type": "ineq", "fun": lambda alpha, r=rows, b=bounds, s=sizes: (r @ alpha - b) / s},
            ],
        )  # fmt: skip
        if slsqp.success:
            np.testing.assert_allclose(found, slsqp.x, atol=1e-4)
    assert compared > 20


def test_pairs_weights_never_are_the_preference_itself_but_for_a_reason():
    """What the public code returns without its commercial solver. And no loss is raised that need not be."""
    for seed in range(20):
        losses, products, preference = random_case(seed)
        found = pareto_weights(losses, products, preference, 0.1)
        assert np.abs(found - preference / preference.sum()).max() > 1e-3
        largest = int(np.argmax(preference * losses))
        assert (products @ found)[largest] >= -1e-7 * np.abs(products[largest]).max()


def test_a_loss_of_zero_leaves_finite_weights():
    """Equal risks in all environments have no variance: its logarithm would be infinite."""
    a, nonuniformity = adjustments(np.array([0.5, 0.1, 0.0]), np.array([0.2, 0.3, 0.5]))
    assert np.isfinite(a).all() and 0 <= nonuniformity <= math.log(3)
    products = np.diag([1.0, 1.0, 0.0])
    found = pareto_weights(np.array([0.5, 0.1, 0.0]), products, np.array([1e-12, 1e-2, 0.99]), 0.1)
    assert np.isfinite(found).all() and found.sum() == pytest.approx(1)
    assert adjustments(np.zeros(3), np.ones(3))[1] == 0
    assert pareto_weights(np.zeros(3), np.zeros((3, 3)), np.ones(3), 0.1).sum() == pytest.approx(1)


def test_pair_is_the_mix_of_three_losses_with_the_weights_of_the_last_layers_gradients():
    network = weights()
    found = environments(network)
    chosen = {"preference": (0.2, 0.3, 0.5), "epsilon": 0.1, "anneal_steps": 3}
    losses = [
        mean(cross_entropy(e) for e in found),
        mean(slope(e) ** 2 for e in found),
        variance((cross_entropy(e) for e in found), 1),
    ]
    assert objectives(found).tolist() == pytest.approx(losses, rel=1e-6)
    rows = [torch.autograd.grad(loss, network[1], retain_graph=True)[0].flatten() for loss in objectives(found)]
    products = (torch.stack(rows) @ torch.stack(rows).T).numpy()
    alpha = pareto_weights(np.array(losses), products, np.array([0.2, 0.3, 0.5]), 0.1)
    pair = find_objective("pair")
    value = pair(found, Step(3, last_layer=(network[1],)), **chosen)
    assert value.item() == pytest.approx(float(alpha @ losses), rel=1e-6)
    ours = torch.autograd.grad(value, network, retain_graph=True)
    theirs = torch.autograd.grad(torch.from_numpy(alpha) @ objectives(found), network)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-12)
    early = pair(environments(network), Step(2, torch.tensor(DECAY, dtype=torch.float64)), **chosen)
    assert early.item() == pytest.approx(losses[0] + DECAY, rel=1e-9)


# Games


def test_a_player_moves_on_its_own_environment_with_its_own_weights_alone():
    torch.manual_seed(0)
    game = Game(4, 6, 3, players=3, variable=True, dropout=0.75).double().eval()
    batches = images()
    before = [[w.clone() for w in part] for part in game.parts]
    for number in range(4):
        found = answers(game, batches)
        who = variable_mover(number, 3)
        assert who == [3, 2, 1, 0][number]
        value = find_objective("irm-game-variable")(found, Step(number))
        expected = cross_entropy(
            Environment(torch.cat([e.logits for e in found]), torch.cat([e.labels for e in found]))
            if who == 3 else found[who]
        )  # fmt: skip
        assert value.item() == pytest.approx(expected, rel=1e-9)
        move(torch.optim.SGD(game.parts[who], 0.1), game.parts[who], value)
        changed = [
            any(not torch.equal(a, b) for a, b in zip(o, n, strict=True))
            for o, n in zip(before, game.parts, strict=True)
        ]
        assert changed == [part == who for part in range(4)]
        before = [[w.clone() for w in part] for part in game.parts]
    assert [fixed_mover(number, 3) for number in range(4)] == [0, 1, 2, 0]


def test_a_players_gradient_is_that_of_the_ensemble():
    """∂CE_e/∂z of a player is (softmax(mean) − onehot)/(images·players)."""
    generator = torch.Generator().manual_seed(3)
    players = [torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    labels = torch.tensor([0, 1, 2, 1, 0])
    both = [Environment(ensemble(players), labels), Environment(ensemble(players), labels)]
    value = find_objective("irm-game-fixed")(both, Step(1))
    (gradient,) = torch.autograd.grad(value, players[1])
    mixed = (sum(players) / 2).detach()
    onehot = torch.eye(3, dtype=torch.float64)[labels]
    torch.testing.assert_close(gradient, (mixed.softmax(-1) - onehot) / 10, rtol=1e-9, atol=1e-12)


def test_games_are_evaluated_without_dropout():
    """The public code's models never leave the training mode."""
    domains = coloured("mnist")
    fitted = fit("irm-game-fixed", domains, 0, recipe_of("irm-game-fixed", steps=2, images=20, hidden=8, dropout=0.75))
    pictures = domains.evaluations["test"][0][:50]
    assert torch.equal(fitted.probabilities(pictures), fitted.probabilities(pictures))
    torch.testing.assert_close(fitted.logits["test"][-1][:50].softmax(-1), fitted.probabilities(pictures))


def test_a_game_ends_when_training_accuracy_falls_below_the_bound_after_the_warm_up():
    assert not is_over(99, 0.1, 0.6) and not is_over(100, 0.6, 0.6) and is_over(100, 0.59, 0.6)
    stopped = fit(
        "irm-game-fixed",
        coloured("mnist"),
        0,
        recipe_of("irm-game-fixed", steps=120, images=20, hidden=8, stop_below=1.0),
    )
    assert stopped.steps == 101
    assert len(stopped.logits["test"]) == 1  # the model that was stopped at, not a mean with earlier ones


# The loop


def tiny(seed: int = 0) -> Domains:
    """Two environments of two classes that a pixel tells apart."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([0, 1] * 20)
    pictures = torch.rand(40, 1, 14, 14, generator=generator)
    pictures[:, 0, 0, 0] = 20.0 * labels
    both = (pictures, labels)

    def draw(count, generator):
        rows = torch.randperm(40, generator=generator)[:count]
        return [(pictures[rows], labels[rows])] * 2

    return Domains("tiny", 2, 1, ("a", "b"), draw, {name: both for name in ("training", "test")})


def tiny_recipe(name: str, **changes):
    return recipe_of(name, **{"steps": 31, "images": 40, "hidden": 8, "lr": 1e-2, "last": 4, **changes})


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_trains(name):
    recipe = tiny_recipe(
        name,
        sgd_from=20 if name == "pair" else None,
        sgd_lr=1e-3,
        parameters={"pair": {"anneal_steps": 20}, "ib-irm": {"variance_weight": 0.1}}.get(name, {}),
    )
    fitted = fit(name, tiny(), 0, recipe)
    assert fitted.history[-1]["test"] > 0.9
    assert [row["step"] for row in fitted.history] == [0, 10, 20, 30]
    assert fitted.logits["test"].shape == (4, 40, 2)
    again = fit(name, tiny(), 0, recipe)
    assert torch.equal(again.logits["test"], fitted.logits["test"])
    assert not torch.equal(fit(name, tiny(), 1, recipe).logits["test"], fitted.logits["test"])


def test_a_step_is_adams_on_the_objective():
    """The first step of IRMv1 against a loop written out here."""
    domains, recipe = tiny(), tiny_recipe("irmv1", steps=1)
    fitted = fit("irmv1", domains, 5, recipe)
    torch.manual_seed(5)
    model = Perceptron(196, 8, 2)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    batches = domains.draw(20, torch.Generator().manual_seed(5))
    found = [Environment(*model(x)[:1], y) for x, y in batches]
    risk = sum(nn.functional.cross_entropy(e.logits, e.labels) for e in found) / 2
    penalty = sum(scale_gradient(e) ** 2 for e in found) / 2
    (risk + 1.1e-3 * sum(w.square().sum() for w in model.parameters()) + penalty).backward()
    optimizer.step()
    for ours, theirs in zip(fitted.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


# Refused


ONE = Environment(torch.zeros(2, 2), torch.tensor([0, 1]), torch.zeros(2, 3))
EMPTY = Environment(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), torch.zeros(0, 3))


@pytest.mark.parametrize(
    ("name", "found", "changes", "sentence"),
    [
        *[(name, [ONE], {}, "at least 2 of them, not 1") for name in OBJECTIVES if name != "erm"],
        *[(name, [ONE, EMPTY], {}, "environment 1 is without images") for name in OBJECTIVES],
        ("erm", [], {}, "at least 1 of them, not 0"),
        *[(name, [ONE, ONE], {"penalty_weight": -1.0}, "penalty_weight must be finite and not negative, not -1.0")
          for name in ("irmv1", "ib-irm", "bayesian-irm")],
        ("irmv1", [ONE, ONE], {"penalty_weight": math.nan}, "penalty_weight must be finite and not negative, not nan"),
        ("irmv1", [ONE, ONE], {"weight": 1.0}, "unknown parameter 'weight' of irmv1: accepted are penalty_weight"),
        ("ib-irm", [ONE, ONE], {"variance_weight": -0.1}, "variance_weight must be finite"),
        ("ib-irm", [ONE, Environment(ONE.logits, ONE.labels)], {}, "environment 1 is without features"),
        ("ib-irm", [ONE, Environment(*(t[:1] for t in (ONE.logits, ONE.labels, ONE.features)))], {}, "one image"),
        ("bayesian-irm", [ONE, ONE], {"sigma": -0.06}, "sigma must be finite and not negative, not -0.06"),
        ("bayesian-irm", [ONE, ONE], {"samples": 0}, "samples must be at least 1, not 0"),
        ("pair", [ONE, ONE], {"epsilon": -0.1}, "epsilon must be finite"),
        ("pair", [ONE, ONE], {"preference": (1.0, 1.0)}, "3 positive numbers"),
        ("pair", [ONE, ONE], {"preference": (1.0, 0.0, 1.0)}, "3 positive numbers"),
        ("pair", [ONE, ONE], {"anneal_steps": 0}, "names no last layer"),
        ("erm", [ONE, Environment(ONE.logits, torch.tensor([0, 2]))], {}, "labels 0 to 2: accepted are 0 to 1"),
        ("erm", [ONE, Environment(torch.zeros(2, 3), ONE.labels)], {}, "environment 1 has 3 classes, environment 0 2"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_a_sentence(name, found, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        find_objective(name)(found, Step(0), **changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 0}, "steps of a recipe must be at least 1, not 0"),
        ({"lr": -1.0}, "lr of a recipe must be finite and not negative, not -1.0"),
        ({"width": 3}, "unknown part of a recipe 'width': accepted are steps, images"),
    ],
)
def test_bad_recipes_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        recipe_of("erm", **changes)
    with pytest.raises(ValueError, match="unknown objective 'irm': accepted are erm, irmv1"):
        recipe_of("irm")


def of_side(side, channels=2, classes=2):
    """Two environments of pictures of so many pixels."""

    def batch(count):
        return torch.rand(count, channels, side, side), torch.arange(count) % classes

    return lambda count, generator: [batch(count), batch(count)], {"test": batch(6)}


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda: of_side(28), r"pictures of test of mine must have the shape \[n, 2, 14, 14\], not \[6, 2, 28, 28\]"),
        (lambda: of_side(14, channels=1), r"pictures of test of mine must have the shape .*, not \[6, 1, 14, 14\]"),
        (lambda: of_side(14, classes=3), "labels of test of mine must be from 0 to 1"),
        (lambda: (of_side(28)[0], of_side(14)[1]), r"pictures of day of mine must have .*, not \[10, 2, 28, 28\]"),
        (
            lambda: (lambda n, g: of_side(14)[0](n, g)[:1], of_side(14)[1]),
            "mine has 2 environments and draws 1 batches",
        ),
    ],
)
def test_environments_of_another_size_are_refused(made, sentence):
    domains = Domains("mine", 2, 2, ("day", "night"), *made())
    with pytest.raises(ValueError, match=sentence):
        fit("erm", domains, 0, recipe_of("erm", steps=2, images=20, hidden=3))


def test_a_loss_that_is_not_finite_is_said():
    with pytest.raises(FloatingPointError, match=r"the loss of erm on tiny is .* at step"):
        fit("erm", tiny(), 0, tiny_recipe("erm", lr=1e30))
