"""Published checkpoints: three short calls from a folder to a merged model; what τJp foresees; what is done about it."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import random_images, random_like
from foreign import FORMATS, finetuned

import taujp_core.training.finetune
from analysis.figures import task_colours
from analysis.products import measure_products
from analysis.published.checkpoints import (
    continue_with_penalty,
    pair_points,
    prediction_findings,
    prediction_table,
    publish,
    set_findings,
    worst_sources,
)
from analysis.published.figures import foreseen_and_seen, one_shot_of_sets
from analysis.published.study import PublishedStudy
from analysis.tau_jp import own_and_others, tau_jp
from analysis.trainings import run_configs
from taujp_core.checkpoints import load_checkpoint, load_checkpoints, save_hugging_face, save_open_clip
from taujp_core.datasets import load_split
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector, edited, total

SUITE = load_suite("mini")


def test_published_vectors_are_measured_on_every_data_set_and_merged(mini, tmp_path):
    suite, folder = load_suite("mini"), tmp_path / "published"
    folder.mkdir()
    for number, (task, kind) in enumerate([("street", "whole.pt"), ("mnist", "module.pt"), ("signs", "hugging_face")]):
        FORMATS[kind](folder / (task if kind == "hugging_face" else f"{task}.pt"), mini, finetuned(mini, number))
    vectors = load_checkpoints(folder, mini)
    table = tau_jp(mini, vectors, suite.datasets(), 4)
    assert list(table.index) == ["mnist", "signs", "street"]
    assert list(table.columns) == list(suite.datasets())

    split = load_split(suite.task("uci"), "validation").first(4)
    street = load_checkpoint(folder / "street.pt", mini)
    assert table.loc["street", "uci"] == pytest.approx(
        measure_products(mini, [street], split).tau_jp().item(), rel=1e-4
    )

    merged = edited(mini.theta0, [total(vectors)], [1.0])
    save_open_clip(mini, merged, tmp_path / "merged.safetensors")
    save_hugging_face(mini, merged, tmp_path / "merged")
    images = random_images(2)
    with torch.no_grad():
        expected = torch.func.functional_call(mini.encoder, merged, (images,))
        for path in ("merged.safetensors", "merged"):
            theta = edited(mini.theta0, [load_checkpoint(tmp_path / path, mini)], [1.0])
            assert torch.allclose(torch.func.functional_call(mini.encoder, theta, (images,)), expected, atol=1e-5)


def test_vectors_of_another_theta0_are_not_measured(mini):
    vector = TaskVector(finetuned(mini), "abcd", "street", "standard")
    with pytest.raises(ValueError, match="belongs to θ₀ abcd"):
        tau_jp(mini, vector, load_suite("mini").datasets(), 2)


def random_vectors(mini, tasks, method="standard"):
    return [
        TaskVector(random_like(mini.theta0, k, 0.004), mini.fingerprint, task, method) for k, task in enumerate(tasks)
    ]


def test_what_is_published_is_read_back_from_every_format(mini, tmp_path):
    vectors = random_vectors(mini, ["mnist", "signs", "street", "uci"])
    paths = publish(mini, vectors, tmp_path)
    assert [paths[v.task].name for v in vectors] == ["mnist.safetensors", "signs", "street.pt", "uci.safetensors"]
    for vector in vectors:
        read = load_checkpoint(paths[vector.task], mini, task=vector.task)
        assert read.task == vector.task
        assert max((read.tau[name] - value).abs().max() for name, value in vector.tau.items()) < 1e-6
    assert [vector.task for vector in load_checkpoints(tmp_path, mini)] == ["mnist", "signs", "street", "uci"]
    publish(mini, vectors[::-1], tmp_path)  # in other formats: nothing is there twice
    assert [vector.task for vector in load_checkpoints(tmp_path, mini)] == ["mnist", "signs", "street", "uci"]


def test_the_task_vectors_repositories_folders_are_read(mini, tmp_path):
    for number, task in enumerate(["Cars", "MNIST"]):
        (tmp_path / task).mkdir()
        FORMATS["whole.pt"](tmp_path / task / "finetuned.pt", mini, finetuned(mini, number))
    FORMATS["whole.pt"](tmp_path / "zeroshot.pt", mini, mini.theta0)
    torch.save({"weight": torch.zeros(2, 2)}, tmp_path / "head_Cars.pt")
    assert [vector.task for vector in load_checkpoints(tmp_path, mini)] == ["Cars", "MNIST"]


def test_every_ordered_pair_is_measured_with_its_tau_jp(mini):
    vectors = random_vectors(mini, ["mnist", "signs", "uci"])
    points = pair_points(mini, SUITE, vectors, images=4)
    assert len(points) == 6 * 2
    table = tau_jp(mini, vectors, SUITE.datasets(), 4)
    for row in points.itertuples():
        assert row.tau_jp == pytest.approx(table.loc[row.source, row.target], rel=1e-4)
    expected = (table.loc["signs", "mnist"] + table.loc["signs", "uci"]) / 2
    found = own_and_others(table, ["mnist", "signs", "uci"])
    assert found.tau_jp_others["signs"] == pytest.approx(expected)
    assert found.tau_jp_own["signs"] == table.loc["signs", "signs"]


def planted_points(sign: float) -> pd.DataFrame:
    """Five tasks, whose pairs' harm rises (or falls) with τJp."""
    pairs = [(s, t) for s in "abcde" for t in "abcde" if s != t]
    tau_jp = np.random.default_rng(0).permutation(np.arange(1.0, 1 + len(pairs)))
    harm = dict.fromkeys(("accuracy_loss", "loss_change", "changed"), sign * tau_jp)
    labels = {"source": [s for s, _ in pairs], "target": [t for _, t in pairs], "seed": 0, "application": "linearised"}
    return pd.DataFrame({**labels, "tau_jp": tau_jp, **harm})


