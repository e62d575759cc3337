"""The arena: every merge measured alike, α tuned on validation alone, tables and sentences that follow the numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import random_like, tiny_clip

import analysis.merging.arena as arena_module
from analysis.merging.arena import (
    OURS,
    OURS_WITH_CONTROL,
    Arena,
    Setting,
    accuracies,
    compete,
    conclusion,
    findings,
    is_defined,
    losses,
    measure_merge,
    measure_single,
    measured,
    merged_by,
    merges,
    needs_table,
    over_images,
    over_tasks,
    raced,
    summary_table,
)
from analysis.merging.arena_figures import (
    accuracy_versus_images,
    accuracy_versus_seconds,
    accuracy_versus_tasks,
    colour,
    symbol,
)
from analysis.merging.rivals import RIVALS, find_rival
from taujp_core.datasets import load_split
from taujp_core.evaluation import accuracy
from taujp_core.methods import find_method
from taujp_core.models import zero_shot_head
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector, total
from taujp_core.training.config import run_config
from taujp_core.training.run_store import Run

SUITE = load_suite("mini")
TASKS = ("uci", "signs", "terrain")
METHODS = ("standard", "linear")


@pytest.fixture(scope="module")
def setting(mini) -> Setting:
    return Setting(tiny_clip(mini), SUITE, merge_images=4, validation_images=30, test_images=40)


def vectors_of(setting, method, size=0.3) -> list[TaskVector]:
    clip = setting.clip
    return [
        TaskVector(random_like(clip.theta0, k, size), clip.fingerprint, task, method) for k, task in enumerate(TASKS)
    ]


def runs_of(setting, methods=METHODS, seeds=(0, 1)) -> list[Run]:
    return [
        Run(Path(), run_config(SUITE, vector.task, method, seed), {}, vector)
        for method in methods
        for seed in seeds
        for vector in vectors_of(setting, method, 0.3 + 0.1 * seed)
    ]


def by_hand(setting, tau, method, task, split, count) -> float:
    images, labels = load_split(SUITE.task(task), split)[:count]
    one = SUITE.task(task)
    head = zero_shot_head(setting.clip, one.classes, one.templates)
    return accuracy(find_method(method).application.features(setting.clip, tau, images), head, labels)


def scaled(vector, alpha):
    return {name: alpha * value for name, value in vector.tau.items()}


@pytest.mark.parametrize("method", METHODS)
def test_accuracies_are_those_of_the_merged_model(method, setting):
    merged = total(vectors_of(setting, method))
    for split, count in (("validation", 30), ("test", 40)):
        found = accuracies(setting, merged, "signs", split, (0.2, 1.0))
        expected = [by_hand(setting, scaled(merged, alpha), method, "signs", split, count) for alpha in (0.2, 1.0)]
        # One image may sit on a boundary: sums are taken in another order.
        assert found == pytest.approx(expected, abs=1 / count + 1e-9)


def test_alpha_is_tuned_on_validation_images_and_test_images_are_read_for_two_points(setting, monkeypatch):
    asked = []

    def planted(setting, vector, task, split, points):
        asked.append((split, task, tuple(points)))
        # The validation split says 0.3, the test split would say 2.
        best = 0.3 if split == "validation" else 2.0
        return [float(alpha == best) for alpha in points]

    monkeypatch.setattr(arena_module, "accuracies", planted)
    vectors = vectors_of(setting, "standard")
    rows = measure_merge(setting, total(vectors), vectors)
    assert [task for split, task, _ in asked if split == "validation"] == list(TASKS)  # the control tunes nothing
    assert [one for one in asked if one[0] == "test"] == [("test", task, (1.0, 0.3)) for task in (*TASKS, "shapes")]
    assert set(rows[rows.choice == "tuned"].coefficient) == {0.3}


def test_of_equal_accuracies_the_largest_alpha_is_taken(setting, monkeypatch):
    monkeypatch.setattr(arena_module, "accuracies", lambda setting, vector, task, split, points: [0.5] * len(points))
    vectors = vectors_of(setting, "standard")
    rows = measure_merge(setting, total(vectors), vectors)
    assert set(rows[rows.choice == "tuned"].coefficient) == {max(arena_module.ALPHAS)}


def test_merges_get_the_same_unlabelled_training_images(setting, monkeypatch):
    """And ours alone, in its second version, the control's."""
    seen = {}

    def rival(self, taus, evidence):
        seen[self.name] = evidence.images
        return taus[0]

    def ours(vectors, clip, images, control, rounds):
        assert rounds == setting.rounds
        seen[OURS if control is None else OURS_WITH_CONTROL] = (list(images.values()), control)
        assert list(images) == list(TASKS)
        return type("Merged", (), {"vector": vectors[0]})

    monkeypatch.setattr("analysis.merging.rivals.rival.Rival.merged", rival)
    monkeypatch.setattr(arena_module, "merge", ours)
    vectors = vectors_of(setting, "standard")
    for name in (OURS, OURS_WITH_CONTROL, "RegMean"):
        merged_by(name, setting, vectors)
    expected = [load_split(SUITE.task(task), "train")[:4][0] for task in TASKS]
    for found in (seen["RegMean"], seen[OURS][0], seen[OURS_WITH_CONTROL][0]):
        assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    assert torch.equal(seen[OURS_WITH_CONTROL][1], load_split(SUITE.control, "train")[:4][0])
    with pytest.raises(ValueError, match="merging method"):
        merged_by("our", setting, vectors)


