"""How does one coefficient for all vectors trade the tasks against each other? A figure with a slider of its own."""

import itertools

import pandas as pd
import plotly.graph_objects as go

from ..drawing import CHOSEN, MEAN, draw, finished, grid, marks
from ..figures import SHARE, task_line
from ..palette import BLACK
from .answers import HIGHEST, LOWEST
from .gather import Explorer

SHOWN = 1.0  # where the slider stands at first
ROOM = 90  # pixels of the slider
BAR, POINT, MEAN_OF_TASKS = "at the slider's α", "the slider's α", "mean of the tasks"
MARKS = {"zero-shot": "line-ew-open", "single-task": "diamond-open", "one-shot (α = 1)": "x-thin-open"}


def common_coefficient(explorer: Explorer) -> go.Figure:
    """A column per method: accuracy of each task at the slider's α, over the accuracies at all α with the present point.

    plotly's own slider moves it, with no kernel.
    """
    curves = {answers.method: answers.curve() for answers in explorer.answers}
    bars, over = [], []
    for answers in explorer.answers:
        curve = curves[answers.method]
        shown = pd.DataFrame({BAR: curve.loc[SHOWN], **dict(zip(MARKS, answers.marks().to_numpy().T, strict=True))})
        bars.append(long(shown, "task", answers.method))
        over.append(long(curve.assign(**{MEAN_OF_TASKS: curve.mean(axis=1)}), "coefficient", answers.method))
        over.append(long(curve.mean(axis=1).loc[[SHOWN]].to_frame(POINT), "coefficient", answers.method))
    bars = pd.concat(bars)
    figure, places = grid(list(itertools.product(("tasks", "α"), curves)), len(curves), 260, list(curves), own_x=True)
    upper, lower = ({method: places[row, method] for method in curves} for row in ("tasks", "α"))
    looks = {BAR: dict(type="bar", showlegend=False)}
    looks |= {name: marks(BLACK, 11, symbol, line_width=2) for name, symbol in MARKS.items()}
    bars = bars.assign(color=bars.task.map(explorer.colours).where(bars.name == BAR))
    draw(figure, upper, bars, "task", "accuracy", looks, "name", "method")
    looks = {task: task_line(explorer.colours, task) for task in explorer.colours}
    looks |= {MEAN_OF_TASKS: MEAN, POINT: CHOSEN}
    draw(figure, lower, pd.concat(over), "coefficient", "accuracy", looks, "name", "method")
    y_axis = dict(title=f"validation accuracy<br>{SHARE}", range=[0, 1.03])
    finished(
        figure,
        places,
        "Each task at one coefficient for all vectors\nvalidation accuracy of θ₀ + α·Στ; the slider moves α",
        dict(title=""),
        y_axis,
    )
    figure.update_xaxes(title="task", row=1)
    figure.update_xaxes(title="coefficient α", range=[LOWEST - 0.05, HIGHEST + 0.05], row=2)
    return with_slider(figure, curves)


def long(table: pd.DataFrame, index: str, method: str) -> pd.DataFrame:
    """A row per value: its index, the name of its column, the method."""
    found = table.rename_axis(index).melt(ignore_index=False, var_name="name", value_name="accuracy")
    return found.reset_index().assign(method=method)


def with_slider(figure: go.Figure, curves: dict[str, pd.DataFrame]) -> go.Figure:
    """plotly's slider above the axes, which puts new numbers into the bars and points."""
    moving = [number for name in (BAR, POINT) for number, trace in enumerate(figure.data) if trace.name == name]
    alphas, steps = list(next(iter(curves.values())).index), []
    for alpha in alphas:
        found = [curve.loc[alpha].round(4) for curve in curves.values()]
        means = [[round(curve.loc[alpha].mean(), 4)] for curve in curves.values()]
        x = [*(list(values.index) for values in found), *[[alpha]] * len(found)]
        y = [*(values.tolist() for values in found), *means]
        steps.append(dict(method="restyle", label=f"{alpha:g}", args=[{"x": x, "y": y}, moving]))
    layout = figure.layout
    axes = layout.height - layout.margin.t - layout.margin.b
    slider = dict(
        active=alphas.index(SHOWN),
        steps=steps,
        currentvalue_prefix="α of all vectors: ",
        y=1 + 40 / axes,
        yanchor="bottom",
    )
    height = layout.height + ROOM
    layout.title.y = 1 - (1 - layout.title.y) * layout.height / height
    return figure.update_layout(sliders=[slider], height=height, margin_t=layout.margin.t + ROOM)
