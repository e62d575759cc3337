"""Coefficients from products: equal to evaluating the edited model, tuned on validation only, honest sentences."""

import pandas as pd
import pytest
import torch
from conftest import random_images, random_like

import analysis.addition.measure
from analysis.addition.measure import Addition, findings, measure_addition, summary_table
from analysis.coefficients import COEFFICIENTS, tuned_coefficient
from analysis.products import edited_source, measure_products
from taujp_core.applications import find_application
from taujp_core.applications.linearised import Products
from taujp_core.datasets import Split, load_split
from taujp_core.evaluation import accuracy, features, linearised_features
from taujp_core.models import zero_shot_head
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector, edited
from taujp_core.training.config import run_config
from taujp_core.training.run_store import Run

SUITE = load_suite("mini")


def vectors(clip, method="linear", tasks=("uci", "signs"), size=0.01):
    return [
        TaskVector(random_like(clip.theta0, k, size), clip.fingerprint, task, method) for k, task in enumerate(tasks, 1)
    ]


def small_split(count=40):
    return Split(random_images(count), torch.arange(count) % 10)


def test_cached_products_give_the_linearised_models_features(mini64):
    pair, split = vectors(mini64), small_split(12)
    products = measure_products(mini64, pair, split)
    for coefficients in ([0.0, 0.0], [1.0, 1.0], [0.3, -0.7]):
        tau = {
            name: coefficients[0] * pair[0].tau[name] + coefficients[1] * pair[1].tau[name] for name in mini64.theta0
        }
        expected = linearised_features(mini64.encoder, mini64.theta0, tau, split.tensors[0])
        assert torch.allclose(products.edited_features(coefficients), expected, rtol=1e-10, atol=1e-12)


def test_the_encoder_is_evaluated_at_the_edited_parameters(mini64):
    pair, split = vectors(mini64, "standard"), small_split(6)
    source = edited_source(mini64, pair, split, find_application("encoder"))
    expected = features(mini64.encoder, edited(mini64.theta0, pair, [0.5, 2.0]), split.tensors[0])
    assert torch.allclose(source.edited_features([0.5, 2.0]), expected, rtol=1e-10, atol=1e-12)


def test_tau_jp_is_the_mean_norm_not_squared():
    products = Products(torch.zeros(2, 2), torch.tensor([[[3.0, 4.0], [0.0, 1.0]]]), torch.tensor([0, 1]))
    assert products.tau_jp().tolist() == [3.0]  # (5 + 1) / 2


def fake_run(vector, tmp_path, seed=0):
    config = run_config("mini", vector.task, vector.method, seed, tasks=["uci", "signs"])
    return Run(tmp_path, config, {}, vector)


@pytest.mark.parametrize("method", ["linear", "standard"])
def test_curves_equal_a_model_evaluated_at_each_coefficient(method, mini, tmp_path, monkeypatch):
    monkeypatch.setattr(analysis.addition.measure, "COEFFICIENTS", (0.0, 0.35, 1.0))
    pair = vectors(mini, method)
    addition = measure_addition(mini, SUITE, [fake_run(vector, tmp_path) for vector in pair], images=60)
    task = SUITE.task("uci")
    images, labels = load_split(task, "test")[:60]
    head = zero_shot_head(mini, task.classes, task.templates)
    curve = addition.curves.query("task == 'uci' and split == 'test'").set_index("coefficient").accuracy
    assert tuple(curve.index) == (0.0, 0.35, 1.0)
    for alpha in (0.0, 0.35, 1.0):
        if method == "standard":
            edited_features = features(mini.encoder, edited(mini.theta0, pair, [alpha, alpha]), images)
        else:
            tau = {name: alpha * (pair[0].tau[name] + pair[1].tau[name]) for name in mini.theta0}
            edited_features = linearised_features(mini.encoder, mini.theta0, tau, images)
        # One image may sit on a boundary: the sums are taken in another order.
        assert curve[alpha] == pytest.approx(accuracy(edited_features, head, labels), abs=1 / 60 + 1e-9)
    alone = addition.single.query("task == 'uci' and split == 'test'").accuracy.item()
    own = edited(mini.theta0, pair[:1], [1.0])
    expected = (
        features(mini.encoder, own, images)
        if method == "standard"
        else linearised_features(mini.encoder, mini.theta0, pair[0].tau, images)
    )
    assert alone == pytest.approx(accuracy(expected, head, labels), abs=1 / 60 + 1e-9)
    assert set(addition.tau_jp.data_set) == {"uci", "signs", "shapes"}
    assert list(addition.per_task.task) == ([] if method == "standard" else ["uci", "signs"])
    for row in addition.per_task.query("task == 'uci'").itertuples():
        first, second = addition.per_task.coefficient
        tau = {name: first * pair[0].tau[name] + second * pair[1].tau[name] for name in mini.theta0}
        expected = accuracy(linearised_features(mini.encoder, mini.theta0, tau, images), head, labels)
        assert row.accuracy == pytest.approx(expected, abs=1 / 60 + 1e-9)


