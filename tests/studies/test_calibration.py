"""Calibration of merged models: equal to models evaluated one by one, fitted on validation alone, honest sentences."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import random_like

import analysis.calibration.merged
from analysis.addition.study import AdditionStudy
from analysis.calibration import figures
from analysis.calibration.calibrate import calibrate
from analysis.calibration.merged import conclusion, growth, measure_merge, over_coefficient, summary_table, survival
from analysis.calibration.study import CalibrationStudy
from analysis.metrics import fit_temperature, score
from taujp_core.datasets import Split, load_split
from taujp_core.evaluation import features, linearised_features
from taujp_core.methods import find_method
from taujp_core.models import logits, zero_shot_head
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector, edited, total
from taujp_core.training.run_store import run_folder

ROOT = Path(__file__).parents[2]
SUITE = load_suite("mini")
TASKS = ("uci", "signs")
IMAGES = 40
ANSWERS: dict = {}


def pair(clip, method: str) -> list[TaskVector]:
    return [
        TaskVector(random_like(clip.theta0, k, 0.02), clip.fingerprint, task, method) for k, task in enumerate(TASKS)
    ]


def answers(clip, method: str, alphas: list[float], name: str, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels of θ₀ + Σ ατ, each evaluated by itself, once for all tests."""
    key = (method, *alphas, name, split)
    if key not in ANSWERS:
        ANSWERS[key] = evaluated(clip, method, alphas, name, split)
    return ANSWERS[key]


def evaluated(clip, method: str, alphas: list[float], name: str, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    task = SUITE.task(name)
    images, labels = load_split(task, split)[:IMAGES]
    vectors = pair(clip, method)
    if method == "standard":
        found = features(clip.encoder, edited(clip.theta0, vectors, alphas), images)
    else:
        zeros = {key: torch.zeros_like(value) for key, value in clip.theta0.items()}
        found = linearised_features(clip.encoder, clip.theta0, edited(zeros, vectors, alphas), images)
    return logits(found, zero_shot_head(clip, task.classes, task.templates)), labels


@pytest.fixture(scope="module")
def tables(mini):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analysis.calibration.merged, "COEFFICIENTS", (0.0, 0.4, 1.0))
        return {method: measure_merge(mini, SUITE, pair(mini, method), IMAGES) for method in ("standard", "linear")}


def near(expected: dict[str, float]) -> object:
    # One image may sit on a boundary, of two classes or of two bins: the sums are taken in another order.
    return pytest.approx(expected, abs=1.5 / IMAGES)


@pytest.mark.parametrize("method", ["standard", "linear"])
def test_curves_are_those_of_the_merged_model(method, tables, mini):
    curves = tables[method][0].set_index(["task", "coefficient"])
    assert len(curves) == 6
    for alpha in (0.0, 0.4, 1.0):
        expected = score(*answers(mini, method, [alpha, alpha], "signs", "test"))
        assert curves.loc[("signs", alpha)].to_dict() == near(expected)


@pytest.mark.parametrize("method", ["standard", "linear"])
def test_temperatures_are_fitted_on_validation_to_the_expert_or_the_merged_model(method, tables, mini):
    tempered = tables[method][1].set_index(["task", "model", "temperature_of"])
    assert len(tempered) == 2 * (2 + 3 + 3)
    for k, task in enumerate(TASKS):
        own = [float(k == t) for t in range(2)]
        alpha = tempered.coefficient[task, "tuned", "none"]
        wanted = {"expert": own, "one-shot": [1.0, 1.0], "tuned": [alpha, alpha]}
        fitted = {
            model: fit_temperature(*answers(mini, method, point, task, "validation")) for model, point in wanted.items()
        }
        for (_, model, temperature_of), row in tempered.loc[[task]].iterrows():
            t = {"none": 1.0, "expert": fitted["expert"], "merged": fitted[model]}[temperature_of]
            assert row.temperature == pytest.approx(t, rel=1e-3)
            found, labels = answers(mini, method, wanted[model], task, "test")
            expected = score(found / t, labels)
            assert row[list(expected)].to_dict() == near(expected)
    assert tempered.temperature.nunique() > 4


