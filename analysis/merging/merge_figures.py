"""What does a merge look like? How far each model is from the experts, a group of bars per task."""

import pandas as pd
import plotly.graph_objects as go

from ..drawing import points

COLOURS = {"pre-trained": "#999999", "sum": "#d95f02", "merged": "#1b9e77"}
TITLES = {
    "changed": "answers unlike the expert's (share of images)",
    "distance": "squared distance from the expert (pre-trained: 1)",
}


def disagreement_bars(table: pd.DataFrame, column: str) -> go.Figure:
    """table: of `expectation.disagreement`; column: `changed` or `distance`."""
    looks = {model: dict(type="bar", orientation="h", marker_color=colour) for model, colour in COLOURS.items()}
    return points(
        table, "task", column, looks, by="model", row_height=16 * table.model.nunique() + 8, title="Models and the experts",
        category_axis=dict(title="task"), value_axis=dict(title=TITLES[column], rangemode="tozero"),
    )  # fmt: skip