def planted_curves(validation, test) -> pd.DataFrame:
    rows = [
        {"method": "linear", "seed": 0, "task": "uci", "split": split, "coefficient": alpha, "accuracy": value, "normalised": value / 0.8}
        for split, values in (("validation", validation), ("test", test))
        for alpha, value in values.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_coefficient_is_tuned_on_validation_and_of_equals_the_largest():
    test = {0.0: 0.9, 0.5: 0.1, 1.0: 0.2}
    assert tuned_coefficient(planted_curves({0.0: 0.3, 0.5: 0.6, 1.0: 0.4}, test)) == 0.5
    assert tuned_coefficient(planted_curves({0.0: 0.3, 0.5: 0.6, 1.0: 0.6}, test)) == 1.0


def test_without_a_right_single_task_model_the_accuracy_decides():
    curves = planted_curves({0.0: 0.3, 0.5: 0.6, 1.0: 0.4}, {0.0: 0.1, 0.5: 0.1, 1.0: 0.1})
    assert tuned_coefficient(curves.assign(normalised=float("nan"))) == 0.5


def test_the_summary_averages_what_it_says():
    curves = planted_curves({0.0: 0.3, 0.5: 0.6, 1.0: 0.4}, {0.0: 0.3, 0.5: 0.5, 1.0: 0.4})
    single = pd.DataFrame(
        [{"task": "uci", "split": split, "accuracy": value, "method": "linear", "seed": 0} for split, value in (("validation", 0.9), ("test", 0.8))]
    )  # fmt: skip
    tau_jp = pd.DataFrame(
        [
            {"vector": vector, "data_set": data, "tau_jp": value, "method": "linear", "seed": 0}
            for vector, data, value in (
                ("uci", "uci", 5.0), ("uci", "signs", 2.0), ("uci", "shapes", 100.0),
                ("signs", "uci", 4.0), ("signs", "signs", 7.0), ("signs", "shapes", 100.0),
            )
        ]
    )  # fmt: skip
    (row,) = summary_table(Addition(curves, single, tau_jp, pd.DataFrame())).to_dict("records")
    assert row == {
        "method": "linear", "seed": 0, "zero_shot": 0.3, "single_task": 0.8, "one_shot": 0.4, "tuned": 0.5,
        "tuned_coefficient": 0.5, "normalised_one_shot": pytest.approx(0.5), "normalised_tuned": pytest.approx(0.625),
        "tau_jp_own": 6.0, "tau_jp_others": 3.0,
    }  # fmt: skip


GOOD = {
    "standard": dict(one_shot=0.4, tuned=0.6, normalised_one_shot=0.5, tau_jp_others=20.0),
    "linear": dict(one_shot=0.5, tuned=0.55, normalised_one_shot=0.6, tau_jp_others=30.0),
    "taujp-efficient": dict(one_shot=0.7, tuned=0.7, normalised_one_shot=0.95, tau_jp_others=2.0),
}


def planted_summary(**changes) -> pd.DataFrame:
    rows = {**GOOD, "taujp-efficient": {**GOOD["taujp-efficient"], **changes}}
    return pd.DataFrame([{"method": method, "seed": 0, **row} for method, row in rows.items()])


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, None),
        (dict(tau_jp_others=25.0), "the lowest τJp on other tasks"),
        (dict(normalised_one_shot=0.55), "the highest normalised accuracy at α = 1"),
        (dict(one_shot=0.59, tuned=0.595), "a one-shot accuracy above every rival's tuned one"),
        (dict(tuned=0.72), "a one-shot accuracy within 0.01 of its tuned one"),
    ],
)
def test_the_findings_follow_the_numbers(changes, broken):
    summary = planted_summary(**changes)
    assert [text for text, holds in findings(summary).items() if not holds] == ([broken] if broken else [])


def test_vectors_of_another_theta0_and_nan_are_refused(mini):
    (vector, other) = vectors(mini)
    split = small_split(2)
    with pytest.raises(ValueError, match="belongs to θ₀ abc"):
        measure_products(mini, [vector, TaskVector(other.tau, "abc", "signs", "linear")], split)
    spoilt = {name: value.clone() for name, value in other.tau.items()}
    spoilt["visual.proj"][0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="the linear vector of signs holds NaN"):
        measure_products(mini, [vector, TaskVector(spoilt, mini.fingerprint, "signs", "linear")], split)


def test_the_coefficients_are_the_papers():
    assert pytest.approx([0.05 * k for k in range(21)]) == COEFFICIENTS
    assert COEFFICIENTS[-1] == 1.0
