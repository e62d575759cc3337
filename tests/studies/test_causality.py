"""The verdicts on planted worlds, where it is known what τJp does to interference, and the statistics' pieces.

A world is made of products: the source's Jτ on the target's images is `relevant` (towards a wrong class) times a
plus `inert` (where the head has zeros, so that no prediction changes) times b. τJp sees both.
"""

import itertools
from functools import cache

import numpy as np
import pandas as pd
import pingouin
import pytest
import statsmodels.api as sm
import torch
from statsmodels.sandbox.regression.gmm import IV2SLS

from analysis.causal import statistics as causality
from analysis.causal.arms import DOSES, SHARES, TURNED
from analysis.causal.statistics import conclusion, effects
from analysis.interference import exposure, interference
from analysis.resampling import cluster_bootstrap, partial_rank_correlation, t_interval
from taujp_core.applications.linearised import Products

TASKS = ["a", "b", "c", "d", "e", "f"]
WEIGHTS = (0.0, 0.02, 0.06, 0.2, 0.6, 2.0)
STEPS = (10, 20, 30, 40, 50, 60, 70, 80)
CLASSES, DIMENSIONS, IMAGES = 4, 6, 60


def treatments(source, target):
    """arm, level, step, and what a treatment that moves τJp multiplies it by."""
    arm = "target" if TASKS.index(target) == (TASKS.index(source) + 1) % len(TASKS) else "bystander"
    yield from ((arm, level, -1, factor) for level, factor in ((0.0, 1.0), (0.6, 0.4 if arm == "target" else 0.9)))
    yield from (("raise", level, -1, factor) for level, factor in ((0.0, 1.0), (-0.2, 2.0)))
    for weight in WEIGHTS:
        yield "dose", weight, -1, 1 / (1 + 5 * weight)
    for start, step in itertools.product((10, 80), STEPS):
        yield "onset", float(start), step, 0.2 + 0.8 * np.exp(-max(step - start, 0) / 40)
    for dose in DOSES:
        yield "edit", dose, -1, 1 - 0.7 * dose
    for dose in TURNED:
        yield "turned", dose, -1, 0.3 + 0.7 * dose
    for arm, dose in itertools.product(("random", "third"), (1.0, 0.0, -1.0)):
        yield arm, dose, -1, 1.0
    for share in SHARES:
        yield "scale", share, -1, share


def strengths(world, arm, step, level, factor, relevant, inert):
    """a and b in units of the features' length."""
    if world == "direction" and arm == "turned":  # what is put back does no harm; `wrong` is half as long on average
        return relevant * 0.3, relevant * (factor - 0.3) / 2
    if world in ("causes", "direction"):
        return relevant * factor, 0.0
    if world == "unrelated":
        return relevant * (factor if arm == "scale" else 1.0), inert * factor
    # Travels: training changes both, interference first; an edit of τJp moves what does no harm.
    if arm == "onset":
        early = 0.2 + 0.8 * np.exp(-max(step - level, 0) / 2)
        return relevant * early, 8 * relevant * factor
    return relevant * (
        factor if arm in ("dose", "target", "bystander", "raise", "scale") else 1.0
    ), 8 * relevant * factor


@cache
def planted(world: str) -> pd.DataFrame:
    """Never changed by its readers."""
    rng, generator = np.random.default_rng(1), torch.Generator().manual_seed(1)
    rows, measured = [], []
    prototypes = torch.eye(DIMENSIONS)[:, :CLASSES]
    head = 10 * prototypes
    for seed, source, target in itertools.product((0, 1), TASKS, TASKS):
        if source == target:
            continue
        labels = torch.arange(IMAGES) % CLASSES
        features = 0.2 * torch.randn(IMAGES, DIMENSIONS, generator=generator)
        own = prototypes.T[labels] + 0.3 * torch.randn(IMAGES, DIMENSIONS, generator=generator)
        wrong = prototypes.T[(labels + 1) % CLASSES] * torch.rand(IMAGES, 1, generator=generator)
        source_products = torch.stack([own, wrong, torch.eye(DIMENSIONS)[-1].expand(IMAGES, -1)])
        products = Products(features, source_products, labels)
        relevant, inert = rng.uniform(0.5, 2), rng.uniform(2, 10)
        norm, cosine, own_tau_jp = rng.uniform(5, 10), rng.uniform(-0.1, 0.1), rng.uniform(20, 50)
        coefficients = []
        for arm, level, step, factor in treatments(source, target):
            noisy = factor * np.exp(0.02 * rng.normal())
            a, b = strengths(world, arm, step, level, noisy, relevant, inert)
            if arm == "onset" and step <= level:
                a, b = strengths(world, arm, step, level, 1.0, relevant, inert)
            coefficients.append([a, b])
            rows.append(
                {"arm": arm, "level": level, "step": step, "method": "linear", "seed": seed, "source": source,
                 "target": target, "norm": norm, "cosine": cosine, "own_tau_jp": own_tau_jp,
                 "own_accuracy": 0.9 + 0.01 * rng.normal()}
            )  # fmt: skip
        found = interference(products, head, [1.0, 0.0, 0.0], [[1.0, *each] for each in coefficients])
        metrics = exposure(products, head, [[0.0, *each] for each in coefficients], [1.0, 0.0, 0.0])
        measured.append(found.assign(**metrics))
    return pd.concat([pd.DataFrame(rows), pd.concat(measured, ignore_index=True)], axis=1)


