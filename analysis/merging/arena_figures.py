"""How is the race of the merges shown?

A merge keeps its colour and its symbol in all figures: stars are ours, circles need no data, squares unlabelled images,
diamonds class names as well.
"""

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from ..drawing import line, lines, marked_line
from .arena import MERGES, OURS, OURS_WITH_CONTROL, needs_table

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


def looks_of(merges: pd.Series) -> dict[str, dict]:
    """A line per merge, ours thicker."""
    found = {}
    for merge in merges.unique():
        width, size = (3, 12) if merge in OWN else (1.5, 8)
        found[merge] = marked_line(colour(merge), width, size=size, symbol=symbol(merge))
    return found


def accuracy_versus_seconds(summary: pd.DataFrame) -> go.Figure:
    """A panel per method of the vectors: mean test accuracy over seconds of the merge (log scale), means over seeds.

    Filled: at α = 1; open, joined to it by a line: at the α tuned on validation.
    """
    means = summary.groupby(["method", "merge"], sort=False)[["seconds", "one_shot", "tuned"]].mean().reset_index()
    means = means.assign(seconds=means.seconds.clip(lower=0.01), filled=means["merge"].map(symbol))
    ends = [
        means.assign(accuracy=means.one_shot, symbol=means.filled),
        means.assign(accuracy=means.tuned, symbol=means.filled + "-open"),
    ]
    ticks = [0.01, 0.1, 1, 10, 100, 1000]
    return lines(
        pd.concat(ends), "seconds", "accuracy", looks_of(means["merge"]), by="merge", panel="method", height=420,
        title="Accuracy against time (filled: α = 1, open: α tuned)",
        x_axis=dict(type="log", title="seconds (log scale)", tickvals=ticks, ticktext=[f"{t:g}" for t in ticks]),
        y_axis=dict(title="mean test accuracy of the tasks"),
    )  # fmt: skip


def accuracy_versus_images(table: pd.DataFrame, everything: int) -> go.Figure:
    """Mean test accuracy of the tasks at α = 1 over images per task (log scale; `everything`: what 0 stands for).

    Data-free merges are dashed levels.
    """
    with_images = table[~table.data_free].assign(images=lambda rows: rows.images.replace(0, everything))
    counts = sorted(with_images.images.unique().tolist())
    free = table[table.data_free]
    levels = pd.concat([free.assign(images=counts[0]), free.assign(images=counts[-1])])
    looks = looks_of(with_images["merge"]) | {merge: line(colour(merge), 1.5, "dash") for merge in free["merge"]}
    words = [f"{count}" + (" (all)" if count == everything else "") for count in counts]
    return lines(
        pd.concat([with_images.sort_values("images"), levels]), "images", "accuracy", looks, by="merge", height=380,
        title="Accuracy at α = 1 against images per task (dashed: no images needed)",
        x_axis=dict(type="log", title="images per task (log scale)", tickvals=counts, ticktext=words),
        y_axis=dict(title="mean test accuracy of the tasks"),
    )  # fmt: skip


def accuracy_versus_tasks(table: pd.DataFrame) -> go.Figure:
    """Mean normalised test accuracy at α = 1 over the number of tasks."""
    return lines(
        table.sort_values("tasks"), "tasks", "normalised", looks_of(table["merge"]), by="merge", height=380,
        title="Accuracy at α = 1 against the number of tasks",
        x_axis=dict(title="number of tasks", tickvals=sorted(table.tasks.unique().tolist())),
        y_axis=dict(title="mean normalised test accuracy<br>(1: the experts')"),
    )  # fmt: skip
