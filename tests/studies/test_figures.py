"""Figures hold the numbers of their tables, name their axes, and keep a task's colour."""

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from analysis import drawing, figures, notebook, palette
from analysis.continual.figures import accuracy_matrices

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
    assert figure.layout.yaxis.title.text == "test accuracy<br>(share of images)"


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


@pytest.mark.parametrize(
    ("methods", "data"), [(["standard", "linear"], "abcdefghi"), (["standard", "linear", "tak"], "abcde"), (["linear"], "abcdefghi")]
)  # fmt: skip
def test_many_columns_have_room_for_their_numbers_in_a_narrow_cell(methods, data):
    figure = figures.tau_jp_matrix(tau_jp_table(methods, data))
    axes = [figure.layout[trace.xaxis.replace("x", "xaxis")] for trace in figure.data]
    assert len({trace.yaxis for trace in figure.data}) == len(methods)
    widths = [axis.domain[1] - axis.domain[0] for axis in axes]
    margin = figure.layout.margin
    cell = min(widths) * (368 - margin.l - margin.r) / len(data)
    assert cell >= len("63.3") * 6.5  # pixels of a digit
    bar = figure.layout.coloraxis.colorbar
    assert bar.orientation == "h" and bar.title.text == "τJp (log scale)"  # below, where it takes no width


def test_few_columns_stand_side_by_side():
    few = figures.tau_jp_matrix(tau_jp_table(["standard", "linear"], "abcd"))
    assert few.layout.xaxis.domain[1] < 0.5 and few.layout.coloraxis.colorbar.orientation is None


def tau_jp_table(methods: list[str], data: str) -> pd.DataFrame:
    rows = [(method, task, name, 63.3) for method in methods for task in "abcdefgh" for name in data]
    return pd.DataFrame(rows, columns=["method", "vector", "data_set", "tau_jp"])


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
    assert figure.layout.xaxis3.title.text == "optimiser step"


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


def test_panels_wrap_to_a_cells_width_and_the_legend_has_every_name_once():
    methods = ["standard", "post-hoc-linearised", "linear", "taujp-strict", "taujp-efficient"]
    curves, single = (
        pd.concat([table[table.method == "linear"].assign(method=name) for name in methods]) for table in tables()
    )
    tuned = dict.fromkeys(methods, 0.75)
    figure = figures.accuracy_versus_coefficient(curves, single, tuned, figures.task_colours(TASKS))
    assert figure.layout.width is None and figure.layout.template.layout.autosize  # as wide as its cell
    assert drawing.WIDTH <= 945  # of the stored picture
    assert len({axis.domain for axis in figure.select_xaxes()}) == 3
    assert len({axis.domain for axis in figure.select_yaxes()}) == 2
    named = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(named) == sorted({trace.name for trace in figure.data})
    assert [axis.title.text for axis in figure.select_xaxes()] == [None, None, *["coefficient α"] * 3]
    star = next(trace for trace in figure.data if trace.name == "α tuned on validation")
    assert (star.x, star.y) == ((0.75,), (0.335,))  # between 0.31 at 0.5 and 0.36 at 1


def test_the_chosen_coefficient_of_a_negation_is_marked_on_both_means():
    curves = pd.DataFrame(
        [("linear", 0, "uci", alpha, 0.8 - 0.6 * alpha, 0.7 - 0.1 * alpha) for alpha in (0.0, 0.5, 1.0)],
        columns=["method", "seed", "task", "coefficient", "target", "control"],
    )
    test = pd.DataFrame({"method": "linear", "choice": ["tuned", "one-shot"], "coefficient": [0.5, 1.0]})
    by_name = {trace.name: trace for trace in figures.negation_curves(curves, test, {"uci": "red"}).data}
    assert (by_name["mean tuned α"].x, by_name["mean tuned α"].y) == ((0.5, 0.5), (0.5, 0.65))
    assert by_name["95 % of the control's accuracy"].y == (0.665, 0.665)