def test_the_race_has_a_row_for_everything_that_is_defined(setting, tmp_path):
    found = compete(setting, runs_of(setting), ["task arithmetic"], ["TIES"], tmp_path)
    pairs = found.costs.groupby(["method", "seed"])["merge"].apply(list).to_dict()
    others = [("standard", 1), ("linear", 0), ("linear", 1)]
    assert pairs == {("standard", 0): ["task arithmetic", "TIES"]} | {key: ["task arithmetic"] for key in others}
    assert (found.costs.seconds > 0).all()
    assert len(found.accuracy) == 5 * 2 * 4 and len(found.single) == 4 * 4
    control = found.single[found.single.task == "shapes"]
    assert control.expert.isna().all() and control.pretrained.between(0, 1).all()
    row = found.accuracy.query("method == 'linear' and seed == 1 and task == 'uci' and choice == 'one-shot'").iloc[0]
    expected = by_hand(setting, total(vectors_of(setting, "linear", 0.4)).tau, "linear", "uci", "test", 40)
    assert row.accuracy == pytest.approx(expected, abs=1 / 40 + 1e-9)
    with pytest.raises(ValueError, match="merging method"):
        compete(setting, runs_of(setting), ["TIES"], ["DARE "], tmp_path)


def test_merges_that_are_not_defined_for_the_vectors_are_left_out():
    assert not is_defined("RegMean++", "linear") and is_defined("RegMean++", "standard") and is_defined(OURS, "linear")


def test_a_race_that_was_stopped_goes_on_where_it_was(setting, tmp_path, monkeypatch):
    """Nothing is merged twice; another setting, other vectors or another version are another result."""
    vectors, merged = vectors_of(setting, "standard"), []
    real = arena_module.merged_by
    monkeypatch.setattr(arena_module, "merged_by", lambda name, *rest: merged.append(name) or real(name, *rest))
    first = raced("TIES", setting, vectors, tmp_path)
    assert raced("TIES", setting, vectors, tmp_path) == first
    assert merged == ["TIES"]
    raced("TIES", replace(setting, merge_images=5), vectors, tmp_path)
    raced("TIES", setting, vectors[:2], tmp_path)
    assert merged == ["TIES"] * 3 and len(list(tmp_path.iterdir())) == 3
    monkeypatch.setattr(arena_module, "VERSION", 0)
    raced("TIES", setting, vectors, tmp_path)
    assert merged == ["TIES"] * 4


def test_the_experts_are_measured_on_their_own_tasks(setting):
    vectors = vectors_of(setting, "standard")
    single = measure_single(setting, vectors).set_index("task")
    for vector in vectors:
        zeros = {name: torch.zeros_like(value) for name, value in vector.tau.items()}
        for column, tau in (("pretrained", zeros), ("expert", vector.tau)):
            expected = by_hand(setting, tau, "standard", vector.task, "test", 40)
            assert single[column][vector.task] == pytest.approx(expected, abs=1 / 40 + 1e-9)


def test_costs_are_of_the_merge_alone():
    result, seconds, mib = measured(lambda count: torch.ones(count).sum().item(), 2**25)
    assert result == 2**25 and seconds > 0
    assert mib >= 0
    with pytest.raises(ZeroDivisionError):
        measured(lambda: 1 / 0)


