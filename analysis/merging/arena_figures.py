"""How is the race of the merges shown?

Five merges have names, the others are grey. A merge keeps its mark in all figures; its colour says what it needs.
"""

import pandas as pd
import plotly.graph_objects as go

from ..drawing import lines, marked_line
from ..figures import SHARE
from ..palette import BLACK, GREY, SERIES
from .arena import OURS, OURS_WITH_CONTROL, merges, needs_table

NAMED = 5
OWN = {OURS: BLACK, OURS_WITH_CONTROL: GREY}
PLAIN_SUM = "task arithmetic"
NEEDED = "blue: needs no images; ochre: images; lilac: class names, too"  # SERIES[needs]
MARKS = (
    "cross", "x", "circle", "diamond", "diamond-tall", "hourglass", "bowtie", "hexagram", "square", "star-square", "pentagon",
    "octagon", "triangle-left", "triangle-up", "star-triangle-up", "triangle-down", "triangle-right", "star-diamond",
    "star-triangle-down", "diamond-wide", "triangle-ne", "triangle-se", "triangle-sw", "triangle-nw",
)  # fmt: skip


def needs() -> dict[str, int]:
    """By merge: 0 without images, 1 with unlabelled images, 2 with class names as well."""
    table = needs_table().set_index("name")
    return (table.images.astype(int) + table.class_names.astype(int)).to_dict()


def colour(merge: str) -> str:
    return OWN.get(merge) or SERIES[needs()[merge]]


def symbol(merge: str) -> str:
    return MARKS[merges().index(merge) % len(MARKS)]


def named(accuracies: pd.Series) -> list[str]:
    """The merges that matter: ours, the plain sum, the best without and the best with images; then the next best."""
    best, need = list(accuracies.sort_values(ascending=False).index), needs()
    free = [merge for merge in best if need[merge] == 0 and merge != PLAIN_SUM]
    seeing = [merge for merge in best if need[merge] and merge not in OWN]
    order = dict.fromkeys([*OWN, PLAIN_SUM, *free[:1], *seeing[:1], *best])
    return [merge for merge in order if merge in best][:NAMED]


def looks_of(table: pd.DataFrame, accuracy: str) -> dict[str, dict]:
    """A line per merge, ours thicker, those without a name thin and grey, below the others. table: merge, accuracy."""
    shown = named(table.groupby("merge")[accuracy].mean())
    others = [merge for merge in table["merge"].unique() if merge not in shown]
    grey = marked_line("#949494", 1, size=5) | dict(
        name=f"{len(others)} other merges", legendgroup="others", legendrank=2000
    )
    return dict.fromkeys(others, grey) | {
        merge: marked_line(
            colour(merge), 3 if merge in OWN else 2, size=12 if merge in OWN else 10, symbol=symbol(merge)
        )
        for merge in shown
    }


def accuracy_versus_seconds(summary: pd.DataFrame) -> go.Figure:
    """A panel per method of the vectors: mean test accuracy over seconds of the merge (log scale), means over seeds.

    Filled: at α = 1; open, joined to it by a line: at the α tuned on validation.
    """
    means = summary.groupby(["method", "merge"], sort=False)[["seconds", "one_shot", "tuned"]].mean().reset_index()
    looks = looks_of(means[means.method == means.method.iloc[0]], "one_shot")
    marks = means["merge"].map(lambda merge: looks[merge]["marker"]["symbol"])
    means = means.assign(seconds=means.seconds.clip(lower=0.01), text=means["merge"])
    ends = [
        means.assign(accuracy=means.one_shot, symbol=marks),
        means.assign(accuracy=means.tuned, symbol=marks + "-open"),
    ]
    ticks = [0.01, 0.1, 1, 10, 100, 1000]
    return lines(
        pd.concat(ends), "seconds", "accuracy", looks, by="merge", panel="method", height=420,
        title=f"How accurate each merge is, and how slow\nfilled: α = 1; open: α tuned; {NEEDED}",
        x_axis=dict(type="log", title="seconds per merge (log scale)", tickvals=ticks, ticktext=[f"{t:g}" for t in ticks]),
        y_axis=dict(title=f"mean test accuracy of the tasks<br>{SHARE}"),
    )  # fmt: skip


def accuracy_versus_images(table: pd.DataFrame, everything: int) -> go.Figure:
    """Mean test accuracy of the tasks at α = 1 over images per task (log scale; `everything`: what 0 stands for).

    Data-free merges are dashed levels.
    """
    with_images = table[~table.data_free].assign(images=lambda rows: rows.images.replace(0, everything))
    counts = sorted(with_images.images.unique().tolist())
    free = table[table.data_free]
    levels = pd.concat([free.assign(images=counts[0]), free.assign(images=counts[-1])])
    looks = looks_of(table, "accuracy")
    looks |= {merge: looks[merge] | dict(line=looks[merge]["line"] | dict(dash="dash")) for merge in free["merge"]}
    words = [f"{count}" + (" (all)" if count == everything else "") for count in counts]
    return lines(
        pd.concat([with_images.sort_values("images"), levels]), "images", "accuracy", looks, by="merge", height=380,
        title="Accuracy of merges at α = 1, by their images\ndashed: merges that need no images",
        x_axis=dict(type="log", title="images per task (log scale)", tickvals=counts, ticktext=words),
        y_axis=dict(title=f"mean test accuracy of the tasks<br>{SHARE}"),
    )  # fmt: skip


def accuracy_versus_tasks(table: pd.DataFrame) -> go.Figure:
    """Mean normalised test accuracy at α = 1 over the number of tasks."""
    return lines(
        table.sort_values("tasks"), "tasks", "normalised", looks_of(table, "normalised"), by="merge", height=380,
        title=f"Accuracy of merges at α = 1, by their tasks\n{NEEDED}",
        x_axis=dict(title="number of merged tasks", tickvals=sorted(table.tasks.unique().tolist())),
        y_axis=dict(title="mean normalised test accuracy<br>(1: the experts’)"),
    )  # fmt: skip
