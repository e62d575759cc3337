"""Continual learning: nothing of the future is used, the metrics are the field's, the matrix is the edited models'."""

import re

import numpy as np
import pandas as pd
import pytest
from conftest import random_like

import analysis.continual.sequences
import taujp_core.training.finetune as finetuning
import taujp_core.training.step_images as step_images
from analysis.continual.figures import accuracy_matrices, average_over_arrivals
from analysis.continual.sequences import (
    PENALISED_METHODS,
    TRAINED_BY,
    accuracy_matrix,
    arrival_orders,
    average_accuracy,
    averages_table,
    backward_transfer,
    findings,
    forgetting,
    measure_arrivals,
    sequence_configs,
    summary_table,
    train_sequence,
    zero_shot_arrivals,
)
from taujp_core.datasets import load_split, reservoir
from taujp_core.evaluation import accuracy, features, linearised_features
from taujp_core.models import fingerprint, zero_shot_head
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector, edited
from taujp_core.training.config import run_config
from taujp_core.training.run_store import identity
from taujp_core.training.step_images import penalised_splits, step_batches

SUITE = load_suite("mini")
TINY = {"steps": 1, "batch_size": 4, "penalty_batch_size": 2}
NAN = float("nan")
MATRIX = np.array([[0.7, NAN, NAN], [0.8, 0.7, NAN], [0.75, 0.6, 0.95]])


def arrivals_of(matrix, method="linear", order=1, tasks=("uci", "signs", "mnist")) -> pd.DataFrame:
    rows = [
        {"method": method, "order": order, "arrival": k + 1, "position": j + 1, "task": tasks[j], "accuracy": matrix[k][j]}
        for k in range(len(matrix)) for j in range(k + 1)
    ]  # fmt: skip
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_metrics_of_a_planted_matrix():
    table = arrivals_of(MATRIX)
    assert np.array_equal(accuracy_matrix(table), MATRIX, equal_nan=True)
    assert average_accuracy(MATRIX) == pytest.approx([0.7, 0.75, 2.3 / 3])
    assert forgetting(MATRIX) == pytest.approx((0.8 - 0.75 + 0.7 - 0.6) / 2)  # the best before the end, not the first
    assert backward_transfer(MATRIX) == pytest.approx((0.75 - 0.7 + 0.6 - 0.7) / 2)
    (row,) = summary_table(table).to_dict("records")
    assert row["average_accuracy"] == pytest.approx(2.3 / 3)
    assert row["at_arrival"] == pytest.approx((0.7 + 0.7 + 0.95) / 3)
    assert averages_table(table).average_accuracy.tolist() == pytest.approx([0.7, 0.75, 2.3 / 3])


def test_forgetting_is_negative_where_tasks_get_better():
    assert forgetting(np.array([[0.5, NAN], [0.8, 0.9]])) == pytest.approx(-0.3)


@pytest.mark.parametrize("order", arrival_orders(["mnist", "street", "signs", "uci"], 4), ids="-".join)
@pytest.mark.parametrize("method", TRAINED_BY)
def test_no_penalty_sees_the_future(method, order):
    configs = sequence_configs("mini", order, method, 20, **TINY)
    assert [config.task for config in configs] == order
    for k, config in enumerate(configs):
        past, control = set(order[:k]), {"shapes"}
        if method == "taujp-joint":
            assert set(config.penalty_tasks) == set(order) - {order[k]} | control
        elif method in PENALISED_METHODS:
            assert set(config.penalty_tasks) == past | control
        else:
            assert config.penalty_tasks == ()
        assert config.penalty_reservoir == (20 if method == "taujp-memory" and past else 0)


def test_a_leak_of_the_future_is_caught():
    with pytest.raises(ValueError, match="penalty of signs in taujp-efficient would see images of uci before they"):
        sequence_configs("mini", ["signs", "mnist", "uci"], "taujp-efficient", 0, penalty_tasks=("uci",))


@pytest.mark.parametrize("method", ["taujp-strict", "taujp-memory"])
def test_training_opens_no_training_images_of_the_future(method, mini, tmp_path, monkeypatch):
    order, opened = ["uci", "signs", "mnist"], []
    monkeypatch.setattr(finetuning, "validation_accuracy", lambda *arguments: 0.5)
    for module in (finetuning, step_images):
        monkeypatch.setattr(
            module, "load_split", lambda task, split: opened.append((task.name, split)) or load_split(task, split)
        )
    configs = sequence_configs("mini", order, method, 5, **TINY)
    for k, config in enumerate(configs):
        opened.clear()
        train_sequence(mini, method, [config], tmp_path)
        assert {name for name, _ in opened} == {*order[: k + 1], "shapes"}