def test_numbers_of_images_and_tasks(setting, tmp_path, monkeypatch):
    """A merge that needs images once a number, a data-free one once; of so many tasks the first."""
    vectors, asked = vectors_of(setting, "standard"), []
    real = arena_module.merged_by

    def watched(name, setting, vectors):
        asked.append((name, setting.merge_images, len(vectors)))
        return real("task arithmetic", setting, vectors)

    monkeypatch.setattr(arena_module, "merged_by", watched)
    images = over_images(setting, vectors, ["RegMean", "ActMat"], [2, 0], tmp_path)
    assert images["merge"].tolist() == ["RegMean", "RegMean", "ActMat"]
    assert images.images.tolist() == [2, 0, 0] and images.data_free.tolist() == [False, False, True]
    assert asked == [("RegMean", 2, 3), ("RegMean", arena_module.ALL, 3), ("ActMat", 4, 3)]
    tasks = over_tasks(setting, vectors, ["ActMat"], [2, 3], tmp_path)
    assert tasks.tasks.tolist() == [2, 3] and asked[3:] == [("ActMat", 4, 2)]  # all three are known already
    accuracy_of = [by_hand(setting, total(vectors[:2]).tau, "standard", task, "test", 40) for task in TASKS[:2]]
    experts = [by_hand(setting, vector.tau, "standard", vector.task, "test", 40) for vector in vectors[:2]]
    assert tasks.accuracy[0] == pytest.approx(np.mean(accuracy_of), abs=1 / 40 + 1e-9)
    slack = np.mean([1 / 40 / expert * 3 for expert in experts])  # an image of the merge, and one of the expert
    assert tasks.normalised[0] == pytest.approx(np.mean(np.divide(accuracy_of, experts)), abs=slack)


def planted_arena() -> Arena:
    accuracy, costs, single = [], [], []
    for seed in (0, 1):
        for task, expert in (("uci", 0.8), ("signs", 0.4), ("shapes", None)):
            single.append(("linear", seed, task, 0.3, expert))
            for merge, lift in ((OURS, 0.1), ("TIES", 0.0)):
                for choice, alpha, value in (("one-shot", 1.0, 0.2), ("tuned", 0.5, 0.3)):
                    own = value + lift + 0.1 * (task == "uci") + 0.05 * (task == "shapes")
                    accuracy.append(("linear", seed, merge, choice, alpha, task, own))
        costs += [("linear", seed, OURS, 10.0 + seed, 5.0), ("linear", seed, "TIES", 1.0, 2.0)]
    return Arena(
        pd.DataFrame(accuracy, columns=["method", "seed", "merge", "choice", "coefficient", "task", "accuracy"]),
        pd.DataFrame(costs, columns=["method", "seed", "merge", "seconds", "mib"]),
        pd.DataFrame(single, columns=["method", "seed", "task", "pretrained", "expert"]),
    )


def test_the_summary_averages_what_it_says():
    row, *_ = summary_table(planted_arena()).query("merge == 'TIES'").to_dict("records")
    expected = dict(
        one_shot=0.25, one_shot_normalised=(0.3 / 0.8 + 0.2 / 0.4) / 2, one_shot_control=0.25, tuned=0.35,
        tuned_normalised=(0.4 / 0.8 + 0.3 / 0.4) / 2, tuned_control=0.35, tuned_coefficient=0.5, seconds=1.0, mib=2.0,
    )  # fmt: skip
    assert row == {"method": "linear", "seed": 0, "merge": "TIES", **{k: pytest.approx(v) for k, v in expected.items()}}


def planted_summary(**changes) -> pd.DataFrame:
    """Ours and two rivals, two seeds: ours is first in all but seconds. changes: ours' columns."""
    rows = []
    for seed in (0, 1):
        spread = 0.01 * (seed - 0.5)
        for merge, one, tuned, control, seconds in (
            (OURS, 0.8, 0.82, 0.6, 20.0),
            ("task arithmetic", 0.3, 0.6, 0.5, 0.1),
            ("ActMat", 0.7, 0.75, 0.4, 3.0),
        ):
            row = {"method": "standard", "seed": seed, "merge": merge, "one_shot": one + spread,
                   "one_shot_normalised": one + 0.1, "one_shot_control": control, "tuned": tuned + spread,
                   "tuned_normalised": tuned + 0.1, "tuned_control": control, "tuned_coefficient": 1.0,
                   "seconds": seconds, "mib": 10.0}  # fmt: skip
            rows.append(row | (changes if merge == OURS else {}))
    return pd.DataFrame(rows)