def test_light_is_good_in_every_matrix():
    tau_jp = pd.DataFrame({"method": "linear", "vector": ["a", "b"], "data_set": ["b", "a"], "tau_jp": [0.5, 2.0]})
    maps = pd.DataFrame({"method": "linear", "alpha_1": [0.0, 1.0], "alpha_2": [1.0, 0.0], "error": [0.0, 2.0]})
    arrivals = pd.DataFrame(
        {"method": "linear", "order": 1, "arrival": [1, 2], "position": [1, 2], "task": ["a", "b"], "accuracy": 0.5}
    )
    drawn = [figures.tau_jp_matrix(tau_jp), figures.disentanglement_maps(maps, TASKS), accuracy_matrices(arrivals, 1)]
    scales = [figure.layout.coloraxis.colorscale for figure in drawn]
    assert scales[0] == scales[1] == scales[2]
    brightness = [sum(int(colour[k : k + 2], 16) for k in (1, 3, 5)) for _, colour in scales[0]]
    assert brightness[0] < brightness[-1]
    # Little τJp and little error are good, and so is much accuracy.
    assert [figure.layout.coloraxis.reversescale for figure in drawn] == [True, True, False]
    assert np.isnan(np.array(drawn[0].data[0].z, float)).sum() == 2  # and what was not measured has no colour


def test_categories_go_down_and_intervals_have_two_sides():
    table = pd.DataFrame(
        {"arm": ["a", "b"], "effect": [0.2, 0.4], "low": [0.1, 0.1], "high": [0.5, 0.6], "name": "all"}
    )
    figure = drawing.points(
        table, "arm", "effect", {"all": drawing.marks("red")}, title="", category_axis={"title": "arm"},
        value_axis={"title": "effect"},
    )  # fmt: skip
    (trace,) = figure.data
    assert (trace.y, trace.x) == (("a", "b"), (0.2, 0.4))
    assert (trace.error_x.array, trace.error_x.arrayminus) == ((0.3, 0.2), (0.1, 0.3))
    bottom, top = figure.layout.yaxis.range
    assert bottom > top


def test_a_task_has_its_mark_beside_its_colour_and_a_star_is_the_chosen_coefficient():
    curves, single = tables()
    colours = figures.task_colours(["mnist", *TASKS])
    figure = figures.accuracy_versus_coefficient(curves, single, {"standard": 0.5}, colours)
    marks = {trace.name: trace.marker.symbol for trace in figure.data if trace.mode != "lines"}
    assert marks == {"uci": palette.SYMBOLS[1], "signs": palette.SYMBOLS[2], "α tuned on validation": "star"}


def test_titles_break_where_a_narrow_cell_ends_and_have_room():
    def figure(title):
        table = pd.DataFrame({"name": "a", "x": [0, 1], "y": [0, 1]})
        axis = {"title": "a long name of an axis with units and with much else (log scale)"}
        return drawing.lines(table, "x", "y", {"a": drawing.line("black")}, title=title, x_axis=axis, y_axis=axis)

    short, noted, long = map(figure, ["short", "short\nand a note", "long " * 20 + "\n" + "and a note " * 10])
    plots = [one.layout.height - one.layout.margin.t - one.layout.margin.b for one in (short, noted, long)]
    assert plots == [300, 300, 300]
    assert short.layout.margin.t < noted.layout.margin.t < long.layout.margin.t
    rows = re.sub("<(?!br)[^>]*>", "", long.layout.title.text).split("<br>")
    assert max(map(len, rows)) <= 62 and len(rows) == 5
    assert max(map(len, long.layout.xaxis.title.text.split("<br>"))) <= drawing.NARROW[1]


def test_a_stored_picture_is_as_wide_as_the_cell_and_the_data_are_free(monkeypatch):
    monkeypatch.delenv("PLOTLY_RENDERER", raising=False)
    asked = {}
    figure = drawing.go.Figure()
    monkeypatch.setattr(type(figure), "show", lambda self, **options: asked.update(options))
    notebook.show(figure)
    assert asked["width"] == drawing.WIDTH
    assert figure.layout.width is None