def test_the_same_past_is_the_same_run_and_all_penalised_methods_begin_alike():
    first, second = ["mnist", "street", "signs"], ["street", "mnist", "signs"]
    for method in PENALISED_METHODS:
        ours = [sequence_configs("mini", order, method, 20, **TINY) for order in (first, second)]
        assert ours[0][2] == ours[1][2]
        assert ours[0][0] == sequence_configs("mini", first, "taujp-efficient", 20, **TINY)[0]
    joint = sequence_configs("mini", first, "taujp-joint", 20, **TINY)
    assert joint[2] == sequence_configs("mini", first, "taujp-efficient", 20, **TINY)[2]
    everything = sequence_configs("mini", list(SUITE.tasks), "taujp-joint", 0)
    assert everything == [run_config("mini", task, "taujp-efficient") for task in SUITE.tasks]


def test_the_reservoir_is_drawn_once_and_no_step_sees_more():
    seen = []
    for seed in (0, 1):
        config = run_config(
            "mini", "signs", "taujp-efficient", seed, ["uci", "signs"], penalty_reservoir=12, penalty_batch_size=16
        )
        others = penalised_splits(config)
        assert [len(split) for split in others] == [12, len(load_split(SUITE.control, "train"))]
        batches = [step_batches(config, load_split(SUITE.task("signs"), "train"), others, step) for step in range(8)]
        seen.append({image.numpy().tobytes() for step in (0, 2, 4, 6) for image in batches[step][2][0][0]})
    kept = reservoir(load_split(SUITE.task("uci"), "train"), 12)
    expected = {image.numpy().tobytes() for image in kept.tensors[0]}
    assert len(expected) == 12
    assert seen == [expected, expected]
    assert len(kept.tensors[1].unique()) > 4  # labels are not needed, but the draw is not one class
    assert len(reservoir(kept, 40)) == 12


def test_a_reservoir_makes_another_run():
    without, kept = (run_config("mini", "uci", "taujp-efficient", penalty_reservoir=m) for m in (0, 50))
    assert identity(kept, "a") == {**identity(without, "a"), "penalty_reservoir": 50}
    assert run_config("mini", "uci", "linear", penalty_reservoir=50) == run_config("mini", "uci", "linear")


def test_sequential_models_are_fine_tuned_one_from_the_other(mini, tmp_path, monkeypatch):
    monkeypatch.setattr(finetuning, "EVALUATIONS", 0)
    configs = sequence_configs("mini", ["uci", "mnist"], "sequential", 0, **TINY)
    first, second = train_sequence(mini, "sequential", configs, tmp_path)
    after_first = edited(mini.theta0, [first.vector], [1.0])
    assert first.record["theta0"] == mini.fingerprint
    assert second.record["theta0"] == fingerprint(after_first)
    assert first.vector.theta0_fingerprint == second.vector.theta0_fingerprint == mini.fingerprint
    apart = train_sequence(mini, "standard", configs, tmp_path)
    assert apart[0].folder == first.folder
    assert apart[1].folder != second.folder


@pytest.mark.parametrize("method", ["linear", "standard"])
def test_the_matrix_is_that_of_the_edited_models(method, mini, monkeypatch):
    few = {name: load_split(SUITE.task(name), "test").first(40) for name in ("uci", "signs", "mnist")}
    monkeypatch.setattr(
        analysis.continual.sequences, "load_split", lambda task, split: few[task.name] if split == "test" else None
    )
    vectors = [
        TaskVector(random_like(mini.theta0, k, 0.01), mini.fingerprint, task, method) for k, task in enumerate(few)
    ]
    matrix = accuracy_matrix(measure_arrivals(mini, SUITE, vectors))
    for k in range(3):
        theta = edited(mini.theta0, vectors[: k + 1], [1.0] * (k + 1))
        tau = {name: theta[name] - mini.theta0[name] for name in theta}
        for j, name in enumerate(few):
            if j > k:
                assert np.isnan(matrix[k, j])
                continue
            images, labels = few[name].tensors
            task = SUITE.task(name)
            if method == "standard":
                found = features(mini.encoder, theta, images)
            else:
                found = linearised_features(mini.encoder, mini.theta0, tau, images)
            expected = accuracy(found, zero_shot_head(mini, task.classes, task.templates), labels)
            assert matrix[k, j] == pytest.approx(expected, abs=1 / 40 + 1e-9)  # one image may sit on a boundary