@pytest.fixture(scope="module", params=["causes", "travels", "unrelated"])
def world(request):
    points = planted(request.param)
    return request.param, points, effects(points, "accuracy_loss", 150)


def test_planted_worlds_get_their_verdict(world):
    name, _, found = world
    kind, sentence = conclusion(found, "encoder")
    assert kind == name, f"{sentence}\n{found}"


def test_the_arms_say_what_was_planted(world):
    name, _, found = world
    expected = {
        "causes": dict.fromkeys(
            ("dose", "onset", "target", "raise", "edit", "turned", "random", "third", "controls"), "supports"
        ),
        "travels": {
            "dose": "supports",
            "target": "supports",
            "raise": "supports",
            "onset": "contradicts",
            "edit": "contradicts",
            "turned": "contradicts",
            "random": "contradicts",
        },
        "unrelated": dict.fromkeys(
            ("dose", "onset", "target", "raise", "edit", "turned", "random", "third"), "contradicts"
        ),
    }[name]
    assert {arm: found.verdict[arm] for arm in expected} == expected, found.T.to_string()


@pytest.mark.parametrize(
    ("name", "expected"), [("causes", "size"), ("direction", "direction"), ("unrelated", "neither")]
)
def test_direction_is_told_from_size(name, expected):
    points = planted(name)
    found = causality.direction_and_size(points, "accuracy_loss", 60)
    metrics = causality.compare_metrics(points, ["tau_jp", "margin_scaled", "towards_boundary"], "accuracy_loss", 5)
    kind, sentence = causality.which_of_both(found, metrics, 6, "linearised")
    assert kind == expected, f"{sentence}\n{found}"
    estimates = found.estimate
    assert estimates["size, own direction"] == pytest.approx(
        estimates["size, another direction"] + estimates["direction, same size"]
    )
    three = points[points.source.isin(TASKS[:3]) & points.target.isin(TASKS[:3])]
    assert set(causality.direction_and_size(three, "accuracy_loss", 20).verdict) == {"undecided"}
    if name == "direction":  # the rule of the arms: τJp is a size, and this one contradicts
        kind, sentence = conclusion(effects(points, "accuracy_loss", 50), "encoder")
        assert kind == "undecided"
        assert "the turned edit says that it is none" in sentence


def test_a_turned_edit_of_another_size_says_nothing_of_its_direction():
    points = planted("direction").copy()
    points.loc[points.arm == "turned", "tau_jp"] *= 2.0
    found = causality.direction_and_size(points, "accuracy_loss", 50)
    assert found.verdict["direction, same size"] == "undecided"


def test_a_metric_that_knows_the_boundaries_sees_what_a_size_does_not():
    """Where most of the movement is towards no class, τJp sees all of it, in units of the margin too."""
    found = causality.compare_metrics(
        planted("unrelated"), ["tau_jp", "margin_scaled", "towards_boundary"], "accuracy_loss", 40
    )
    assert found.more_low["towards_boundary"] > 0.2
    assert found.rho["towards_boundary"] > 0.8 > found.rho["margin_scaled"] + 0.2
    nothing = pd.DataFrame({"verdict": "undecided"}, index=["size, another direction", "direction, same size"])
    opening = "On the encoder itself it stays open how much of the harm is the size of the movement, and how much its direction."
    for tasks, closing in (
        (6, "The way to the class boundary orders the points better than τJp."),
        (3, "3 tasks are too few to say which metric orders the points better."),
    ):
        said = causality.which_of_both(nothing, found, tasks, "encoder")
        assert said == ("undecided", f"{opening} {closing}")