@pytest.mark.parametrize(("sign", "rho"), [(1.0, 1.0), (-1.0, -1.0)])
def test_planted_predictions_are_found(sign, rho):
    points = planted_points(sign)
    predictions = prediction_table(points, resamples=20)
    three = prediction_table(points[points.source.isin(list("abc")) & points.target.isin(list("abc"))], resamples=20)
    assert three.low.isna().all()
    assert predictions.rho.tolist() == pytest.approx([rho] * 3)
    assert predictions.low.tolist() == pytest.approx([rho] * 3)
    worst = worst_sources(points, "linearised")
    assert list(worst.index) == list("bcdea")
    assert (worst.expected == worst.seen).all() == (sign > 0)
    hits = 5 if sign > 0 else 0
    said = prediction_findings(predictions, {"linearised": worst})
    assert f"correlation of {rho:.2f} with the rise of the loss over 20 ordered pairs" in said
    assert f"harmful vector for {hits} of 5 tasks" in said


def test_sets_are_compared_on_the_tasks_that_both_have():
    rows = [("before", "a", 0.5), ("before", "b", 0.4), ("after", "a", 0.3), ("after", "b", 0.9), ("after", "c", 0.1)]
    compared = pd.DataFrame(rows, columns=["vectors", "task", "one_shot"]).assign(application="linearised")
    assert set_findings(compared, "before", 100) == (
        "In the linearised model the set `after` reaches 0.60 at α = 1: above `before` (0.45) on average, and below it on a."
    )


def finished_vector(mini):
    return TaskVector(random_like(mini.theta0, 0, 0.04), mini.fingerprint, "uci", "standard")


def test_the_penalty_takes_tau_jp_from_a_finished_vector(mini, tmp_path, monkeypatch):
    monkeypatch.setattr(taujp_core.training.finetune, "validation_accuracy", lambda *arguments: 0.5)
    vector, names = finished_vector(mini), ["uci", "mnist"]
    changes = {"steps": 8, "batch_size": 8, "penalty_batch_size": 8, "peak_lr": 2e-4}
    after = {
        weight: continue_with_penalty(mini, vector, config, tmp_path).vector
        for weight in (0.0, 10.0)
        for config in run_configs(SUITE, ["uci"], ["taujp-efficient"], known=names, penalty_weight=weight, **changes)
    }
    found = [tau_jp(mini, v, SUITE.task("mnist"), 8).mnist.item() for v in (vector, after[0.0], after[10.0])]
    assert found[2] < 0.9 * found[0]
    assert found[2] < 0.9 * found[1]


def test_the_figures_show_every_pair_and_every_set(mini):
    points = pd.concat([planted_points(1.0).assign(application=a) for a in ("linearised", "encoder")])
    colours = task_colours(list("abcde"))
    figure = foreseen_and_seen(points, "loss_change", colours)
    assert sum(len(trace.x) for trace in figure.data) == 40
    assert sorted({trace.name for trace in figure.data if trace.showlegend}) == [f"on {t}" for t in "abcde"]
    rows = [(name, task, 0.5, 0.6) for name in ("before", "after") for task in "ab"]
    compared = pd.DataFrame(rows, columns=["vectors", "task", "one_shot", "best"])
    compared = pd.concat([compared.assign(application=a) for a in ("linearised", "encoder")])
    bars = [trace for trace in one_shot_of_sets(compared, colours).data if trace.type == "bar"]
    assert [list(bar.x) for bar in bars] == [[0.5, 0.5]] * 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (dict(tasks=["mnist"]), "a merge takes at least two different published tasks, not mnist"),
        (dict(tasks=["mnist", "cars"]), "unknown task 'cars'"),
        (dict(new_task="signs"), "signs is published already: the new task must be another"),
        (dict(new_task="cars"), "unknown task 'cars'"),
        (dict(continued="uci"), "unknown published task to continue 'uci': accepted are mnist, signs"),
        (dict(recipe={"steps": 0}), "steps must be at least 1, not 0"),
    ],
)
def test_a_wrong_plan_gets_a_sentence(changes, sentence):
    asked = {"tasks": ["mnist", "signs"], "new_task": "uci", "continued": "", "recipe": {}, "further": {}}
    PublishedStudy(**asked).plan(SUITE)
    with pytest.raises(ValueError, match=sentence):
        PublishedStudy(**{**asked, **changes}).plan(SUITE)
