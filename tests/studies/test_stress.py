"""The stress tests of a merge: what is trained, which experts are repaired and how, and rows that are those of the race."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import random_like, tiny_clip
from torch.func import functional_call

import analysis.merging.stress as stress
from analysis.merging.arena import Setting, compete, summary_table
from analysis.merging.distac import Distillation
from analysis.merging.stress import (
    CONDITIONS,
    REPAIRED,
    Repair,
    by_condition,
    changed,
    conclusion,
    experts_table,
    race,
    with_repairs,
)
from analysis.merging.stress_figures import merges_under_stress, sums_under_stress
from analysis.merging.stress_study import StressStudy
from analysis.stressed_experts import AS_TRAINED, LONG, UNSURE, Experts, train_experts
from analysis.study import configurations
from taujp_core.datasets import load_split
from taujp_core.models import zero_shot_head
from taujp_core.parameters import added
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import run_config
from taujp_core.training.run_store import Run

SUITE, TASKS = load_suite("mini"), ("uci", "signs", "terrain")
REPAIR = Repair(steps=3, images=12, batch_size=4)


@pytest.fixture(scope="module")
def setting(mini) -> Setting:
    return Setting(tiny_clip(mini), SUITE, merge_images=4, validation_images=30, test_images=40, rounds=1)


def experts(setting, condition=AS_TRAINED, method="standard", seed=0, sizes=(0.1, 0.4, 0.2)) -> Experts:
    clip, trained_by = setting.clip, f"{method}-smoothed" if condition == UNSURE else method
    vectors = [
        TaskVector(random_like(clip.theta0, 10 * seed + k, size), clip.fingerprint, task, trained_by)
        for k, (task, size) in enumerate(zip(TASKS, sizes, strict=True))
    ]
    return Experts(method, seed, condition, 1e-3, vectors)


# What is trained.


def test_a_stress_changes_what_it_says_and_nothing_else():
    study = StressStudy(tasks=list(TASKS), long_task="signs", methods=["standard", "taujp-strict"], seeds=[3, 4])
    plan = study.plan(SUITE)
    assert [(one.method, one.seed, one.condition) for one in plan] == [
        (method, seed, condition)
        for method in ("standard", "taujp-strict")
        for seed in (3, 4)
        for condition in (AS_TRAINED, LONG, UNSURE)
    ]
    for place in range(0, len(plan), 3):
        usual, long, unsure = plan[place : place + 3]
        assert {one.peak_lr for one in (usual, long, unsure)} == {usual.configs[0].peak_lr}
        for ours, stretched, doubting in zip(usual.configs, long.configs, unsure.configs, strict=True):
            names = ours.names()
            more = {"steps": 12, "peak_lr": 4 * ours.peak_lr, "warmup_steps": stretched.warmup_steps}
            assert stretched.names() == (names | more if ours.task == "signs" else names)
            assert doubting.names() == names | {
                "method": f"{ours.method}-smoothed",
                "options": {**ours.options, "label_smoothing": 0.1},
            }
    assert len(configurations(plan)) == 4 * 3 * len(TASKS)


def test_experts_are_the_plans_runs(mini, tmp_path):
    study = StressStudy(
        tasks=["uci", "signs"], long_task="uci", methods=["standard"], recipe={"steps": 2, "batch_size": 4}
    )
    usual, long, unsure = train_experts(tiny_clip(mini), study.plan(SUITE), tmp_path)
    assert [vector.task for vector in long.vectors] == ["uci", "signs"]
    assert long.vectors[1].digest() == usual.vectors[1].digest() != unsure.vectors[1].digest()
    assert long.vectors[0].norm() > 3 * usual.vectors[0].norm()
    assert [vector.method for vector in unsure.vectors] == ["standard-smoothed"] * 2 and unsure.method == "standard"


# The repair.


def test_of_one_long_vector_it_is_repaired_and_of_unsure_experts_each(setting, tmp_path, monkeypatch):
    asked = []

    def noted(clip, suite, vector, images, how, folder):
        asked.append((vector.task, images, how, folder))
        return 2 * vector

    monkeypatch.setattr(stress, "repaired", noted)
    given = [experts(setting, condition) for condition in (AS_TRAINED, LONG, UNSURE)]
    found = with_repairs(setting, given, "signs", REPAIR, tmp_path)
    assert [one.condition for one in found] == list(CONDITIONS)
    assert [found[k] for k in (0, 1, 3)] == given
    uci, signs, terrain = (vector.norm() for vector in given[1].vectors)
    shorten = Distillation((uci + terrain) / 2 / signs, 10.0, 10.0, 3, 1e-3, 4)
    assert asked[0] == ("signs", 12, shorten, tmp_path)
    assert asked[1:] == [(task, 12, Distillation(1.0, 1.0, 10.0, 3, 1e-3, 4), tmp_path) for task in TASKS]
    ratios = [
        [b.norm() / a.norm() for a, b in zip(found[k].vectors, found[k + 1].vectors, strict=True)] for k in (1, 3)
    ]
    assert ratios == [pytest.approx([1, 2, 1]), pytest.approx([2, 2, 2])]


def test_repaired_experts_are_applied_as_they_were(setting, tmp_path):
    given = [experts(setting, condition, "linear") for condition in (LONG, UNSURE)]
    found = with_repairs(setting, given, "signs", REPAIR, tmp_path)
    assert [vector.application.name for one in found for vector in one.vectors] == ["linearised"] * 12
    assert len(list(tmp_path.iterdir())) == 4
    long, others = found[1].vectors[1].norm(), [given[0].vectors[k].norm() for k in (0, 2)]
    assert long == pytest.approx(sum(others) / 2, rel=0.05)


# What is measured.


def test_the_table_of_experts_equals_brute_force(setting):
    one = experts(setting)
    table = experts_table(setting, [one]).set_index("task")
    for place, vector in enumerate(one.vectors):
        task = SUITE.task(vector.task)
        split = load_split(task, "test").first(40)
        theta = added(setting.clip.theta0, vector.tau)
        features = functional_call(setting.clip.encoder, theta, (split.images,)).detach()
        p = (
            features / features.norm(dim=1, keepdim=True) @ zero_shot_head(setting.clip, task.classes, task.templates)
        ).softmax(1)
        row = table.loc[vector.task]
        assert row.accuracy == pytest.approx((p.argmax(1) == split.labels).double().mean().item())
        assert row.confidence == pytest.approx(p.max(1).values.mean().item(), rel=1e-4)
        norms = [torch.cat([t.flatten() for t in other.tau.values()]).norm().item() for other in one.vectors]
        rest = [norm for k, norm in enumerate(norms) if k != place]
        assert (row.norm, row.times_others) == pytest.approx((norms[place], norms[place] / (sum(rest) / 2)), rel=1e-5)


def test_rows_are_those_of_the_arena(setting, tmp_path):
    """Normalised by these experts' own accuracies."""
    given = [
        experts(setting, AS_TRAINED),
        experts(setting, LONG, sizes=(0.1, 1.0, 0.2)),
        experts(setting, method="linear"),
    ]
    table = experts_table(setting, given)
    found = race(setting, given, table, ["TSV-M", "TIES"], ["standard"], tmp_path / "a")
    assert list(zip(found.method, found.condition, found["merge"], strict=True)) == [
        *(
            ("standard", condition, name)
            for condition in (AS_TRAINED, LONG)
            for name in ("task arithmetic", "TSV-M", "TIES")
        ),
        ("linear", AS_TRAINED, "task arithmetic"),
    ]
    for one in given:
        runs = [Run(Path(), run_config(SUITE, vector.task, one.method), {}, vector) for vector in one.vectors]
        ours = found[(found.method == one.method) & (found.condition == one.condition)].set_index("merge")
        wanted = summary_table(compete(setting, runs, list(ours.index), [], tmp_path / "b")).set_index("merge")
        for column in ("one_shot", "tuned", "one_shot_normalised", "tuned_normalised"):
            assert ours[column].to_dict() == pytest.approx(wanted[column].to_dict(), nan_ok=True), column
        assert ours.alpha.to_dict() == wanted.tuned_coefficient.to_dict()


