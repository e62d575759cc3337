"""How is the race of the merges shown?

A merge keeps its colour and its symbol in all figures: stars are ours, circles need no data, squares unlabelled images,
diamonds class names as well.
"""

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..figures import styled
from .arena import MERGES, OURS, OURS_WITH_CONTROL, means_of, needs_table

# Apart from the two of ours, which are black and grey.
COLOURS = px.colors.qualitative.D3 + px.colors.qualitative.Dark2
OWN = {OURS: "#000000", OURS_WITH_CONTROL: "#7f7f7f"}


def colour(merge: str) -> str:
    return OWN.get(merge) or COLOURS[MERGES.index(merge) % len(COLOURS)]


def symbol(merge: str) -> str:
    if merge in OWN:
        return "star"
    needs = needs_table().set_index("name").loc[merge]
    return "diamond" if needs.class_names else "square" if needs.images else "circle"


def accuracy_versus_seconds(summary: pd.DataFrame) -> go.Figure:
    """A panel a method of the vectors: mean test accuracy over seconds of the merge (log scale), means over seeds.

    Filled: at α = 1; open, joined to it by a line: at the α tuned on validation.
    """
    methods = means_of(summary)
    figure = make_subplots(cols=len(methods), shared_yaxes=True, subplot_titles=list(methods), horizontal_spacing=0.03)
    shown = set()
    for column, means in enumerate(methods.values(), 1):
        for merge, row in means.iterrows():
            seconds = max(row.seconds, 0.01)
            figure.add_scatter(
                x=[seconds] * 2, y=[round(row.one_shot, 4), round(row.tuned, 4)], name=merge, legendgroup=merge,
                showlegend=merge not in shown, mode="lines+markers", line=dict(color=colour(merge), width=1),
                marker=dict(
                    symbol=[symbol(merge), f"{symbol(merge)}-open"], color=colour(merge),
                    size=15 if merge in OWN else 10, line=dict(width=1.5, color=colour(merge)),
                ),
                row=1, col=column,
            )  # fmt: skip
            shown.add(merge)
    ticks = [0.01, 0.1, 1, 10, 100, 1000]
    figure.update_xaxes(
        type="log", title="seconds a merge (log scale)", tickvals=ticks, ticktext=[f"{t:g}" for t in ticks]
    )
    figure.update_yaxes(title="mean test accuracy of the tasks", col=1)
    title = "Accuracy against time (filled: α = 1, open: α tuned)"
    height = max(560, 170 + 30 * len(shown))  # room for a line a merge in the legend
    return styled(figure, title, height, 330 + 300 * len(methods))


def lines(table: pd.DataFrame, x: str, y: str) -> list[go.Scatter]:
    """A line a merge."""
    return [line(merge, rows.sort_values(x), x, y) for merge, rows in table.groupby("merge", sort=False)]


def line(merge: str, rows: pd.DataFrame, x: str, y: str) -> go.Scatter:
    ours = merge in OWN
    marker = dict(symbol=symbol(merge), size=12 if ours else 8)
    width = dict(color=colour(merge), width=3 if ours else 1.5)
    return go.Scatter(
        x=rows[x].tolist(), y=rows[y].round(4).tolist(), name=merge, mode="lines+markers", line=width, marker=marker
    )


def accuracy_versus_images(table: pd.DataFrame, everything: int) -> go.Figure:
    """Mean test accuracy of the tasks at α = 1 over images a task (log scale; `everything`: what 0 stands for).

    Data-free merges are dashed levels.
    """
    with_images = table[~table.data_free].assign(images=lambda rows: rows.images.replace(0, everything))
    counts = sorted(with_images.images.unique().tolist())
    figure = go.Figure(lines(with_images, "images", "accuracy"))
    for row in table[table.data_free].to_dict("records"):
        figure.add_scatter(
            x=[counts[0], counts[-1]], y=[round(row["accuracy"], 4)] * 2, name=row["merge"], mode="lines",
            line=dict(color=colour(row["merge"]), dash="dash", width=1.5),
        )  # fmt: skip
    words = [f"{count}" + (" (all)" if count == everything else "") for count in counts]
    figure.update_xaxes(type="log", title="images a task (log scale)", tickvals=counts, ticktext=words)
    figure.update_yaxes(title="mean test accuracy of the tasks")
    return styled(figure, "Accuracy at α = 1 against images a task (dashed: no images needed)", 520, 860)


def accuracy_versus_tasks(table: pd.DataFrame) -> go.Figure:
    """Mean normalised test accuracy at α = 1 over the number of tasks."""
    figure = go.Figure(lines(table, "tasks", "normalised"))
    figure.update_xaxes(title="number of tasks", tickvals=sorted(table.tasks.unique().tolist()))
    figure.update_yaxes(title="mean normalised test accuracy<br>(1: the experts')")
    return styled(figure, "Accuracy at α = 1 against the number of tasks", 520, 860).update_layout(margin_l=100)