def test_a_penalty_that_spares_all_tasks_alike_says_nothing_of_its_target(world):
    """τJp fell on third tasks as it did on the one that was seen: the comparison has nothing to compare."""
    _, points, _ = world
    thirds = points[points.arm == "bystander"]
    alike = points.copy()
    ours = points.index[points.arm == "target"]
    means = thirds.groupby(["seed", "source", "level"])[["accuracy_loss", "tau_jp"]].mean()
    keys = pd.MultiIndex.from_frame(points.loc[ours, ["seed", "source", "level"]])
    alike.loc[ours, ["accuracy_loss", "tau_jp"]] = means.loc[keys].to_numpy()
    found = effects(alike, "accuracy_loss", 20).loc["target"]
    assert found.verdict == "undecided"
    assert abs(found.moved) < 0.3


def test_the_target_arms_effect_is_a_difference_of_differences(world):
    _, points, found = world
    wanted = []
    for (_, source), rows in points[points.arm.isin(["target", "bystander"])].groupby(["seed", "source"]):
        change = {}
        for target, of in rows.groupby("target"):
            losses = of.set_index("level").accuracy_loss
            change[target] = losses[0.6] - losses[0.0]
        seen = change.pop(TASKS[(TASKS.index(source) + 1) % len(TASKS)])
        wanted.append(np.mean(list(change.values())) - seen)
    assert len(wanted) == found.n["target"] == 2 * len(TASKS)
    assert found.estimate["target"] == pytest.approx(np.mean(wanted))


def test_interference_that_falls_before_tau_jp_has_a_negative_lag(world):
    name, _, found = world
    onset = found.loc["onset"]
    assert name != "travels" or onset.lag_high < -10
    assert name != "causes" or onset.lag_low > -10  # the saved steps are 10 apart


def test_a_conclusion_names_the_arms_that_contradict():
    found = pd.DataFrame(
        {"verdict": {"dose": "supports", "edit": "supports", "third": "contradicts", "scale": "supports"}}
    )
    kind, sentence = conclusion(found, "encoder")
    assert kind == "undecided"
    assert "the third-task placebo says that it is none" in sentence
    assert "scale" not in sentence


def test_three_tasks_are_too_few_for_a_verdict(world):
    _, points, _ = world
    few = points[points.source.isin(TASKS[:3]) & points.target.isin(TASKS[:3])]
    found = effects(few, "accuracy_loss", 20)
    assert set(found.verdict) == {"undecided"}
    assert conclusion(found, "encoder")[0] == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "untreated", "moved", "word"),
    [
        (0.01, 0.05, 0.1, 1.0, "supports"),
        (-0.02, 0.005, 0.1, 1.0, "contradicts"),
        (0.001, 0.005, 0.1, 1.0, "contradicts"),  # there, and too small to matter
        (-0.01, 0.05, 0.1, 1.0, "undecided"),
        (0.01, 0.05, 0.1, 0.1, "undecided"),  # τJp was not moved
        (0.01, 0.05, -0.1, 1.0, "undecided"),  # nothing to explain
        (np.nan, np.nan, 0.1, 1.0, "undecided"),
    ],
)
def test_the_rule_of_the_verdict(low, high, untreated, moved, word):
    assert causality.verdict((low + high) / 2, low, high, untreated, moved)["verdict"] == word


def pairs(tasks, seeds=(0, 1)):
    return pd.DataFrame(
        [
            {"method": "linear", "seed": seed, "source": s, "target": t}
            for seed in seeds for s in tasks for t in tasks if s != t
        ]
    )  # fmt: skip


def test_the_bootstrap_is_wider_where_tasks_differ_than_where_pairs_do():
    frame = pairs(TASKS)
    by_task = frame.source.map({name: k for k, name in enumerate(TASKS)}).to_numpy(float)
    alone = np.random.default_rng(0).permutation(by_task)
    widths = []
    for values in (by_task, alone):
        estimate, low, high = causality.cluster_bootstrap(
            frame, lambda weights, v=values: float(np.average(v, weights=weights)), 300
        )
        assert low < estimate < high
        widths.append(high - low)
    assert widths[0] > 1.3 * widths[1]