def test_a_merge_that_is_not_defined_for_linearised_vectors_has_no_row(setting, tmp_path, monkeypatch):
    monkeypatch.setattr(stress, "is_defined", lambda name, method: (name, method) != ("TIES", "linear"))
    given = [experts(setting, method=method) for method in ("standard", "linear")]
    found = race(setting, given, experts_table(setting, given), ["TIES"], ["standard", "linear"], tmp_path)
    assert list(zip(found.method, found["merge"], strict=True)) == [
        ("standard", "task arithmetic"), ("standard", "TIES"), ("linear", "task arithmetic"),
    ]  # fmt: skip


# What is said and shown.

ACCURACIES = {
    ("standard", "task arithmetic"): (0.7, 0.5, 0.68, 0.6, 0.69),
    ("standard", "ours"): (0.8, 0.79, 0.8, 0.7, 0.81),
    ("taujp-strict", "task arithmetic"): (0.9, 0.88, 0.89, 0.95, 0.9),
}


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of two seeds, whose means are ACCURACIES."""
    rows = [
        {"method": method, "seed": seed, "condition": condition, "merge": merge,
         "one_shot": value + (seed - 0.5) / 50, "tuned": value + 0.05}
        for (method, merge), values in ACCURACIES.items()
        for condition, value in zip(CONDITIONS, values, strict=True)
        for seed in (0, 1)
    ]  # fmt: skip
    experts = [
        {"condition": condition, "task": task, "confidence": confidence, "times_others": times}
        for condition, confidence in [(AS_TRAINED, 0.9), (LONG, 0.8), (UNSURE, 0.6)]
        for task, times in [("uci", 5.0), ("uci", 6.5), ("signs", 0.3)]
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0), pd.DataFrame(experts)


def test_conditions_stand_in_their_order_and_seeds_are_averaged():
    found = by_condition(tables()[0], "one_shot")
    assert list(found.columns) == list(CONDITIONS)
    for key, values in ACCURACIES.items():
        assert list(found.loc[key]) == pytest.approx(values)


def test_the_conclusion_counts_what_is_beyond_the_noise():
    raced, table = tables()
    raced = raced.sort_values("method", kind="stable")
    dose, counts, of_standard, of_strict, last = conclusion(raced, table, "uci", noise=0.03).split("\n")
    assert dose == (
        "The long vector is 5.0 to 6.5 times as long as the others are on average; the mean confidence of the experts is 0.90 as "
        "trained and 0.60 with label smoothing."
    )
    assert counts == (
        "Of 3 sums and merges at α = 1, 1 loses by one long vector (0 after the repair) and 2 lose by unsure experts (0 after the repair)."
    )
    assert of_standard == (
        "After the repair the plain sum of vectors of ordinary fine-tuning reaches 0.68 with one long vector and 0.69 with unsure experts."
    )
    assert "the strict τJp penalty reaches 0.89 with one long vector and 0.90 with" in of_strict
    assert last == (
        "At α = 1 the plain sum with one long vector falls from 0.70 to 0.50 for vectors of ordinary fine-tuning and stays level (0.90 to "
        "0.88) for vectors of the strict τJp penalty; with unsure experts it falls from 0.70 to 0.60 for vectors of ordinary fine-tuning "
        "and rises from 0.90 to 0.95 for vectors of the strict τJp penalty."
    )


@pytest.mark.parametrize(
    ("after", "said"),
    [(0.66, "falls from 0.70 to 0.66"), (0.68, "stays level (0.70 to 0.68)"), (0.74, "rises from 0.70 to 0.74")],
)
def test_a_change_within_the_noise_is_none(after, said):
    assert changed(0.7, after, 0.03) == said


def test_figures_show_the_means_at_their_conditions():
    raced, _ = tables()
    sums = sums_under_stress(raced)
    assert {trace.name for trace in sums.data} == {"standard", "taujp-strict"}
    for trace in sums.data:
        values = ACCURACIES[trace.name, "task arithmetic"]
        assert list(trace.y) == list(CONDITIONS) and list(trace.x) == pytest.approx(values, abs=1e-4)
    merges = merges_under_stress(raced)
    assert {trace.name for trace in merges.data} == {"task arithmetic", "ours"}  # taujp-strict has the sum alone
    for trace in merges.data:
        assert list(trace.x) == pytest.approx(ACCURACIES["standard", trace.name], abs=1e-4)
    assert [annotation.text for annotation in merges.layout.annotations] == ["standard"]
    assert UNSURE + REPAIRED in merges.data[0].y
