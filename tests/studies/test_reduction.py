"""What the reduction of τJp buys: accuracies of sums against brute force, and sentences that say what was lost."""

from dataclasses import replace

import pandas as pd
import pytest
from conftest import random_like

import analysis.tau_jp_reduction
from analysis.tau_jp import own_and_others, tau_jp
from analysis.tau_jp_reduction import addition_accuracies, measure_reduction, reduce_all, reduction_findings
from taujp_core.applications import find_application
from taujp_core.datasets import load_split
from taujp_core.evaluation import accuracy, features, linearised_features
from taujp_core.models import zero_shot_head
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector, edited

SUITE = load_suite("mini")
IMAGES = 16


def random_pair(clip):
    return [
        TaskVector(random_like(clip.theta0, k, 0.004), clip.fingerprint, task, "standard")
        for k, task in enumerate(["uci", "mnist"])
    ]


@pytest.fixture
def pair(mini):
    return random_pair(mini)


@pytest.mark.parametrize("application", ["linearised", "encoder"])
def test_accuracies_are_those_of_the_edited_models(application, mini64, monkeypatch):
    """In float64, where no image sits on a boundary that rounding could move; whatever method trained the vectors."""
    first, second = random_pair(mini64)
    pair = [first, replace(second, method="taujp-efficient")]
    monkeypatch.setattr(analysis.tau_jp_reduction, "COEFFICIENTS", (0.0, 0.5, 1.0))
    found = addition_accuracies(mini64, SUITE, pair, find_application(application), IMAGES).set_index("task")
    assert found.alpha.nunique() == 1
    for k, vector in enumerate(pair):
        task = SUITE.task(vector.task)
        head = zero_shot_head(mini64, task.classes, task.templates)

        def brute(coefficients, split="test", task=task, head=head):
            images, labels = load_split(task, split)[:IMAGES]
            theta = edited(mini64.theta0, pair, coefficients)
            tau = {name: theta[name] - value for name, value in mini64.theta0.items()}
            if application == "linearised":
                return accuracy(linearised_features(mini64.encoder, mini64.theta0, tau, images), head, labels)
            return accuracy(features(mini64.encoder, theta, images), head, labels)

        alpha = found.alpha[vector.task]
        assert found.single[vector.task] == brute([float(k == 0), float(k == 1)])
        assert found.one_shot[vector.task] == brute([1.0, 1.0])
        assert found.best[vector.task] == brute([alpha, alpha])
        assert found.validation[vector.task] == brute([1.0, 1.0], "validation")


def test_vectors_reduced_for_each_other_have_less_effect_there_and_the_same_at_home(mini, pair):
    reduced, seconds = reduce_all(mini, SUITE, pair, solve_images=6, iterations=8)
    assert seconds > 0
    tasks = ["uci", "mnist"]
    sets = [SUITE.task(task) for task in tasks]
    before, after = (own_and_others(tau_jp(mini, v, sets, IMAGES), tasks) for v in (pair, reduced))
    assert (after.tau_jp_others < 0.9 * before.tau_jp_others).all()
    # What the edit keeps is Jτ on solved images; its norm on other images moves a little.
    assert after.tau_jp_own.tolist() == pytest.approx(before.tau_jp_own.tolist(), rel=0.15)


def test_penalised_vectors_are_measured_as_they_are(mini, pair, monkeypatch):
    monkeypatch.setattr(analysis.tau_jp_reduction, "COEFFICIENTS", (0.0, 1.0))
    penalised = [TaskVector(v.tau, v.theta0_fingerprint, v.task, "taujp-efficient") for v in pair]
    found, seconds = measure_reduction(
        mini, SUITE, {"standard": pair, "taujp-efficient": penalised}, solve_images=2, iterations=1, images=4
    )
    kinds = found.groupby(["vectors", "application"], sort=False).size()
    assert kinds.to_dict() == {
        ("standard", "linearised"): 2,
        ("standard", "encoder"): 2,
        ("standard, reduced", "linearised"): 2,
        ("standard, reduced", "encoder"): 2,
        ("taujp-efficient", "linearised"): 2,
    }
    assert seconds > 0
    assert reduction_findings(found).count("\n") == 1


def test_losses_are_said():
    rows = [
        ("linear", "a", 0.9, 0.5, 0.6),
        ("linear", "b", 0.8, 0.7, 0.7),
        ("linear, reduced", "a", 0.7, 0.8, 0.8),
        ("linear, reduced", "b", 0.8, 0.6, 0.7),
    ]
    table = pd.DataFrame(rows, columns=["vectors", "task", "single", "one_shot", "best"])
    assert reduction_findings(table.assign(application="linearised")) == (
        "In the linearised model the accuracy of the sum of `linear` vectors rose from 0.60 to 0.70 at α = 1 and rose from 0.65 "
        "to 0.75 at the best α. That of a single task fell from 0.85 to 0.75; at α = 1, b is worse than before."
    )