def test_a_draw_of_tasks_weighs_a_pair_by_both_of_them():
    """Pair (s, t) has the weight m_s·m_t·m_seed: the same both ways round, and products of whole multiplicities."""
    pairs = [(s, t, seed) for s, t in itertools.permutations("abcd", 2) for seed in (0, 1)]
    frame = pd.DataFrame(pairs, columns=["source", "target", "seed"])
    seen = []

    def statistic(weights: np.ndarray) -> float:
        seen.append(weights)
        return 0.0

    cluster_bootstrap(frame, statistic, 200)
    places = {pair: k for k, pair in enumerate(pairs)}
    assert len({tuple(weights) for weights in seen}) > 50
    for weights in seen:
        for s, t, seed in pairs:
            assert weights[places[s, t, seed]] == weights[places[t, s, seed]]
        # m_a·m_b · m_c·m_d = m_a·m_c · m_b·m_d, for every draw
        both = [weights[places["a", "b", k]] * weights[places["c", "d", k]] for k in (0, 1)]
        assert both == [weights[places["a", "c", k]] * weights[places["b", "d", k]] for k in (0, 1)]
        drawn = sum(weights[places[s, t, 0]] + weights[places[s, t, 1]] for s, t in itertools.permutations("abcd", 2))
        assert drawn <= 2 * (4 * 4 - 4)  # two seeds; (Σm)² − Σm² pairs, with Σm = 4


def test_slopes_are_within_pairs():
    frame = pd.concat([pairs(TASKS[:3]).assign(level=level) for level in (0, 1, 2)], ignore_index=True)
    offset = frame.groupby(causality.UNIT).ngroup()
    # Between pairs interference falls with τJp; within each it rises by 0.25 a doubling.
    frame["tau_jp"] = 2.0 ** (frame.level + offset)
    frame["accuracy_loss"] = 0.25 * frame.level - offset
    estimate, low, high = causality.dose_slope(frame, "accuracy_loss", 100)
    assert (estimate, low, high) == pytest.approx((0.25, 0.25, 0.25))


def dose_table(direct, through, rng):
    frame = pd.concat([pairs(TASKS).assign(arm="dose", level=level) for level in WEIGHTS], ignore_index=True)
    step = frame.level.map({weight: k for k, weight in enumerate(WEIGHTS)})
    log = 4 - 0.5 * step + 0.3 * rng.normal(size=len(frame))
    return frame.assign(tau_jp=2.0**log, accuracy_loss=direct * step + through * log)


@pytest.mark.parametrize(("direct", "through", "share"), [(0.0, 0.1, 1.0), (-0.05, 0.1, 0.5), (-0.1, 0.0, 0.0)])
def test_mediation_finds_the_planted_share(direct, through, share):
    table = dose_table(direct, through, np.random.default_rng(0))
    found = causality.mediation(table, "accuracy_loss", 100).set_index("effect").loc["share through tau_jp"]
    assert found.estimate == pytest.approx(share, abs=0.06)
    assert found.low - 0.06 <= share <= found.high + 0.06


def confounded(effect, rng):
    """Something unseen raises both τJp and the outcome, within pairs; λ is drawn without it."""
    frame = pd.concat([pairs(TASKS).assign(arm="dose", level=level) for level in WEIGHTS], ignore_index=True)
    step, unseen = frame.level.map({weight: k for k, weight in enumerate(WEIGHTS)}), rng.normal(size=len(frame))
    log = 4 - 0.5 * step + unseen
    return frame.assign(tau_jp=2.0**log, accuracy_loss=effect * log + 0.2 * unseen)


@pytest.mark.parametrize("effect", [0.0, 0.1])
def test_the_instrument_finds_the_effect_where_least_squares_does_not(effect):
    found = causality.instrument(confounded(effect, np.random.default_rng(0)), "accuracy_loss", 200).set_index("effect")
    both = found.loc["two-stage least squares: the outcome, τJp doubled"]
    plain = found.loc["ordinary least squares: the outcome, τJp doubled"]
    assert both.low < effect < both.high
    assert both.estimate == pytest.approx(effect, abs=0.03)
    assert plain.low > effect + 0.03


def test_the_instrument_is_that_of_statsmodels():
    """With each pair's own level as dummies, in which theirs and ours agree, and weights as repeated rows."""
    table = confounded(0.1, np.random.default_rng(1))
    y, x = (causality.within(table, column) for column in (table.accuracy_loss, np.log2(table.tau_jp)))
    z = causality.within(table, table.level.rank(method="dense"))
    theirs = IV2SLS(y, x[:, None], z[:, None]).fit().params[0]
    ours = causality.instrument(table, "accuracy_loss", 20).set_index("effect").estimate
    assert ours["two-stage least squares: the outcome, τJp doubled"] == pytest.approx(theirs, rel=1e-10)
    assert ours["first stage: log2 τJp, a step of λ"] == pytest.approx(sm.OLS(x, z).fit().params[0], rel=1e-10)


