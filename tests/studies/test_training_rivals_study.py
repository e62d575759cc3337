"""The study of training methods: its sums are those of the model, its costs those of the steps, its law and front brute force."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import random_like

from analysis.training_rivals.figures import accuracy_and_cost, budget, sensitivity
from analysis.training_rivals.measure import (
    NEEDS,
    budget_law,
    conclusion,
    images_of,
    measure_sums,
    pareto_front,
    pictures_table,
    weights_table,
)
from analysis.training_rivals.study import TrainingRivalsStudy
from taujp_core.datasets import load_split
from taujp_core.evaluation import accuracy, features, linearised_features
from taujp_core.methods.method import OTHERS
from taujp_core.models import zero_shot_head
from taujp_core.suites import load_suite
from taujp_core.suites.files import merged_recipe
from taujp_core.suites.recipe import check_recipe
from taujp_core.task_vectors import TaskVector, edited, total
from taujp_core.training.config import run_config
from taujp_core.training.step_images import penalised_splits, step_batches

SUITE = load_suite("mini")
TASKS = ["uci", "signs"]


def made_up(clip, method: str, size: float) -> list[SimpleNamespace]:
    """Runs with random vectors."""
    return [
        SimpleNamespace(
            config=run_config(SUITE, task, method, tasks=TASKS, steps=2, batch_size=4),
            vector=TaskVector(random_like(clip.theta0, k, size), clip.fingerprint, task, method),
            record={"seconds": 2.0 + k, "peak_memory_mib": 100 + k},
        )
        for k, task in enumerate(TASKS)
    ]


@pytest.mark.parametrize("method", ["linear", "standard"])
def test_sums_are_those_of_the_model(method, mini):
    runs = made_up(mini, method, 0.02)
    (row,) = measure_sums(mini, SUITE, runs, 40).to_dict("records")

    def expected(data: str, vector: TaskVector) -> float:
        task = SUITE.datasets()[data]
        images, labels = load_split(task, "test")[:40]
        if method == "standard":
            found = features(mini.encoder, edited(mini.theta0, [vector], [1.0]), images)
        else:
            found = linearised_features(mini.encoder, mini.theta0, vector.tau, images)
        return accuracy(found, zero_shot_head(mini, task.classes, task.templates), labels)

    vectors = [run.vector for run in runs]
    single = [expected(vector.task, vector) for vector in vectors]
    together = [expected(vector.task, total(vectors)) for vector in vectors]
    # One image of each data set may sit on a boundary: the sums are taken in another order.
    one = 1 / 40 + 1e-9
    assert row["single_task"] == pytest.approx(np.mean(single), abs=one)
    assert row["one_shot"] == pytest.approx(np.mean(together), abs=one)
    assert row["control"] == pytest.approx(expected("shapes", total(vectors)), abs=one)
    nothing = replace(vectors[0], tau={name: 0 * value for name, value in vectors[0].tau.items()})
    assert row["control_before"] == pytest.approx(expected("shapes", nothing), abs=one)
    assert row["normalised"] == pytest.approx(np.mean(np.divide(together, single)), abs=one / min(single) * 2)
    assert (row["seconds"], row["memory"]) == (2.5, 101)


def test_a_suite_without_a_control_and_a_single_task_have_gaps_and_no_error(mini):
    bare = replace(SUITE, control=None)
    (row,) = measure_sums(mini, bare, made_up(mini, "linear", 0.02)[:1], 20).to_dict("records")
    assert np.isnan([row["control"], row["control_before"], row["tau_jp_others"]]).all()
    assert row["one_shot"] == row["single_task"]


@pytest.mark.parametrize(
    ("method", "changes"),
    [("linear", {}), ("taujp-efficient", {}), ("taujp-strict", {}), ("taujp-strict", {"penalty_every": 3})],
)
def test_images_are_those_that_the_steps_see(method, changes):
    config = run_config(
        SUITE, "uci", method, tasks=["uci", "signs", "terrain"], steps=7, batch_size=4, penalty_start=2, **changes
    )
    train, others = load_split(SUITE.task("uci"), "train").first(30), penalised_splits(config)
    steps = [step_batches(config, train, others, step) for step in range(config.steps)]
    theirs = sum(len(images) for _, _, batches in steps for images, _ in batches)
    found = images_of(config)
    assert found["own_images"] == sum(len(images) for images, _, _ in steps)
    assert found["other_images"] == theirs
    if method == "linear":
        assert np.isnan(found["penalised"])
    else:
        assert found["penalised"] == pytest.approx(theirs / len(config.penalty_tasks))


def test_images_that_are_seen_once_before_are_counted():
    config = run_config(SUITE, "uci", "tak", tasks=["uci", "signs"], steps=3, batch_size=4, reference_images=32)
    found = images_of(config)
    assert (found["own_images"], found["other_images"]) == (12, 2 * 32)
    assert np.isnan(found["penalised"])


def test_the_law_is_found_again_and_a_full_score_is_no_part_of_it():
    n = np.array([40, 160, 640, 2560])
    points = pd.DataFrame({"method": "taujp-strict", "penalised": n, "normalised": 1 - 0.9 * n**-0.4})
    full = pd.DataFrame({"method": "taujp-strict", "penalised": [5000], "normalised": [1.01]})
    unpenalised = pd.DataFrame({"method": "linear", "penalised": [np.nan], "normalised": [0.8]})
    lonely = pd.DataFrame({"method": "taujp-efficient", "penalised": [40], "normalised": [0.7]})
    (law,) = budget_law(pd.concat([points, full, unpenalised, lonely])).to_dict("records")
    assert (law["method"], law["a"], law["b"]) == ("taujp-strict", pytest.approx(0.9), pytest.approx(0.4))


def test_the_front_is_what_no_other_beats():
    generator = np.random.default_rng(0)
    for _ in range(50):
        # Few values, so that there are equal ones.
        table = pd.DataFrame(generator.integers(0, 5, (8, 2)), columns=["seconds", "one_shot"])
        expected = {
            (row.seconds, row.one_shot)
            for row in table.itertuples()
            if not any(
                other.seconds <= row.seconds
                and other.one_shot >= row.one_shot
                and (other.seconds, other.one_shot) != (row.seconds, row.one_shot)
                for other in table.itertuples()
            )
        }
        front = pareto_front(table)
        assert set(zip(front.seconds, front.one_shot, strict=True)) == expected
        assert front.seconds.is_monotonic_increasing


def test_each_lambda_is_multiplied_and_what_has_none_is_left_out():
    study = TrainingRivalsStudy(methods=["linear", "tak", "orthoreg", "taujp-strict"], factors=[0.1, 10.0])
    plan = study.plan(SUITE)
    own = {config.method: config.method_parameters().get("penalty_weight") for config in plan.methods}
    for factor, configs in plan.weights.items():
        assert {config.method for config in configs} == {"tak", "orthoreg", "taujp-strict"}
        for config in configs:
            assert config.method_parameters()["penalty_weight"] == pytest.approx(factor * own[config.method])
            assert config.seed == 0
    assert {steps: {config.steps for config in configs} for steps, configs in plan.budget.items()} == {2: {2}, 4: {4}}
    assert replace(study, methods=["linear"]).plan(SUITE).weights == {}


def test_each_penalised_method_is_trained_on_each_set_in_place_of_the_other_tasks():
    study = TrainingRivalsStudy(
        methods=["linear", "tak", "taujp-strict", "taujp-efficient"],
        seeds=[0, 1],
        penalty_images=["dead-leaves", "shapes"],
    )
    plan = study.plan(SUITE)
    assert [*plan.pictures] == ["dead-leaves", "shapes"]
    for name, configs in plan.pictures.items():
        asked = [(config.method, config.seed, config.task) for config in configs]
        assert asked == [
            (method, seed, task)
            for method in ("taujp-strict", "taujp-efficient")
            for seed in (0, 1)
            for task in study.tasks
        ]
        for config in configs:
            own = run_config(SUITE, config.task, config.method, config.seed, tasks=study.tasks, **study.recipe)
            assert replace(config, penalty_tasks=own.penalty_tasks) == own and config.penalty_tasks == (name,)
    assert replace(study, methods=["linear", "tak"]).plan(SUITE).pictures == {}
    assert replace(study, penalty_images=[]).plan(SUITE).pictures == {}
    with pytest.raises(ValueError, match="penalty_images 'uci': accepted are dead-leaves, shapes"):
        replace(study, penalty_images=["uci"]).plan(SUITE)


def test_pictures_are_rows_of_their_own_beside_the_others_of_their_method():
    table = pd.concat([sums(linear=(60, 0.6), taujp_strict=(100, 0.8), taujp_efficient=(90, 0.7))] * 2)
    leaves = sums(taujp_strict=(80, 0.75), taujp_efficient=(70, 0.65))
    found = pictures_table(table, {"dead-leaves": leaves, "shapes": leaves.assign(one_shot=0.5)})
    assert list(found.groupby("method", sort=False).one_shot.apply(list).items()) == [
        ("taujp-efficient", [0.7, 0.7]), ("taujp-efficient on dead-leaves", [0.65]), ("taujp-efficient on shapes", [0.5]),
        ("taujp-strict", [0.8, 0.8]), ("taujp-strict on dead-leaves", [0.75]), ("taujp-strict on shapes", [0.5]),
    ]  # fmt: skip


@pytest.mark.parametrize("factor", [0.0, 1.0])
def test_a_factor_that_changes_nothing_is_refused(factor):
    with pytest.raises(ValueError, match="factors: must be above 0 and not 1"):
        TrainingRivalsStudy(factors=[factor]).plan(SUITE)


def sums(**rows: tuple[float, float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"method": name.replace("_", "-"), "seed": 0, "seconds": seconds, "one_shot": one_shot,
             "single_task": 0.9, "tau_jp_others": 1.0}
            for name, (seconds, one_shot) in rows.items()
        ]
    )  # fmt: skip


def test_the_sentences_say_where_the_penalty_loses():
    said = conclusion(sums(linear=(60, 0.65), tak=(70, 0.85), taujp_efficient=(100, 0.8)), 0.01)
    assert "TAK takes no longer than the τJp penalty and does better at α = 1.\n" in said
    assert said.endswith(
        "reaches 0.80 with the τJp penalty (single tasks 0.90): above linearised fine-tuning (0.65) and below TAK (0.85)."
    )
    said = conclusion(sums(linear=(60, 0.65), tak=(170, 0.85), taujp_efficient=(100, 0.8)), 0.01)
    assert "No other method that takes no longer than the τJp penalty does better at α = 1.\n" in said
    assert "linearised fine-tuning, the τJp penalty and TAK" in said
    assert "nothing to compare" in conclusion(sums(linear=(60, 0.65)), 0.01)


def test_figures_have_every_method(mini):
    table = sums(linear=(60, 0.65), tak=(70, 0.85), taujp_strict=(100, 0.8))
    names = {trace.name for trace in accuracy_and_cost(table, pareto_front(table)).data}
    assert names == {"linear", "tak", "taujp-strict", "no other is better in both"}
    by_weight = weights_table(table, {0.1: table[1:], 10.0: table[1:]})
    assert {(trace.name, tuple(trace.x)) for trace in sensitivity(by_weight).data} == {
        ("tak", (0.1, 1, 10)), ("taujp-strict", (0.1, 1, 10)),
    }  # fmt: skip
    points = pd.DataFrame(
        {
            "method": ["linear", "linear", "taujp-strict", "taujp-strict"],
            "own_images": [1, 2, 1, 2],
            "penalised": [np.nan, np.nan, 10, 100],
            "normalised": [0.5, 0.6, 0.7, 0.9],
        }
    )
    drawn = {trace.name: trace for trace in budget(points, budget_law(points)).data}
    assert list(drawn["linear, longest training"].y) == [0.6, 0.6]
    assert list(drawn["taujp-strict"].x) == [10, 100]
    assert len(drawn) == 3


def with_recipes(methods: object):
    return replace(SUITE, recipe={**SUITE.recipe, "methods": methods})


def test_a_suite_may_have_another_recipe_for_a_method():
    suite = with_recipes({"tak": {"penalty_weight": 7.0, "steps": 160}})
    config = run_config(suite, "uci", "tak")
    assert (config.penalty_weight, config.steps, config.warmup_steps) == (7.0, 160, 16)
    assert run_config(suite, "uci", "tak", penalty_weight=3.0).penalty_weight == 3.0
    assert run_config(suite, "uci", "linear") == replace(run_config(SUITE, "uci", "linear"), suite=suite)


@pytest.mark.parametrize(
    ("methods", "error", "says"),
    [
        ({"takk": {"steps": 3}}, ValueError, "unknown method of the recipe 'takk'"),
        ({"tak": {"form": "code"}}, ValueError, "the recipe of tak has the unknown key 'form'"),
        ({"tak": {"steps": "many"}}, TypeError, "steps of the recipe must be a number, not 'many'"),
        ({"tak": 3}, TypeError, "methods of the recipe must be mappings by method"),
        ({"post-hoc-linearised": {"steps": 3}}, ValueError, "post-hoc-linearised applies the vectors of standard"),
        (["tak"], TypeError, "methods of the recipe must be mappings by method"),
    ],
)
def test_a_recipe_for_a_method_that_is_not_accepted_is_one_sentence(methods, error, says):
    with pytest.raises(error, match=says):
        check_recipe({**SUITE.recipe, "methods": methods})


def test_a_suite_like_another_keeps_what_that_says_for_other_methods():
    base = {**SUITE.recipe, "methods": {"tak": {"steps": 160}, "talos": {"density": 0.2}}}
    merged = merged_recipe(base, {"methods": {"tak": {"penalty_weight": 7.0}}})
    assert merged["methods"] == {"tak": {"penalty_weight": 7.0}, "talos": {"density": 0.2}}
    assert merged_recipe(SUITE.recipe, {"methods": {"tak": {"steps": 3}}})["methods"] == {"tak": {"steps": 3}}


def test_every_kind_of_method_has_words_for_what_it_needs():
    assert set(NEEDS) == set(OTHERS)


def test_methods_over_environments_are_measured_too(mini):
    domains = load_suite("mini-domains")
    tasks = list(domains.tasks)[:2]
    runs = [
        SimpleNamespace(
            config=run_config(domains, task, "erm", tasks=tasks, steps=3, batch_size=4, penalty_batch_size=2),
            vector=TaskVector(random_like(mini.theta0, k, 0.02), mini.fingerprint, task, "erm"),
            record={"seconds": 1.0, "peak_memory_mib": 1},
        )
        for k, task in enumerate(tasks)
    ]
    (row,) = measure_sums(mini, domains, runs, 10).to_dict("records")
    assert (row["own_images"], row["other_images"], row["needs"]) == (12, 6, "images and labels of all at each step")
