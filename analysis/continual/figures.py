"""How do tasks fare that arrive one by one, as pictures?

Figures of continual learning: from tidy tables to plotly.
"""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..figures import METHOD_COLOURS, styled

COLOURS = METHOD_COLOURS | {
    "sequential": "#8c564b",
    "taujp-memory": "#ff7f0e",
    "taujp-joint": "#2ca02c",
    "zero-shot": "black",
}
DASHES = {"taujp-joint": "dash", "zero-shot": "dot"}
PANELS_A_ROW = 4


def accuracy_matrices(arrivals: pd.DataFrame, order: int) -> go.Figure:
    """A heat map a method: accuracy on each task (column) after each arrival (row), in one of the orders.

    arrivals: method, order, arrival, position, task, accuracy.
    """
    ours = arrivals[arrivals.order == order]
    methods = list(ours.method.unique())
    tasks = list(ours.sort_values("position").task.unique())
    rows, columns = -(-len(methods) // PANELS_A_ROW), min(len(methods), PANELS_A_ROW)
    side = 70 + 46 * len(tasks)
    figure = make_subplots(
        rows=rows, cols=columns, shared_yaxes=True, shared_xaxes=True, subplot_titles=methods,
        horizontal_spacing=0.03, vertical_spacing=0.25 / rows,
    )  # fmt: skip
    for k, method in enumerate(methods):
        place = {"row": k // PANELS_A_ROW + 1, "col": k % PANELS_A_ROW + 1}
        values = ours[ours.method == method].pivot(index="arrival", columns="task", values="accuracy")[tasks]
        figure.add_heatmap(
            z=[[None if pd.isna(value) else round(value, 4) for value in row] for row in values.to_numpy()],
            x=tasks, y=[f"{arrival}. {task}" for arrival, task in enumerate(tasks, 1)], coloraxis="coloraxis",
            texttemplate="%{z:.2f}", hoverongaps=False,
            hovertemplate="%{x} after %{y}: %{z:.3f}<extra></extra>", **place,
        )  # fmt: skip
        figure.update_xaxes(tickangle=40, showgrid=False, **place)
        figure.update_yaxes(autorange="reversed", showgrid=False, **place)
        if k + columns >= len(methods):
            figure.update_xaxes(title="test images of", showticklabels=True, **place)
    figure.update_yaxes(title="after the arrival of", col=1)
    figure.update_layout(coloraxis=dict(colorscale="Viridis", cmin=0, cmax=1, colorbar=dict(title="test<br>accuracy")))
    title = f"Accuracy after each arrival: {', '.join(tasks)}"
    return styled(figure, title, 170 + side * rows, 260 + side * columns)


def average_over_arrivals(averages: pd.DataFrame) -> go.Figure:
    """A line a method: average accuracy on the tasks seen so far over arrivals; mean of the orders, and their range.

    averages: method, order, arrival, average_accuracy.
    """
    figure = go.Figure()
    for method, rows in averages.groupby("method", sort=False):
        spread = rows.groupby("arrival").average_accuracy.agg(["mean", "min", "max"]).round(4)
        colour = COLOURS[method]
        figure.add_scatter(
            x=[*spread.index, *spread.index[::-1]], y=[*spread["max"], *spread["min"][::-1]], fill="toself", mode="lines",
            line=dict(width=0), fillcolor=colour, opacity=0.15, legendgroup=method, showlegend=False, hoverinfo="skip",
        )  # fmt: skip
        figure.add_scatter(
            x=spread.index, y=spread["mean"], name=method, legendgroup=method, mode="lines+markers",
            line=dict(color=colour, width=2.5, dash=DASHES.get(method, "solid")),
        )  # fmt: skip
    figure.update_xaxes(title="tasks that have arrived", dtick=1)
    figure.update_yaxes(title="average test accuracy on the tasks seen", range=[0, 1.02])
    title = "Average accuracy A over arrivals: mean of the orders, and their range"
    return styled(figure, title, 520, 860)