def test_a_weight_that_does_not_move_tau_jp_is_no_instrument():
    table = confounded(0.1, np.random.default_rng(0))
    rng = np.random.default_rng(2)
    still = table.assign(tau_jp=2.0 ** rng.normal(size=len(table)))
    found = causality.instrument(still, "accuracy_loss", 100).set_index("effect")
    assert found.loc["two-stage least squares: the outcome, τJp doubled"].isna().all()


def test_a_share_of_no_effect_is_missing():
    found = causality.mediation(dose_table(0.0, 0.0, np.random.default_rng(0)), "accuracy_loss", 50)
    assert found.set_index("effect").loc["share through tau_jp"].isna().all()


def test_a_rival_that_is_the_cause_leaves_tau_jp_nothing():
    rng = np.random.default_rng(0)
    frame = pd.concat([pairs(TASKS).assign(arm="dose", level=level) for level in WEIGHTS], ignore_index=True)
    norm = rng.uniform(1, 2, len(frame))
    table = frame.assign(
        norm=norm, cosine=rng.normal(size=len(frame)), own_tau_jp=rng.normal(size=len(frame)),
        tau_jp=norm * np.exp(0.1 * rng.normal(size=len(frame))), accuracy_loss=norm + 0.05 * rng.normal(size=len(frame)),
    )  # fmt: skip
    found = causality.correlations(table, "accuracy_loss", 100).set_index(["predictor", "rows"])
    assert found.rho["tau_jp", "all λ"] > 0.8
    assert abs(found.rho["tau_jp", "all λ, given the others"]) < 0.2
    assert found.rho["norm", "all λ, given the others"] > 0.7


def test_a_better_metric_is_seen_to_be_better():
    rng = np.random.default_rng(0)
    frame = pairs(TASKS)
    truth = rng.uniform(1, 2, len(frame))
    points = frame.assign(blunt=truth * np.exp(rng.normal(size=len(frame))), sharp=truth, accuracy_loss=truth)
    found = causality.compare_metrics(points, ["blunt", "sharp"], "accuracy_loss", 200)
    assert found.more_low["sharp"] > 0
    assert found.more_than_first["blunt"] == 0


def test_half_of_a_fall_is_found_between_saved_steps():
    assert causality.half_time([20, 30, 40], [0.0, -1.0, -4.0]) == pytest.approx(30 + 10 / 3)
    assert np.isnan(causality.half_time([20, 30], [0.0, 0.1]))


@pytest.mark.parametrize("columns", [1, 2])
def test_weighted_slopes_are_those_of_statsmodels(columns):
    rng = np.random.default_rng(columns)
    for _ in range(20):
        x, y, weights = rng.normal(size=(30, columns)), rng.normal(size=30), rng.integers(0, 4, 30)
        theirs = sm.WLS(y, x, weights=weights).fit().params
        assert causality.weighted_slopes(y, *x.T)(weights) == pytest.approx(theirs, abs=1e-10)


@pytest.mark.parametrize("digits", [0, 3])  # with and without equal ranks
@pytest.mark.parametrize("others", [1, 3])
def test_partial_rank_correlations_are_those_of_pingouin(others, digits):
    rng = np.random.default_rng(others)
    for _ in range(20):
        values = (rng.normal(size=(25, 2 + others)) @ rng.normal(size=(2 + others, 2 + others))).round(digits)
        frame = pd.DataFrame(values, columns=list("xyabc")[: 2 + others])
        theirs = pingouin.partial_corr(frame, "x", "y", list("abc")[:others], method="spearman").r.iloc[0]
        assert partial_rank_correlation(frame) == pytest.approx(theirs, abs=1e-10)


def test_columns_that_cannot_be_told_apart_have_no_partial_correlation():
    x = np.random.default_rng(0).normal(size=(9, 3))
    for given in (x[:, [2, 2]], np.ones((9, 1)), x[:, [0]]):
        assert np.isnan(partial_rank_correlation(pd.DataFrame(np.column_stack([x[:, :2], given]))))


def test_the_t_interval_holds_the_mean_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(3.0, 2.0, (2000, 5))
    inside = [low < 3.0 < high for low, high in map(t_interval, draws)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)
    assert np.isnan(t_interval(draws[0, :1])).all()
