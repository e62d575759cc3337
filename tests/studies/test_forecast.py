"""Forecasts: evidence by hand, calibrations that find what was planted, plans and predictors by brute force, and the call."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import random_like

from analysis.expected_accuracy import (
    SHIPPED,
    TEMPERATURE,
    Expectation,
    changed,
    compared,
    lost_by_expert,
    scale_of,
    shipped,
)
from analysis.forecast.calibrate import combined, learn
from analysis.forecast.call import SCALES, advice, best_scale, forecast, planned, plans_tried, through_sum
from analysis.forecast.conclude import conclusion
from analysis.forecast.cost import passes
from analysis.forecast.errors import blamed, chosen_alpha, crossed, errors, of_merges, ranks, under_stress
from analysis.forecast.evidence import evidence
from analysis.forecast.figures import curves, errors_by_images, expected_and_measured, predictor_ranks
from analysis.forecast.measure import Sample, measure_plans
from analysis.forecast.plans import CURVE, plans_of
from analysis.forecast.predictors import from_pairs, from_products
from analysis.forecast.study import ForecastStudy
from analysis.stressed_experts import AS_TRAINED, LONG, UNSURE, Experts
from taujp_core.applications.linearised import Products
from taujp_core.datasets import load_split
from taujp_core.evaluation import accuracy, features, linearised_features
from taujp_core.models import logits, zero_shot_head
from taujp_core.parameters import moved
from taujp_core.products.jacobian import jacobian_products
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector, edited, total

ROOT = Path(__file__).parents[2]
SUITE = load_suite("mini")
TASKS = ["uci", "signs", "street"]


def vectors_of(clip, method: str = "linear", size: float = 0.02) -> list[TaskVector]:
    return [
        TaskVector(random_like(clip.theta0, k, size), clip.fingerprint, task, method) for k, task in enumerate(TASKS)
    ]


def experts_of(clip, method: str, condition: str = AS_TRAINED) -> Experts:
    return Experts(method, 0, condition, 1e-3, vectors_of(clip, method))


def test_evidence_of_answers_by_hand():
    """Three images: one answer changes where the expert is sure, one where it wavers, one stays."""
    sure, wavering = 12.0, 3.0
    expert = torch.tensor([[sure, 0.0], [wavering, 0.0], [0.0, sure]])
    planned = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    p, q = 1 / (1 + np.exp(-sure / TEMPERATURE)), 1 / (1 + np.exp(-wavering / TEMPERATURE))
    assert changed(expert, planned) == pytest.approx(2 / 3)
    assert lost_by_expert(expert, planned) == pytest.approx(1 - ((1 - p) + (1 - q) + p) / (p + q + p), rel=1e-6)
    assert lost_by_expert(expert, expert) == 0.0
    head, source = torch.eye(2), SimpleNamespace(edited_features=lambda plan: torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    (found,) = evidence(source, head, 0, [(1.0, 1.0)])
    of_cosines = logits(source.edited_features(()), head).softmax(-1)  # at temperature 1; both images alike
    assert found.sure[0] == pytest.approx(torch.softmax(torch.log(of_cosines[0]) / TEMPERATURE, 0)[0].item(), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_no_accuracy_falls_by_more_than_the_changed_answers(seed):
    generator = torch.Generator().manual_seed(seed)
    expert, planned = (torch.randn(200, 7, generator=generator) for _ in range(2))
    labels = torch.randint(7, (200,), generator=generator)
    fall = (expert.argmax(-1) == labels).double().mean() - (planned.argmax(-1) == labels).double().mean()
    assert abs(fall.item()) <= changed(expert, planned)


def test_evidence_on_fewer_images_is_that_of_the_first(mini):
    task = SUITE.task("signs")
    head = zero_shot_head(mini, task.classes, task.templates)
    taus = [vector.tau for vector in vectors_of(mini)]
    source = vectors_of(mini)[0].application.source(mini, taus, load_split(task, "validation").first(24))
    plans = [(1.0, 1.0, 0.0), (0.5, 0.5, 0.5)]
    few, all_of_them = evidence(source, head, 1, plans, [10, 1000])
    assert list(few.images) == [10, 10] and list(all_of_them.images) == [24, 24]
    cut = Products(source.features[:10], source.products[:, :10], source.labels[:10])
    (alone,) = evidence(cut, head, 1, plans)
    pd.testing.assert_frame_equal(few.drop(columns="asked"), alone.drop(columns="asked"))


def planted(slopes: tuple[float, float], spread: float, rows: int = 4000) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    share, images = generator.uniform(0, 0.8, rows), generator.choice([32, 128], rows)
    lost = share * generator.uniform(0.3, 0.9, rows)
    table = pd.DataFrame({"changed": share, "lost": lost, "images": images})
    scale = scale_of(table, spread)
    noise = generator.normal(size=rows) * scale
    return table.assign(normalised=1 - slopes[0] * share - slopes[1] * lost + noise)


@pytest.mark.parametrize(("slopes", "spread"), [((0.5, 0.4), 0.1), ((0.0, 1.0), 0.0), ((0.9, 0.0), 0.3)])
def test_a_calibration_finds_what_was_planted(slopes, spread):
    """Of 4000 rows; the noise is normal, of which 90 % lie within 1.645 standard deviations."""
    found = learn(planted(slopes, spread))
    assert found.slopes == pytest.approx(slopes, abs=0.06)
    assert found.spread == pytest.approx(spread, abs=0.05)
    assert found.reach == pytest.approx(1.645, abs=0.08)


def test_intervals_cover_new_rows_and_shrink_with_images():
    table = planted((0.5, 0.4), 0.1)
    expected = learn(table[:2000]).expect(table[2000:])
    assert table.normalised[2000:].between(expected.low, expected.high).mean() == pytest.approx(0.9, abs=0.03)
    few, many = (Expectation((0.5, 0.5), 0.0, 1.6).expect(table.assign(images=n)) for n in (20, 2000))
    assert ((many.high - many.low) < (few.high - few.low)).all()


def test_another_model_gets_an_interval_from_all_answers_lost_to_none():
    """A loss of c in accuracy is one of c / 0.8 of an expert that is right on 0.8 of the images."""
    table = planted((0.5, 0.4), 0.1, 50).assign(sure=0.8)
    known, other = (Expectation((0.5, 0.4), 0.1, 1.6).expect(table, elsewhere) for elsewhere in (False, True))
    worst = (1 - table.changed / 0.8).clip(lower=0)
    assert (other.low <= known.low).all() and (other.low <= worst).all() and (worst > 0).any()
    assert (other.high >= 1).all() and (other.expected == known.expected).all()


def test_labelled_images_move_a_forecast_to_what_they_say_and_narrow_it():
    expected = pd.DataFrame({"expected": [0.9], "low": [0.7], "high": [1.1], "changed": [0.3]})
    single = pd.Series([1.0] * 400)
    planned = pd.DataFrame({0: [1.0] * 200 + [0.0] * 200})
    (row,) = combined(expected, single, planned).itertuples()
    # Σ(y_plan − r·y_expert)² / (Σ y_expert)² = 400·0.25/400² of the labelled ones, (0.2/1.645)² of the forecast.
    weights = np.array([(1.645 / 0.2) ** 2, 400**2 / (400 * 0.25)])
    assert row.expected == pytest.approx(weights @ [0.9, 0.5] / weights.sum())
    assert row.high - row.low == pytest.approx(2 * 1.645 / np.sqrt(weights.sum()))
    pd.testing.assert_frame_equal(combined(expected, 0 * single, planned), expected)


def test_plans_are_pairs_sums_the_curve_and_all_but_one():
    plans = plans_of(5, [3], [0.3, 1.0], 4)
    counts = pd.Series([sum(map(bool, plan)) for plan in plans]).value_counts()
    assert counts.to_dict() == {2: 10, 3: 8, 4: 5, 5: len(CURVE)}
    assert len(set(plans)) == len(plans) and plans == plans_of(5, [3], [0.3, 1.0], 4)
    assert {max(plan) for plan in plans if sum(map(bool, plan)) in (2, 4)} == {1.0}
    assert {sum(map(bool, plan)) for plan in plans_of(3, [], [1.0], 1)} == {2, 3}


@pytest.mark.parametrize("method", ["linear", "standard"])
def test_rows_are_those_of_the_model(method, mini):
    plans = [(1.0, 1.0, 0.0), (0.5, 0.5, 0.5)]
    mean = {"mean": lambda vectors: total(vectors, [1 / len(vectors)] * len(vectors))}
    table = measure_plans(mini, SUITE, [experts_of(mini, method)], plans, mean, Sample([8, 16], 30))
    assert len(table) == 2 * (
        2 + 2 + 1 + 3
    )  # numbers of images × (uci, signs: two plans; street: one; the merge: three)
    vectors = vectors_of(mini, method)

    def model(vector: TaskVector, images: torch.Tensor) -> torch.Tensor:
        if method == "standard":
            return features(mini.encoder, edited(mini.theta0, [vector], [1.0]), images)
        return linearised_features(mini.encoder, mini.theta0, vector.tau, images)

    made = {"1 1 0": total(vectors[:2]), "0.5 0.5 0.5": total(vectors, [0.5] * 3), "mean": total(vectors, [1 / 3] * 3)}
    one = 1 / 16 + 1e-9  # an image may sit on a boundary: sums are taken in another order
    for row in table[table.asked == 16].itertuples():
        task = SUITE.task(row.task)
        head = zero_shot_head(mini, task.classes, task.templates)
        test, seen = load_split(task, "test").first(30).tensors, load_split(task, "validation").first(16).images
        expert = next(vector for vector in vectors if vector.task == row.task)
        assert row.single == pytest.approx(accuracy(model(expert, test[0]), head, test[1]), abs=1 / 30 + 1e-9)
        assert row.accuracy == pytest.approx(accuracy(model(made[row.plan], test[0]), head, test[1]), abs=1 / 30 + 1e-9)
        answers = [logits(model(vector, seen), head) for vector in (expert, made[row.plan])]
        assert row.changed == pytest.approx(changed(*answers), abs=one)
        assert row.normalised == pytest.approx(row.accuracy / row.single)
    assert set(table[table.merged].plan) == {"mean"} and table[table.merged].pairs.isna().all()
    if method == "linear":  # features of pairs add exactly, and the linearised answers are the answers
        exact = table[(table.asked == 16) & ~table.merged]
        assert np.abs(exact.pairs - exact.changed).max() <= one
        assert np.abs(exact.changed_linearised - exact.changed).max() <= one


def test_predictors_by_brute_force(mini64):
    """Float64, one image at a time; the gradient by a difference quotient."""
    generator = torch.Generator().manual_seed(0)
    f0, products = torch.randn(6, 5, generator=generator).double(), torch.randn(2, 6, 5, generator=generator).double()
    head = torch.nn.functional.normalize(torch.randn(5, 4, generator=generator).double(), dim=0)
    source = Products(f0, products, torch.zeros(6, dtype=torch.long))
    (row,) = from_products(source, head, 0, [(1.0, 0.7)]).itertuples()
    added, expert = 0.7 * products[1], f0 + products[0]
    answers = logits(expert, head).argmax(-1)

    def loss(step: float) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(logits(f0 + step * added, head), answers)

    assert row.tau_jp == pytest.approx(np.mean([image.norm().item() for image in added]))
    assert row.gradient == pytest.approx((loss(1e-6) - loss(-1e-6)).item() / 2e-6, rel=1e-5)

    def cosines(step: float) -> torch.Tensor:
        return torch.nn.functional.normalize(expert + step * added, dim=-1) @ head

    slope = (cosines(1e-6) - cosines(-1e-6)) / 2e-6
    margin = cosines(0.0).sort(-1).values
    beyond = [2 * slope[k].abs().max() > margin[k, -1] - margin[k, -2] for k in range(6)]
    assert row.beyond_margin == pytest.approx(np.mean(beyond))
    pairs = [expert, expert + products[1]]
    assert torch.allclose(from_pairs(f0, expert, pairs, 0, (0.4, 0.7)), f0 + 0.4 * products[0] + 0.7 * products[1])


def made_up(**columns) -> pd.DataFrame:
    """A table as of `measure_plans`: three tasks, two seeds, all vectors along two α, and all but one."""
    generator, rows = np.random.default_rng(1), []
    for seed in (0, 1):
        for own, task in enumerate(TASKS):
            for plan in plans_of(3, [], [1.0], 1):
                if plan[own]:
                    share = 0.1 * sum(plan) + generator.uniform(0, 0.05)
                    rows.append(
                        {
                            "method": "linear", "seed": seed, "condition": AS_TRAINED, "application": "linearised", "task": task,
                            "plan": " ".join(f"{alpha:g}" for alpha in plan), "size": sum(map(bool, plan)), "alpha": max(plan),
                            "merged": False, "asked": 64, "images": 64, "changed": share, "lost": share / 2, "unsure": share,
                            "pairs": share, "changed_linearised": share, "tau_jp": -share, "beyond_margin": 1.0, "gradient": share,
                            "zero_shot": 0.5, "single": 0.8, "accuracy": 0.8 - 0.4 * share, "normalised": 1 - share / 2,
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows).assign(**columns)


def test_a_row_is_forecast_from_other_tasks_and_seeds_alone():
    table = made_up()
    before = crossed(table)
    spoilt = table.assign(normalised=table.normalised.where(table.task != "uci", 0.1))
    of_uci = before.task == "uci"
    pd.testing.assert_frame_equal(
        before[of_uci].drop(columns=["normalised"]), crossed(spoilt)[of_uci].drop(columns=["normalised"])
    )
    assert (crossed(spoilt)[~of_uci].expected < before[~of_uci].expected - 0.01).all()
    other_seed = table.assign(normalised=table.normalised.where((table.task == "uci") | (table.seed == 0), 0.1))
    still = (before.seed == 1) & ~of_uci
    assert np.allclose(crossed(other_seed)[still & (before.task != "uci")].expected.notna(), True)
    assert (
        crossed(other_seed)[(before.seed == 0) & of_uci].expected < before[(before.seed == 0) & of_uci].expected
    ).all()
    assert np.allclose(
        crossed(other_seed)[(before.seed == 1) & of_uci].expected, before[(before.seed == 1) & of_uci].expected
    )


def test_an_expert_that_is_never_right_is_left_out():
    table = made_up()
    table.loc[table.task == "uci", "normalised"] = np.nan
    assert set(crossed(table).task) == {"signs", "street"}


def test_ranks_and_errors_of_a_perfect_forecast():
    forecasts = crossed(made_up())
    rho = ranks(forecasts).set_index(["kind", "predictor"]).rho
    assert rho["pairs", "forecast"] == rho["sums", "changed"] == 1.0 and rho["sums", "tau_jp"] == -1.0
    assert ("sums", "beyond_margin") not in rho  # all alike rank nothing
    table = errors(forecasts)
    assert (table.error < 1e-9).all() and (table.covered == 1).all()
    said = conclusion(ranks(forecasts), table, under_stress(forecasts))
    assert "stressed" not in said and said.splitlines()[0].startswith(
        "For linearised models the forecast ranks what is lost with ρ 1.00 in sums"
    )
    assert "a mean error of 0.000, and 100% of" in said.splitlines()[-1]


def test_who_is_blamed_and_which_alpha_is_chosen():
    forecasts = crossed(made_up())
    named = blamed(forecasts)
    assert named.right.all() and len(named) == 6 and (named.gain == named.best).all()
    # A forecast that turns the order of the two removals round is wrong for each task.
    less = (forecasts["size"] == 2) & (forecasts.alpha == 1)
    turned = blamed(forecasts.assign(expected=forecasts.expected.where(~less, 2 - forecasts.expected)))
    assert not turned.right.any() and (turned.gain < turned.best).all()
    assert (chosen_alpha(forecasts).said == 0.1).all() and (chosen_alpha(forecasts).regret == 0).all()
    wrong = chosen_alpha(forecasts.assign(expected=1 - forecasts.expected))
    assert (wrong.said == 1.0).all() and (wrong.regret > 0.05).all()


def test_merges_have_means_of_their_own():
    table = made_up()
    whole = table[(table["size"] == 3) & (table.alpha == 1)]
    merges = [whole.assign(plan=name, merged=True, normalised=value) for name, value in (("TIES", 0.7), ("ours", 0.9))]
    found = of_merges(crossed(pd.concat([table, *merges], ignore_index=True)))
    assert list(found.index) == [("linear", "TIES"), ("linear", "ours")]
    assert list(found.normalised) == pytest.approx([0.7, 0.9])
    assert (found.low < found.expected).all() and (found.expected < found.high).all()


def with_stress() -> pd.DataFrame:
    """Half of the answers that change are lost, as always; with one long vector all are."""
    table = made_up()
    long = table.assign(condition=LONG, normalised=1 - table.changed)
    return pd.concat([table, long, table.assign(condition=UNSURE)], ignore_index=True)


def test_of_stressed_experts_nothing_is_learnt_and_they_have_means_of_their_own():
    every = crossed(with_stress())
    usual = every[every.condition == AS_TRAINED]
    pd.testing.assert_frame_equal(usual.reset_index(drop=True), crossed(made_up()).reset_index(drop=True))
    found = under_stress(every).loc["linear"]
    assert list(found.index) == [AS_TRAINED, LONG, UNSURE]
    too_high = (0.8 * usual.changed / 2).mean()  # an expert's accuracy times the half that was not forecast
    assert list(found.error) == pytest.approx([0, too_high, 0], abs=1e-9) and too_high > 0.05
    assert found.normalised[LONG] == pytest.approx(1 - usual.changed.mean()) and found.covered[UNSURE] == 1
    other = every.assign(method="tak", condition=AS_TRAINED)
    assert set(under_stress(pd.concat([every, other])).reset_index().method) == {"linear"}
    (said,) = [
        line for line in conclusion(ranks(usual), errors(usual), under_stress(every)).splitlines() if "stressed" in line
    ]
    assert said.startswith("The mean error of a forecast is 0.000 for experts as trained (100% in the intervals), ")
    assert f"{too_high:.3f} with one long vector (" in said and "and 0.000 for unsure experts (100%" in said


def test_stressed_experts_are_planned_beside_the_others_and_not_merged(mini):
    recipe = {"steps": 2, "batch_size": 4}
    study = ForecastStudy(
        tasks=TASKS, methods=["linear", "standard"], seeds=[0, 1], recipe=recipe, stressed=["standard"]
    )
    plan = study.plan(SUITE)
    assert [(one.method, one.seed, one.condition) for one in plan] == [
        *[(method, seed, AS_TRAINED) for method in ("linear", "standard") for seed in (0, 1)],
        *[("standard", seed, condition) for seed in (0, 1) for condition in (LONG, UNSURE)],
    ]
    rates = {config.task: (config.peak_lr, config.steps) for config in plan[4].configs}
    assert rates["uci"] == (4 * rates["signs"][0], 4) and rates["signs"] == rates["street"]
    assert {config.method for config in plan[5].configs} == {"standard-smoothed"}
    experts = [experts_of(mini, "linear"), experts_of(mini, "linear", LONG)]
    table = measure_plans(mini, SUITE, experts, [(1.0, 1.0, 1.0)], {"sum": total}, Sample([4], 6))
    assert set(table[table.merged].condition) == {AS_TRAINED} and set(table.condition) == {AS_TRAINED, LONG}


def test_figures_have_every_row():
    forecasts = crossed(made_up())
    points = {trace.name: len(trace.x) for trace in expected_and_measured(forecasts).data}
    assert points["pairs at α = 1"] + points["sums"] == len(forecasts)
    assert {trace.name for trace in predictor_ranks(ranks(forecasts)).data} == {"pairs", "sums"}
    assert len(errors_by_images(errors(forecasts)).data) == 4
    assert [len(trace.x) for trace in curves(forecasts).data] == [len(CURVE), len(CURVE)]


# The call.


@pytest.fixture(scope="module")
def tasks():
    return [SUITE.task(name) for name in TASKS]


def test_a_forecast_is_that_of_its_parts(mini, tasks):
    vectors = vectors_of(mini)
    table = forecast(mini, vectors, tasks, plan=[1.0, 0.5, 0.0], most=24)
    assert list(table.index) == TASKS and (table.images == 24).all()
    calibration, learnt_on = shipped()
    assert learnt_on == mini.fingerprint
    for own, task in enumerate(tasks):
        head = zero_shot_head(mini, task.classes, task.templates)
        split = load_split(task, "validation").first(24)
        source = vectors[0].application.source(mini, [vector.tau for vector in vectors], split)
        plans = [(1.0, 0.5, 0.0)] + [tuple(a * (k != s) for k, a in enumerate((1.0, 0.5, 0.0))) for s in range(3)]
        (found,) = evidence(source, head, own, plans)
        wanted = calibration.expect(found)
        row = table.loc[task.name]
        one = 2 / 24 + 1e-9  # an image on a boundary; the slopes add up to about 1
        assert row.expected == pytest.approx(wanted.expected[0], abs=one)
        gains = {other: wanted.expected[1 + other] - wanted.expected[0] for other in (0, 1) if other != own}
        best = max(gains, key=gains.get)
        assert row.harmed_by == (TASKS[best] if gains[best] > 0 else "")


@pytest.mark.parametrize("whole", [[1.0, 0.5, 0.0, 0.3], [0.7] * 5, [1.0, 1.0], [0.0, 0.0, 0.4]])
def test_a_plan_through_the_sum_is_the_plan_with_no_more_terms(whole):
    taus = np.random.default_rng(0).normal(size=(len(whole), 7))
    with_sum = np.vstack([taus, whole @ taus])
    for own in range(len(whole)):
        for kind, plan in plans_tried(whole, own, SCALES, len(whole)).items():
            few = through_sum(kind, plan, whole)
            assert np.allclose(few @ with_sum, plan @ taus)
            assert np.count_nonzero(few) <= min(2, np.count_nonzero(plan))


def test_plans_that_are_tried():
    found = plans_tried([1.0, 0.5, 0.0], 1, SCALES, 3)
    assert list(found) == ["plan", *SCALES, 0]  # the third vector is not in the plan
    assert found["plan"] == [1.0, 0.5, 0.0] and found[0.5] == [0.5, 0.25, 0.0] and found[0] == [0.0, 0.5, 0.0]
    assert list(plans_tried([0.0, 0.0, 1.0], 0, (), 2)) == [
        "plan"
    ]  # a merged vector: no scales, and nothing to leave out


@pytest.mark.parametrize("method", ["linear", "standard"])
@pytest.mark.parametrize("plan", [[1.0, 1.0, 1.0], [1.0, 1.0], [1.0, 0.0, 0.4]])
@pytest.mark.parametrize("tried", [10, 256])
def test_passes_are_those_that_a_forecast_makes(tried, plan, method, mini, tasks, monkeypatch):
    """Counted where images go through the encoder, and where products are taken."""
    monkeypatch.setattr("analysis.forecast.call.TRIED", tried)
    made = {"forward": 0, "products": 0}

    def encode(encoder, theta, images):
        made["forward"] += len(images)
        return features(encoder, theta, images)

    def differentiate(encoder, theta0, taus, images):
        made["forward"] += len(images)
        made["products"] += len(images) * len(taus)
        return jacobian_products(encoder, theta0, taus, images)

    monkeypatch.setattr("taujp_core.applications.encoder.features", encode)
    monkeypatch.setattr("taujp_core.applications.linearised.jacobian_products", differentiate)
    count = len(plan)
    forecast(mini, vectors_of(mini, method)[:count], tasks[:count], plan=plan, most=6)
    assert made == passes(plan, 6, linearised=method == "linear")


def test_eight_vectors_take_eighteen_passes_of_few_images_and_ten_of_further_ones():
    assert passes([1.0] * 8, 32, linearised=False) == {"forward": 8 * 32 * 18, "products": 0}
    assert passes([1.0] * 8, 128, linearised=False) == {"forward": 8 * (10 * 128 + 10 * 32), "products": 0}
    assert passes([1.0] * 2, 128, linearised=False) == {
        "forward": 2 * 11 * 128,
        "products": 0,
    }  # of two vectors all 128
    assert passes([1.0] * 8, 64, linearised=True) == {"forward": 8 * 64, "products": 8 * 8 * 64}


@pytest.mark.parametrize("linearised", [False, True])
def test_the_page_says_how_many_passes_a_forecast_takes(linearised):
    page = (ROOT / "docs" / "interfere.md").read_text(encoding="utf-8")
    assert f"linearised={linearised}))  # {passes([1.0] * 8, 64, linearised)}" in page


def test_each_coefficient_adds_its_vector_once(mini, tasks, monkeypatch):
    """For three vectors in the encoder: τ is added for a task at most once for each plan and vector that is left out."""
    added = []
    monkeypatch.setattr(
        "taujp_core.applications.encoder.moved",
        lambda theta, taus, plan: added.append(np.count_nonzero(plan)) or moved(theta, taus, plan),
    )
    forecast(mini, vectors_of(mini, "standard"), tasks, most=2)
    assert len(added) == 3 * (3 + 10) and sum(added) == 3 * (1 + 1 + 9 + 2 * 2)


def test_the_best_scale_is_looked_for_on_few_images_and_forecast_on_all(mini, tasks, monkeypatch):
    """Of 24 images a task 6 decide; the advice is made of what all 24 say at the scale that those chose."""
    vectors, said, scales = vectors_of(mini, "standard"), [], (0.2, 0.5, 0.8)
    monkeypatch.setattr("analysis.forecast.call.SCALES", scales)
    with monkeypatch.context() as patched:
        patched.setattr("analysis.forecast.call.TRIED", 3 * 6)
        patched.setattr("analysis.forecast.call.advice", lambda row, *found: said.append(found))
        forecast(mini, vectors, tasks, most=24)
    (chosen,) = {best for best, _, _ in said}
    few = {scale: forecast(mini, vectors, tasks, plan=scale, most=6).expected.mean() for scale in scales}
    assert few[chosen] == pytest.approx(max(few.values()), abs=2 / 18)  # an image on a boundary
    every = forecast(mini, vectors, tasks, plan=chosen, most=24).expected
    assert [lower for _, lower, _ in said] == pytest.approx(list(every), abs=2 / 24 + 1e-9)


def test_the_best_scale_has_the_highest_mean_over_tasks():
    def table(low, high):
        return pd.DataFrame({"kind": ["plan", 0.3, 0.7, "b"], "expected": [1.0, low, high, 1.0]})

    assert best_scale({"a": table(0.5, 0.6), "b": table(0.9, 0.7)}) == 0.3
    assert best_scale({"a": table(0.5, 0.6), "b": table(0.7, 0.7)}) == 0.7
    assert np.isnan(best_scale({"a": table(0.5, 0.6).query("kind == 'plan'")}))


@pytest.mark.parametrize("plan", [0.6, [1.0, 0.5, 0.0]])
def test_an_encoders_forecast_is_that_of_its_models(plan, mini, tasks):
    vectors = vectors_of(mini, "standard")
    table = forecast(mini, vectors, tasks, plan=plan, most=24)
    whole = [plan] * 3 if isinstance(plan, float) else plan
    for own, task in enumerate(tasks):
        head = zero_shot_head(mini, task.classes, task.templates)
        images = load_split(task, "validation").first(24).images

        def answers(coefficients, images=images, head=head):
            return logits(features(mini.encoder, edited(mini.theta0, vectors, coefficients), images), head)

        expert = answers(np.eye(3)[own])
        plans = [whole] + [[a * (k != left) for k, a in enumerate(whole)] for left in range(3)]
        found = shipped()[0].expect(pd.DataFrame([compared(expert, answers(plan)) for plan in plans])).expected
        one = 2 / 24 + 1e-9  # an image on a boundary; the slopes add up to about 1
        assert table.loc[task.name, "expected"] == pytest.approx(found[0], abs=one)
        gains = {other: found[1 + other] - found[0] for other in range(3) if other != own and whole[other]}
        harm = table.loc[task.name, "harm"]
        assert (0.0 if np.isnan(harm) else harm) == pytest.approx(max(0.0, *gains.values()), abs=2 * one)


def test_forms_of_a_plan(mini, tasks):
    vectors = vectors_of(mini)
    at_one = forecast(mini, vectors, tasks, most=16)
    listed = forecast(mini, vectors, tasks, plan=[1, 1, 1], most=16)
    pd.testing.assert_frame_equal(at_one, listed)
    merged = forecast(mini, vectors, tasks, plan=total(vectors), most=16)
    assert np.allclose(merged.expected, at_one.expected, atol=2 / 16 + 1e-9) and (merged.harmed_by == "").all()
    own = forecast(mini, vectors, tasks, plan=[1.0, 0.0, 0.0], most=16)
    assert own.loc["uci", "expected"] == 1.0 and own.loc["uci", "advice"] == "add as it is"


@pytest.mark.parametrize(
    "plan", [np.float32(0.5), np.full(3, 0.5), [0.5, np.float64(0.5), np.float32(0.5)], (0.5, 0.5, 0.5)]
)
def test_numbers_of_numpy_are_numbers(plan, mini):
    assert planned(vectors_of(mini), plan) == ([], [0.5, 0.5, 0.5])
    assert planned(vectors_of(mini), np.int64(1)) == ([], [1.0, 1.0, 1.0])


def test_pictures_and_class_names_without_a_suite(mini, tasks):
    vectors = vectors_of(mini)[:2]
    pictures = {task.name: load_split(task, "validation").first(20).images for task in tasks[:2]}
    classes = {task.name: list(task.classes) for task in tasks[:2]}
    found = forecast(mini, vectors, pictures, classes, templates=["a photo of a {}."])
    assert (found.images == 20).all() and found.expected.between(0, 1.01).all()


def test_labelled_images_narrow_the_interval(mini, tasks):
    vectors = vectors_of(mini)
    labelled = {"uci": (*load_split(tasks[0], "validation").first(100).tensors, list(tasks[0].classes))}
    without, with_them = (forecast(mini, vectors, tasks, most=32, labelled=one) for one in (None, labelled))
    width = [table.high - table.low for table in (without, with_them)]
    assert width[1]["uci"] < width[0]["uci"] and width[1]["signs"] == width[0]["signs"]


def test_another_model_has_a_wider_interval(mini, tasks, monkeypatch):
    vectors = vectors_of(mini)
    known = forecast(mini, vectors, tasks, most=32)
    monkeypatch.setattr("analysis.forecast.call.shipped", lambda: (shipped()[0], "another"))
    other = forecast(mini, vectors, tasks, most=32)
    assert (other.high >= 1).all() and (other.high - other.low >= known.high - known.low).all()


@pytest.mark.parametrize(
    ("row", "lower", "linearised", "said"),
    [
        ({"expected": 0.97, "harm": 0.0}, 0.99, True, "add as it is"),
        ({"expected": 0.8, "harm": 0.15}, 0.96, True, "multiply all coefficients by 0.3"),
        ({"expected": 0.8, "harm": 0.15}, 0.9, True, "reduce_tau_jp on cars, which does most of the harm"),
        ({"expected": 0.8, "harm": 0.15}, 0.9, False, "merge: no coefficient for all is enough for this task"),
        ({"expected": 0.8, "harm": 0.05}, 0.9, True, "merge: no coefficient for all is enough for this task"),
        ({"expected": 0.8, "harm": np.nan}, np.nan, True, "merge: no coefficient for all is enough for this task"),
    ],
)
def test_advice_is_made_of_the_numbers(row, lower, linearised, said):
    assert advice({"harmed_by": "cars", **row}, 0.3, lower, linearised) == said


BAD = [
    (lambda v, t: (v, t[:2]), {}, ValueError, "images: there are no pictures of street, of whose experts vectors are given"),
    (lambda v, t: (v[:2], t), {}, ValueError, "street"),
    (lambda v, t: ([*v, v[0]], t), {}, ValueError, "two vectors are of the task uci: a forecast takes one for each task"),
    (lambda v, t: (v, t), {"plan": [1.0, 1.0]}, ValueError, "plan: 2 coefficients are given for 3 vectors"),
    (lambda v, t: (v, t), {"plan": "all"}, TypeError, "a task vector, a run or a merge is needed, not str"),
    (lambda v, t: (v, t), {"plan": float("nan")}, ValueError, "plan: coefficients must be finite"),
    (lambda v, t: (v, t), {"labelled": {"cars": SUITE.task("uci")}}, ValueError, "labelled images of cars and no vector of that task"),
    (lambda v, t: (v[:1], t[:1]), {}, ValueError, "a forecast of a sum takes two vectors or more"),
    (
        lambda v, t: (v, {x.name: load_split(x, "validation").first(4).images for x in t}),
        {},
        ValueError,
        "the class names of uci are needed, two or more, as classes=",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("given", "more", "kind", "sentence"), BAD)
def test_what_cannot_be_forecast_is_said_in_a_sentence(given, more, kind, sentence, mini, tasks):
    with pytest.raises(kind, match=re.escape(sentence)) as caught:
        forecast(mini, *given(vectors_of(mini), tasks), most=8, **more)
    assert "\n" not in str(caught.value)


def test_a_zero_vector_and_another_theta0_are_refused(mini, tasks):
    vectors = vectors_of(mini)
    zero = replace(vectors[0], tau={name: 0 * value for name, value in vectors[0].tau.items()})
    with pytest.raises(ValueError, match="the linear vector of uci is zero"):
        forecast(mini, [zero, *vectors[1:]], tasks, most=8)
    with pytest.raises(ValueError, match="belongs to θ₀ other"):
        forecast(mini, [replace(vectors[0], theta0_fingerprint="other"), *vectors[1:]], tasks, most=8)
    with pytest.raises(FloatingPointError, match="uci"):
        spoilt = {name: value * float("nan") for name, value in vectors[0].tau.items()}
        forecast(mini, [replace(vectors[0], tau=spoilt), *vectors[1:]], tasks, most=8)


def test_what_is_shipped_is_what_the_full_version_learnt():
    text = (ROOT / "results" / "mini" / "53_forecast.ipynb").read_text(encoding="utf-8")
    printed = "".join(
        "".join(output.get("text", "")) for cell in json.loads(text)["cells"] for output in cell.get("outputs", [])
    )
    learnt = json.loads(re.search(r"^learnt of all tasks: (\{.*\})$", printed, re.MULTILINE)[1])
    kept = json.loads(SHIPPED.read_text(encoding="utf-8"))
    assert learnt == {name: value for name, value in kept.items() if name != "theta0"}
