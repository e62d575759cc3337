"""What does a merge look like? How far each model is from the experts, a group of bars a task."""

import pandas as pd
import plotly.graph_objects as go

COLOURS = {"pre-trained": "#999999", "sum": "#d95f02", "merged": "#1b9e77"}


def disagreement_bars(table: pd.DataFrame, column: str) -> go.Figure:
    """table: of `expectation.disagreement`; column: `changed` or `distance`."""
    titles = {
        "changed": "answers unlike the expert's (share)",
        "distance": "squared distance from expert (pre-trained: 1)",
    }
    figure = go.Figure()
    for model, rows in table.groupby("model", sort=False):
        figure.add_bar(x=rows.task, y=rows[column], name=model, marker_color=COLOURS[model])
    figure.update_layout(
        barmode="group", template="plotly_white", width=760, height=380, legend_title_text="model",
        xaxis_title="task", yaxis_title=titles[column], yaxis_rangemode="tozero", margin=dict(l=70, r=20, t=30, b=60),
    )  # fmt: skip
    return figure
