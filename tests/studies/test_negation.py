"""Negation: equal to evaluating θ₀ − α·τ, tuned on validation under the control's bound, honest sentences."""

import pandas as pd
import pytest
from conftest import random_like

import analysis.negation.measure
from analysis.coefficients import tuned_negation
from analysis.negation.measure import Negation, findings, negate, summary_table
from taujp_core.datasets import load_split
from taujp_core.evaluation import accuracy, features, linearised_features
from taujp_core.models import zero_shot_head
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector, edited

SUITE = load_suite("mini")


@pytest.mark.parametrize("method", ["linear", "standard"])
def test_accuracies_are_those_of_the_model_with_one_vector_taken_away(method, mini, monkeypatch):
    monkeypatch.setattr(analysis.negation.measure, "COEFFICIENTS", (0.0, 0.6, 1.0))
    pair = [
        TaskVector(random_like(mini.theta0, k, 0.02), mini.fingerprint, task, method)
        for k, task in enumerate(("uci", "signs"))
    ]
    curves, test = negate(mini, SUITE, pair, 60)
    assert list(test.choice) == ["pre-trained", "one-shot", "tuned"] * 2

    def expected(vector, data, split, alpha):
        task = SUITE.task(data)
        images, labels = load_split(task, split)[:60]
        if method == "standard":
            found = features(mini.encoder, edited(mini.theta0, [vector], [-alpha]), images)
        else:
            tau = {name: -alpha * value for name, value in vector.tau.items()}
            found = linearised_features(mini.encoder, mini.theta0, tau, images)
        return accuracy(found, zero_shot_head(mini, task.classes, task.templates), labels)

    uci = curves[curves.task == "uci"].set_index("coefficient")
    # One image may sit on a boundary: the sums are taken in another order.
    assert uci.target[0.6] == pytest.approx(expected(pair[0], "uci", "validation", 0.6), abs=1 / 60 + 1e-9)
    assert uci.control[0.6] == pytest.approx(expected(pair[0], "shapes", "validation", 0.6), abs=1 / 60 + 1e-9)
    signs = test[test.task == "signs"].set_index("choice")
    assert signs.coefficient["tuned"] == tuned_negation(curves[curves.task == "signs"])
    assert signs.target["one-shot"] == pytest.approx(expected(pair[1], "signs", "test", 1.0), abs=1 / 60 + 1e-9)
    assert signs.control["one-shot"] == pytest.approx(expected(pair[1], "shapes", "test", 1.0), abs=1 / 60 + 1e-9)


def test_the_strongest_forgetting_that_keeps_the_control_is_taken():
    curve = pd.DataFrame(
        [(0.0, 0.9, 0.80), (0.5, 0.4, 0.77), (1.0, 0.2, 0.76), (1.5, 0.2, 0.761), (2.0, 0.1, 0.75)],
        columns=["coefficient", "target", "control"],
    )
    assert tuned_negation(curve) == 1.0  # 0.76 is 95 % of 0.80; of equals the smallest
    assert tuned_negation(curve.iloc[::-1]) == 1.0
    assert tuned_negation(curve.assign(control=[0.8, 0.1, 0.1, 0.1, 0.1])) == 0.0


def planted_test(one_shot, tuned, method="linear") -> pd.DataFrame:
    rows = []
    for task, shift in (("uci", 0.1), ("signs", -0.1)):
        for choice, (target, control) in {"pre-trained": (0.8, 0.6), "one-shot": one_shot, "tuned": tuned}.items():
            coefficient = {"pre-trained": 0.0, "one-shot": 1.0, "tuned": 0.5 + shift}[choice]
            rows.append((method, 0, task, choice, coefficient, target + shift, control - shift))
    return pd.DataFrame(rows, columns=["method", "seed", "task", "choice", "coefficient", "target", "control"])


def test_the_summary_averages_what_it_says():
    (row,) = summary_table(Negation(pd.DataFrame(), planted_test((0.2, 0.5), (0.3, 0.58)))).to_dict("records")
    expected = dict(pretrained_target=0.8, pretrained_control=0.6, one_shot_target=0.2, one_shot_control=0.5,
                    tuned_target=0.3, tuned_control=0.58, tuned_coefficient=0.5)  # fmt: skip
    assert row == {"method": "linear", "seed": 0, **{name: pytest.approx(value) for name, value in expected.items()}}


@pytest.mark.parametrize(
    ("one_shot", "tuned", "broken"),
    [
        ((0.3, 0.59), (0.1, 0.58), []),
        ((0.3, 0.55), (0.1, 0.58), ["95% of the control's accuracy left at α = 1"]),
        ((0.3, 0.49), (0.1, 0.58), ["95% of the control's accuracy left at α = 1", "the highest control accuracy at α = 1"]),
        ((0.3, 0.59), (0.4, 0.58), ["the lowest target accuracy at the tuned α"]),
    ],
)  # fmt: skip
def test_the_findings_follow_the_numbers(one_shot, tuned, broken):
    test = pd.concat([planted_test((0.2, 0.5), (0.3, 0.58)), planted_test(one_shot, tuned, "taujp-efficient")])
    found = findings(summary_table(Negation(pd.DataFrame(), test)))
    assert [text for text, holds in found.items() if not holds] == broken
    # Without a method that has the penalty there is nothing to compare.
    assert findings(summary_table(Negation(pd.DataFrame(), planted_test((0.2, 0.5), (0.3, 0.58))))) == {}