def test_temperatures_and_the_tuned_coefficient_see_no_test_image(tables, mini, monkeypatch):
    def other_test_images(task, split):
        images, labels = load_split(task, split).first(IMAGES).tensors
        return Split(images.flip(0) if split == "test" else images, labels, fair=True)

    monkeypatch.setattr(analysis.calibration.merged, "COEFFICIENTS", (0.0, 0.4, 1.0))
    monkeypatch.setattr(analysis.calibration.merged, "load_split", other_test_images)
    moved = measure_merge(mini, SUITE, pair(mini, "linear"), IMAGES)[1]
    before = tables["linear"][1]
    pd.testing.assert_frame_equal(moved[["temperature", "coefficient"]], before[["temperature", "coefficient"]])
    assert not moved.accuracy.equals(before.accuracy)


def test_a_temperature_moves_no_prediction(tables):
    for _, tempered, _ in tables.values():
        assert (tempered.groupby(["task", "model"]).accuracy.nunique() == 1).all()


def test_reliability_counts_every_image_once(tables):
    reliability = tables["standard"][2]
    counts = reliability.groupby(["task", "model", "temperature_of"])["count"].sum()
    assert (counts == IMAGES).all() and len(counts) == 16
    shown = figures.pooled(reliability[reliability.model == "one-shot"])
    one = reliability[(reliability.model == "one-shot") & (reliability["count"] > 0)]
    weights = one["count"] / one["count"].sum()
    assert (shown.accuracy * shown["count"] / shown["count"].sum()).sum() == pytest.approx(
        (one.accuracy * weights).sum()
    )


def test_one_call_calibrates_a_merged_model(mini):
    merged = total(pair(mini, "standard"))
    table = calibrate(mini, SUITE, merged, TASKS, 0.4, IMAGES)
    assert list(table.index) == list(TASKS)
    temperature = fit_temperature(*answers(mini, "standard", [0.4, 0.4], "uci", "validation"))
    assert table.temperature["uci"] == pytest.approx(temperature, rel=1e-3)
    found, labels = answers(mini, "standard", [0.4, 0.4], "uci", "test")
    before, after = score(found, labels), score(found / temperature, labels)
    expected = before | {f"{name}_after": after[name] for name in ("loss", "ece", "ace")}
    assert table.loc["uci"].drop("temperature").to_dict() == near(expected)


def test_what_calibrate_does_not_accept(mini):
    merged = total(pair(mini, "standard"))
    with pytest.raises(ValueError, match=r"^the number of images must not be negative, not -1: 0 means all$"):
        calibrate(mini, SUITE, merged, TASKS, images=-1)
    with pytest.raises(ValueError, match=r"^unknown task 'cars'"):
        calibrate(mini, SUITE, merged, ["cars"], images=1)


def planted(losses: dict[str, tuple[float, float, float]]) -> pd.DataFrame:
    """NLL without, with the expert's and with the merged model's temperature, in two tasks that differ."""
    return pd.DataFrame(
        [
            {"method": method, "seed": 0, "task": task, "model": "one-shot", "temperature_of": of, "coefficient": 1.0,
             "temperature": 2.0, "accuracy": 0.5, "loss": loss + shift, "ece": loss / 10, "ace": loss / 20}
            for method, values in losses.items() for task, shift in (("uci", 0.1), ("signs", -0.1))
            for of, loss in zip(("none", "expert", "merged"), values, strict=True)
        ]
    )  # fmt: skip