EXPECTED = [
    "standard: at α = 1 ours is above every rival at α = 1",
    "standard: at α = 1 ours is above every rival's tuned accuracy",
    "standard: at α = 1 ours leaves the control no worse than tuned task arithmetic",
]


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, []),
        ({"one_shot": 0.72}, EXPECTED[1:2]),
        ({"one_shot": 0.69}, EXPECTED[:2]),
        ({"one_shot_control": 0.45}, EXPECTED[2:]),
    ],
)
def test_the_findings_follow_the_numbers(changes, broken):
    found = findings(planted_summary(**changes))
    assert list(found) == EXPECTED
    assert [text for text, holds in found.items() if not holds] == broken


def test_the_version_with_the_control_may_keep_it():
    summary = planted_summary(one_shot_control=0.45)
    kept = summary[summary["merge"] == OURS].assign(merge=OURS_WITH_CONTROL, one_shot_control=0.55)
    assert all(findings(pd.concat([summary, kept])).values())


def test_nothing_is_found_without_ours_or_without_a_rival():
    summary = planted_summary()
    for part in (summary[summary["merge"] == OURS], summary[summary["merge"] != OURS]):
        assert findings(part) == {}
        assert conclusion(part, 0.05, 0.05) == "There is nothing to compare: that takes ours and a rival."


def test_where_ours_loses_is_said():
    summary = planted_summary(tuned=0.7, one_shot_control=0.3)
    lost = losses(summary)
    assert lost[["measure", "rival"]].values.tolist() == [
        ["test accuracy at the tuned α", "ActMat"],
        ["control accuracy at α = 1", "task arithmetic"],
        ["control accuracy at α = 1", "ActMat"],
        ["seconds", "task arithmetic"],
        ["seconds", "ActMat"],
    ]
    assert lost.theirs.tolist() == pytest.approx([0.75, 0.5, 0.4, 0.1, 3.0])


def test_the_table_of_needs_knows_all_merges():
    assert needs_table().name.tolist() == merges()


def test_a_merge_looks_alike_in_all_figures():
    assert len({symbol(merge) for merge in merges()}) == len(merges())
    kinds = [[m for m in RIVALS if find_rival(m).data_free is free] for free in (True, False)]
    free, seeing = ({colour(merge) for merge in kind} for kind in kinds)
    assert len(free) == 1 and not free & seeing
    assert {colour(OURS), colour(OURS_WITH_CONTROL)}.isdisjoint(free | seeing)


def test_five_merges_have_names_and_the_rest_are_grey():
    rows = [("standard", 0, merge, 1.0, 0.5 + 0.01 * k, 0.8) for k, merge in enumerate(merges())]
    summary = pd.DataFrame(rows, columns=["method", "seed", "merge", "seconds", "one_shot", "tuned"])
    figure = accuracy_versus_seconds(summary)
    shown = [trace.name for trace in figure.data if trace.showlegend]
    best = {free: [m for m in RIVALS if find_rival(m).data_free is free][-1] for free in (True, False)}
    assert set(shown) == {
        OURS,
        OURS_WITH_CONTROL,
        "task arithmetic",
        *best.values(),
        f"{len(merges()) - 5} other merges",
    }
    assert len(figure.data) == len(merges())
    grey = [trace for trace in figure.data if trace.legendgroup == "others"]
    assert len({trace.line.color for trace in grey}) == 1
    assert sorted({*(trace.text[0] for trace in grey), *shown[1:]}) == sorted(merges())  # each is named on hovering


def test_figures_show_the_tables():
    figure = accuracy_versus_seconds(planted_summary())
    assert {trace.name: (trace.x[0], trace.y) for trace in figure.data} == {
        OURS: (20.0, (0.8, 0.82)), "task arithmetic": (0.1, (0.3, 0.6)), "ActMat": (3.0, (0.7, 0.75))}  # fmt: skip
    table = pd.DataFrame(
        [(OURS, 8, False, 0.5), (OURS, 0, False, 0.7), ("ActMat", 0, True, 0.6)],
        columns=["merge", "images", "data_free", "accuracy"],
    )
    ours, free = accuracy_versus_images(table, 900).data
    assert (ours.x, ours.y, free.x, free.y) == ((8, 900), (0.5, 0.7), (8, 900), (0.6, 0.6))
    tasks = pd.DataFrame(
        [("ActMat", 3, 0.5, 0.6), ("ActMat", 2, 0.7, 0.8)], columns=["merge", "tasks", "accuracy", "normalised"]
    )
    (line,) = accuracy_versus_tasks(tasks).data
    assert (line.x, line.y) == ((2, 3), (0.8, 0.6))
