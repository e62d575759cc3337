"""How do the stress tests look?"""

import pandas as pd
import plotly.graph_objects as go

from ..drawing import marks, points
from ..figures import SHARE
from ..palette import method_look
from .arena_figures import NEEDED, colour, symbol
from .stress import CONDITIONS, PLAIN_SUM


def in_order(raced: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, the conditions in their order."""
    means = raced.groupby(["method", "merge", "condition"], sort=False)[["one_shot"]].mean().reset_index()
    order = means.condition.map({condition: place for place, condition in enumerate(CONDITIONS)})
    return means.assign(order=order).sort_values("order", kind="stable")


def sums_under_stress(raced: pd.DataFrame) -> go.Figure:
    """A mark per method: accuracy of the plain sum at α = 1 under each condition. raced: of `stress.race`."""
    means = in_order(raced[raced["merge"] == PLAIN_SUM])
    looks = {name: marks(method_look(name)[0], 12, method_look(name)[1]) for name in means.method.unique()}
    return points(
        means, "condition", "one_shot", looks, by="method", row_height=44,
        title="Which vectors survive the stress tests\nthe plain sum of the vectors of each method, at α = 1",
        category_axis=dict(title="experts"), value_axis=dict(title=f"mean test accuracy of the tasks {SHARE}"),
    )  # fmt: skip


def merges_under_stress(raced: pd.DataFrame) -> go.Figure:
    """A mark per merge, a panel per method that has other merges than the plain sum: accuracy at α = 1 under each condition."""
    several = raced.groupby("method")["merge"].transform("nunique") > 1
    means = in_order(raced[several])
    looks = {name: marks(colour(name), 12, symbol(name)) for name in means["merge"].unique()}
    return points(
        means, "condition", "one_shot", looks, by="merge", panel="method", row_height=44,
        title=f"Which merges survive the stress tests\nat α = 1; {NEEDED}",
        category_axis=dict(title="experts"), value_axis=dict(title=f"mean test accuracy of the tasks {SHARE}"),
    )  # fmt: skip