def test_what_a_temperature_recovers_and_the_sentence_about_it():
    table = survival(
        summary_table(
            planted({
                "standard": (1.0, 0.7, 0.6), "linear": (1.0, 0.9, 0.6),
                "taujp-efficient": (1.0, 1.2, 0.6), "post-hoc-linearised": (1.0, 1.0, 0.999),
            })
        ),
        "one-shot",
    )  # fmt: skip
    assert table.recovered.drop("post-hoc-linearised").to_dict() == pytest.approx(
        {"standard": 0.75, "linear": 0.25, "taujp-efficient": -0.5}
    )
    assert np.isnan(table.recovered["post-hoc-linearised"])
    assert table.ece_expert["standard"] == pytest.approx(0.07)
    assert conclusion(table, "At α = 1") == (
        "At α = 1 temperatures of the single tasks recover at least 50% of what refitting takes off the NLL with ordinary "
        "fine-tuning. They recover less with linearised fine-tuning. They do harm with the τJp penalty. They have nothing to mend "
        "with post-hoc linearisation."
    )
    # Nothing to mend, and harm done all the same.
    harmed = survival(summary_table(planted({"linear": (1.0, 1.2, 0.999)})), "one-shot")
    assert (
        conclusion(harmed, "At α = 1")
        == "At α = 1 temperatures of the single tasks do harm with linearised fine-tuning."
    )


def test_what_is_said_of_the_coefficient_is_what_the_curves_say():
    curves = pd.DataFrame(
        [
            {"method": "linear", "task": task, "coefficient": alpha, "ece": ece + shift, "ace": 0.1, "loss": 1.0, "accuracy": 0.5}
            for alpha, ece in ((0.0, 0.3), (0.5, 0.1), (1.0, 0.2)) for task, shift in (("uci", 0.05), ("signs", -0.05))
        ]
    )  # fmt: skip
    assert growth(curves) == (
        "With linearised fine-tuning, the merged model's ECE is 0.300 at α = 0 and 0.200 at α = 1 (lowest: 0.100 at α = 0.5)."
    )
    assert over_coefficient(curves).ece.loc["linear"].to_dict() == pytest.approx({0.0: 0.3, 0.5: 0.1, 1.0: 0.2})


def test_the_notebook_trains_what_30_trains():
    named = {}
    for study in (AdditionStudy, CalibrationStudy):
        # A method that applies another's vectors trains none.
        trained = [config for config in study().plan(SUITE) if not find_method(config.method).vector_of]
        named[study] = {run_folder("", config, "θ₀") for config in trained}
    assert named[CalibrationStudy] == named[AdditionStudy]


def test_figures_hold_the_numbers_of_their_tables(tables):
    curves, tempered, reliability = (table.assign(method="standard", seed=0) for table in tables["standard"])
    figure = figures.curves_over_coefficient(curves, {"standard": 0.4})
    ece = next(trace for trace in figure.data if trace.name == "standard" and trace.xaxis == "x3")
    assert list(ece.y) == curves.groupby("coefficient").ece.mean().round(4).tolist()
    assert [figure.layout[f"xaxis{k}"].title.text for k in (3, 4)] == ["coefficient α"] * 2  # below the lower panels
    assert [figure.layout[f"yaxis{k}"].title.text for k in ("", 2, 3, 4)] == list(figures.PANELS.values())
    star = next(trace for trace in figure.data if trace.name == "tuned α, standard" and trace.xaxis == "x3")
    assert (star.x[0], star.y[0]) == (0.4, ece.y[1])

    figure = figures.reliability_diagrams(reliability, "one-shot")
    before = next(trace for trace in figure.data if trace.name == "without a temperature")
    one = reliability[(reliability.model == "one-shot") & (reliability.temperature_of == "none")]
    assert len(before.x) == (one.groupby("bin")["count"].sum() > 0).sum()
    assert figure.layout.xaxis.title.text == "confidence (mean in the bin)"
    assert figure.layout.yaxis.title.text == "test accuracy<br>(share of images)"

    figure = figures.temperatures_of_expert_and_merged(tempered)
    points = next(trace for trace in figure.data if trace.name == "standard")
    wanted = tempered[(tempered.model == "one-shot")].set_index(["temperature_of", "task"]).temperature
    assert list(points.x) == wanted["expert"].round(4).tolist()
    assert list(points.y) == wanted["merged"].round(4).tolist()