def test_zero_shot_accuracy_does_not_depend_on_arrivals(mini64, monkeypatch):
    few = {name: load_split(SUITE.task(name), "test").first(40) for name in ("uci", "signs")}
    monkeypatch.setattr(
        analysis.continual.sequences, "load_split", lambda task, split: few[task.name] if split == "test" else None
    )
    table = zero_shot_arrivals(mini64, SUITE, {1: ["uci", "signs"], 2: ["signs", "uci"]})
    for name, split in few.items():
        task, (images, labels) = SUITE.task(name), split.tensors
        head = zero_shot_head(mini64, task.classes, task.templates)
        expected = accuracy(features(mini64.encoder, mini64.theta0, images), head, labels)
        assert set(table[table.task == name].accuracy) == {expected}
    summary = summary_table(table)
    assert summary.order.tolist() == [1, 2]
    assert summary.forgetting.tolist() == summary.backward_transfer.tolist() == [0.0, 0.0]


def test_orders_begin_with_the_given_one_and_differ():
    tasks = ["uci", "signs", "mnist"]
    orders = arrival_orders(tasks, 6)
    assert orders[0] == tasks
    assert len({tuple(order) for order in orders}) == 6
    assert all(sorted(order) == sorted(tasks) for order in orders)
    assert arrival_orders(tasks, 2) == orders[:2]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: arrival_orders(["uci"], 1), "a sequence takes at least two different tasks, not uci"),
        (lambda: arrival_orders(["uci", "uci"], 1), "a sequence takes at least two different tasks, not uci, uci"),
        (lambda: arrival_orders(["uci", "signs"], 3), "2 tasks arrive in 1 to 2 orders, not in 3"),
        (lambda: arrival_orders(["uci", "signs"], 0), "2 tasks arrive in 1 to 2 orders, not in 0"),
        (lambda: sequence_configs("mini", ["uci", "signs"], "ewc", 0), "unknown method 'ewc': accepted are standard"),
        (lambda: sequence_configs("mini", ["uci", "sings"], "linear", 0), "unknown task 'sings': accepted are mnist"),
        (lambda: sequence_configs("mini", ["uci", "signs"], "taujp-memory", 0), "at least 1 image of a past task, not"),
        (lambda: sequence_configs("mini", ["uci", "signs"], "taujp-memory", -3), "penalty_reservoir must be at least 0"),
        (lambda: sequence_configs("mini", ["uci", "signs"], "linear", 0, penalty_reservoir=3), "reservoir sets it"),
    ],
)  # fmt: skip
def test_bad_input_gets_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        call()
    assert "\n" not in str(caught.value)


def planted_summary(**methods) -> pd.DataFrame:
    rows = [
        {"method": method.replace("_", "-"), "order": order, "average_accuracy": found[0], "forgetting": found[1]}
        for method, found in methods.items() for order in (1, 2)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_findings_follow_the_numbers():
    highest, least, joint = (
        "the highest average accuracy after the last arrival",
        "the least forgetting",
        "an average accuracy within 0.01 of training with all tasks known",
    )
    base = {"linear": (0.6, 0.2), "sequential": (0.7, 0.1), "taujp_strict": (0.75, 0.05), "taujp_memory": (0.5, 0.0)}
    assert findings(planted_summary(**base)) == {highest: True, least: True}
    assert findings(planted_summary(**base, taujp_joint=(0.755, 0.0)))[joint]
    assert not findings(planted_summary(**base, taujp_joint=(0.8, 0.0)))[joint]
    rival = findings(planted_summary(**base | {"sequential": (0.8, 0.01)}))
    assert rival == {highest: False, least: False}
    assert findings(planted_summary(linear=(0.6, 0.2), taujp_joint=(0.7, 0.1))) == {}  # nothing to compare


def test_the_heat_map_has_arrivals_in_rows_and_tasks_in_columns():
    table = pd.concat([arrivals_of(MATRIX), arrivals_of(MATRIX - 0.1, order=2), arrivals_of(MATRIX / 2, "sequential")])
    heats = accuracy_matrices(table, 1).data
    assert len(heats) == 2
    assert list(heats[0].x) == ["uci", "signs", "mnist"]
    assert list(heats[0].y) == ["1. uci", "2. signs", "3. mnist"]
    assert np.array_equal(np.array(heats[0].z, dtype=float), MATRIX, equal_nan=True)
    assert np.allclose(np.array(heats[1].z, dtype=float), MATRIX / 2, equal_nan=True)


def test_the_band_spans_the_orders_and_the_line_is_their_mean():
    table = pd.concat([arrivals_of(MATRIX), arrivals_of(MATRIX - 0.2, order=2)])
    band, line = average_over_arrivals(averages_table(table)).data
    assert list(line.x) == [1, 2, 3]
    assert list(line.y) == pytest.approx([0.6, 0.65, 2.3 / 3 - 0.1], abs=1e-4)
    assert list(band.y) == pytest.approx([0.7, 0.75, 2.3 / 3, 2.3 / 3 - 0.2, 0.55, 0.5], abs=1e-4)
    assert list(band.x) == [1, 2, 3, 3, 2, 1]
