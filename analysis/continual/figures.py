"""How do tasks fare that arrive one by one, as pictures?"""

import pandas as pd
import plotly.graph_objects as go

from ..drawing import line, lines, matrices, method_line
from ..figures import SHARE
from ..palette import method_look


def accuracy_matrices(arrivals: pd.DataFrame, order: int) -> go.Figure:
    """A matrix per method: accuracy on each task (column) after each arrival (row), in one of the orders.

    arrivals: method, order, arrival, position, task, accuracy.
    """
    ours = arrivals[arrivals.order == order].sort_values("position", kind="stable")
    tasks = list(ours.task.unique())
    ours = ours.assign(after=[f"{arrival}. {tasks[arrival - 1]}" for arrival in ours.arrival])
    return matrices(
        ours.sort_values("arrival", kind="stable"), "after", "task", "accuracy", panel="method",
        title=f"Accuracy on every task after each arrival\norder of arrival: {', '.join(tasks)}", x_axis=dict(title="test images of", tickangle=40),
        y_axis=dict(title="after the arrival of", autorange="reversed"), colour_axis=dict(cmin=0, cmax=1, colorbar_title="test<br>accuracy<br>(share)"),
        digits=".2f", hover="%{x} after %{y}: %{z:.3f}", height=100 + 28 * len(tasks),
    )  # fmt: skip


def average_over_arrivals(averages: pd.DataFrame) -> go.Figure:
    """A line per method: average accuracy on the tasks seen so far over arrivals; mean of the orders, and their range.

    averages: method, order, arrival, average_accuracy.
    """
    spread = averages.groupby(["method", "arrival"], sort=False).average_accuracy.agg(["mean", "min", "max"])
    spread = spread.sort_index(level="arrival", sort_remaining=False).reset_index()
    there, back = spread.assign(value=spread["max"]), spread[::-1].assign(value=spread["min"])
    band = pd.concat([there, back]).assign(name=lambda rows: rows.method + ", range")
    looks = {}
    for method in averages.method.unique():
        looks[f"{method}, range"] = line(method_look(method)[0], 0) | dict(
            fill="toself",
            fillcolor=method_look(method)[0],
            opacity=0.15,
            hoverinfo="skip",
            legendgroup=method,
            showlegend=False,
        )
        looks[method] = method_line(method, size=8)
    return lines(
        pd.concat([band, spread.assign(name=spread.method, value=spread["mean"])]), "arrival", "value", looks, height=400,
        title="Average accuracy on the tasks seen so far\nmean of the orders of arrival, and their range",
        x_axis=dict(title="tasks that have arrived", dtick=1),
        y_axis=dict(title=f"average test accuracy A<br>{SHARE}", range=[0, 1.02]),
    )  # fmt: skip
