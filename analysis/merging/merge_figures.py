"""What does a merge look like? How far each model is from the experts, a group of bars per task."""

import pandas as pd
import plotly.graph_objects as go

from ..drawing import points
from ..palette import GREY, SERIES

LOOKS = {"pre-trained": (GREY, ""), "sum": (SERIES[1], "/"), "merged": (SERIES[0], "")}  # colour, pattern
TITLES = {
    "changed": "answers unlike the expert's (share of images)",
    "distance": "squared distance from the expert (pre-trained: 1)",
}


def disagreement_bars(table: pd.DataFrame, column: str) -> go.Figure:
    """table: of `expectation.disagreement`; column: `changed` or `distance`."""
    looks = {
        model: dict(type="bar", orientation="h", marker=dict(color=colour, pattern_shape=pattern))
        for model, (colour, pattern) in LOOKS.items()
    }
    return points(
        table, "task", column, looks, by="model", row_height=16 * table.model.nunique() + 8, title="How far each model is from the tasks' experts\nunlabelled images; shorter is closer",
        category_axis=dict(title="task"), value_axis=dict(title=TITLES[column], rangemode="tozero"),
    )  # fmt: skip
