"""Figures hold the numbers of their tables, name their axes, and keep a task's colour."""

import base64
import io

import numpy as np
import pandas as pd
import torch
from PIL import Image

from analysis import figures

TASKS = ["uci", "signs"]


def tables():
    curves = pd.DataFrame(
        [
            {"method": method, "seed": seed, "task": task, "split": split, "coefficient": alpha,
             "accuracy": 0.1 + 0.3 * k + 0.1 * alpha + 0.02 * seed, "normalised": 1.0}
            for method in ("standard", "linear") for seed in (0, 1) for k, task in enumerate(TASKS)
            for split in ("validation", "test") for alpha in (0.0, 0.5, 1.0)
        ]
    )  # fmt: skip
    single = curves[curves.coefficient == 1.0].assign(accuracy=0.9)
    return curves, single


def test_curves_show_tasks_mean_levels_and_the_tuned_coefficient():
    curves, single = tables()
    colours = figures.task_colours(["mnist", *TASKS])
    figure = figures.accuracy_versus_coefficient(curves, single, {"standard": 0.5, "linear": 1.0}, colours)
    by_name = {(trace.name, trace.xaxis): trace for trace in figure.data}
    assert list(by_name[("uci", "x")].y) == [0.11, 0.16, 0.21]  # mean over the two seeds
    assert by_name[("uci", "x")].line.color == by_name[("uci", "x2")].line.color == colours["uci"]
    assert by_name[("mean of the tasks", "x")].line.width > by_name[("uci", "x")].line.width
    assert list(by_name[("mean of the tasks", "x")].y) == [0.26, 0.31, 0.36]
    assert list(by_name[("zero-shot mean", "x")].y) == [0.26, 0.26]
    assert list(by_name[("mean of the single-task models", "x")].y) == [0.9, 0.9]
    assert by_name[("α tuned on validation", "x")].x == (0.5,)
    assert by_name[("α tuned on validation", "x2")].x == (1.0,)
    assert figure.layout.xaxis.title.text == "coefficient α"
    assert figure.layout.yaxis.title.text == "test accuracy"


def test_tasks_keep_their_colours_whatever_is_drawn():
    suite = ["mnist", "uci", "signs"]
    assert figures.task_colours(suite)["signs"] == figures.task_colours([*suite, "shapes"])["signs"]
    assert len(set(figures.task_colours([str(k) for k in range(9)]).values())) == 9


def test_the_matrix_has_vectors_in_rows_and_data_sets_in_columns():
    table = pd.DataFrame(
        [
            {"method": "linear", "seed": seed, "vector": vector, "data_set": data, "tau_jp": value + seed}
            for seed in (0, 1)
            for vector, data, value in (("uci", "uci", 9.5), ("uci", "signs", 0.5), ("signs", "uci", 1.5), ("signs", "signs", 99.5))
        ]
    )  # fmt: skip
    (heat,) = figures.tau_jp_matrix(table).data
    assert (list(heat.y), list(heat.x)) == (["uci", "signs"], ["uci", "signs"])
    assert np.allclose(heat.z, np.log10([[10, 1], [2, 100]]), atol=1e-3)


def test_training_curves_leave_out_a_penalty_that_there_is_not():
    record = {
        "config": {"task": "uci", "method": "linear", "seed": 0, "penalty_weight": 0.0, "penalty_start": 0},
        "history": [{"step": 1, "loss": 2.0, "penalty": 0.0}, {"step": 2, "loss": 1.0, "penalty": 0.5}],
        "curve": [{"step": 0, "validation_accuracy": 0.1}],
    }
    assert len(figures.training_curves(record).data) == 2
    record["config"].update(method="taujp-strict", penalty_weight=0.3, penalty_start=1)
    figure = figures.training_curves(record)
    assert list(figure.data[1].x) == [2]
    assert figure.layout.yaxis2.title.text == "mean ‖Jτ‖₂, other data"


def test_the_contact_sheet_puts_a_name_in_a_row():
    images = {
        "a": torch.zeros(3, 3, 32, 32, dtype=torch.uint8),
        "b": torch.full((3, 3, 32, 32), 255, dtype=torch.uint8),
    }
    figure = figures.contact_sheet(images, "two")
    png = base64.b64decode(figure.data[0].source.removeprefix("data:image/png;base64,"))
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    assert pixels.shape == (64, 96, 3)
    assert pixels[:32].max() == 0
    assert pixels[32:].min() == 255
    assert list(figure.layout.yaxis.ticktext) == ["a", "b"]


def test_a_map_has_the_first_vectors_coefficient_to_the_right():
    maps = pd.DataFrame(
        [
            {"method": "linear", "alpha_1": first, "alpha_2": second, "error": first + 10 * second}
            for first in (0.0, 1.0) for second in (0.0, 1.0)
        ]
    )  # fmt: skip
    figure = figures.disentanglement_maps(maps, TASKS)
    (heat,) = figure.data
    assert np.array_equal(heat.z, [[0.0, 1.0], [10.0, 11.0]])  # a row for each α₂
    assert figure.layout.xaxis.title.text == "coefficient α₁ of uci"
    assert figure.layout.yaxis.title.text == "coefficient α₂ of signs"
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 2)
