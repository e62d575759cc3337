"""How do cost and accuracy, sensitivity to λ, and the budget law look?"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ..drawing import lines, marks, method_line, plain
from ..palette import GREY, method_look

FRONT = dict(mode="lines", line=dict(color=GREY, width=1.5, dash="dot", shape="hv"))


def accuracy_and_cost(sums: pd.DataFrame, front: pd.DataFrame) -> go.Figure:
    """A mark per method, a mean over seeds: accuracy of the sum at α = 1, and single-task accuracy, over seconds per training.

    sums: method, seed, seconds, one_shot, single_task; front: those rows of their means that no other beats, by seconds.
    """
    means = sums.groupby("method", sort=False)[["seconds", "one_shot", "single_task"]].mean().reset_index()
    panels = {"one_shot": "the sum at α = 1", "single_task": "single tasks"}
    table = pd.concat([means.assign(name=means.method, panel=says, accuracy=means[c]) for c, says in panels.items()])
    step = front.assign(name="no other is better in both", panel=panels["one_shot"], accuracy=front.one_shot)
    looks = {"no other is better in both": FRONT}
    for method in means.method:
        colour, symbol = method_look(method)
        looks[method] = marks(colour, 12, symbol)
    return lines(
        pd.concat([step, table]), "seconds", "accuracy", looks, panel="panel", height=360,
        title="What a training costs, and what it buys\na mark per method, mean over tasks and seeds; up and left is good",
        x_axis=dict(title="seconds per training (log scale)", type="log"), y_axis=dict(title="test accuracy<br>(share of images)"),
    )  # fmt: skip


def sensitivity(weights: pd.DataFrame) -> go.Figure:
    """A line per method over λ, as multiples of its own: the sum at α = 1, and single tasks. weights: of `weights_table`."""
    panels = {"one_shot": "the sum at α = 1", "single_task": "single tasks"}
    table = pd.concat(
        [weights.assign(name=weights.method, panel=says, accuracy=weights[c]) for c, says in panels.items()]
    )
    return lines(
        table, "factor", "accuracy", {method: method_line(method) for method in weights.method.unique()}, panel="panel",
        title="How much hangs on λ\naccuracies where each method's λ is multiplied by a factor; first seed",
        x_axis=dict(title="factor of λ (log scale)", type="log", tickvals=plain(weights.factor.unique())), y_axis=dict(title="test accuracy<br>(share of images)"),
    )  # fmt: skip


def budget(points: pd.DataFrame, law: pd.DataFrame) -> go.Figure:
    """Normalised accuracy at α = 1 over penalised images of each other data set, with the fitted law, and beside it, dashed,
    methods without a penalty at their longest training.

    points: method, own_images, penalised, normalised; law: of `budget_law`. Needs a point with a penalty.
    """
    seen = points[points.penalised.gt(0)]
    ends = np.geomspace(seen.penalised.min(), seen.penalised.max(), 30)
    parts, looks = [], {}
    for method, rows in points.groupby("method", sort=False):
        colour, symbol = method_look(str(method))
        if rows.penalised.gt(0).any():
            parts.append(rows.assign(name=method))
            looks[method] = marks(colour, 11, symbol)
            for _, fit in law[law.method == method].iterrows():
                name = f"law of {method}"
                parts.append(pd.DataFrame({"name": name, "penalised": ends, "normalised": 1 - fit.a * ends**-fit.b}))
                looks[name] = dict(mode="lines", line=dict(color=colour, width=2))
        else:
            longest = rows.loc[rows.own_images.idxmax()]
            name = f"{method}, longest training"
            parts.append(pd.DataFrame({"name": name, "penalised": ends[[0, -1]], "normalised": longest.normalised}))
            looks[name] = dict(mode="lines", line=dict(color=colour, width=2, dash="dash"))
    return lines(
        pd.concat(parts), "penalised", "normalised", looks, height=360,
        title="What each further penalised image buys\nn: images of each other data set that the penalty has seen; first seed",
        x_axis=dict(title="n (log scale)", type="log"), y_axis=dict(title="accuracy at α = 1<br>(share of the single task's)"),
    )  # fmt: skip
