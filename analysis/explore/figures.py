"""How does one coefficient for all vectors trade the tasks against each other? A figure with a slider of its own."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..figures import styled
from .gather import Explorer

SHOWN = 1.0  # where the slider stands at first


def common_coefficient(explorer: Explorer) -> go.Figure:
    """A column a method: accuracy of each task at the slider's α, over the accuracies at all α with the present point.

    plotly's own slider moves it, with no kernel.
    """
    methods = [answers.method for answers in explorer.answers]
    figure = make_subplots(
        rows=2, cols=len(methods), shared_yaxes=True, subplot_titles=methods, horizontal_spacing=0.04, vertical_spacing=0.2
    )  # fmt: skip
    curves, moving = [answers.curve().round(4) for answers in explorer.answers], []
    for column, (answers, curve) in enumerate(zip(explorer.answers, curves, strict=True), 1):
        tasks, marks, shared = list(answers.tasks), answers.marks().round(4), dict(row=1, col=column)
        moving.append(len(figure.data))
        figure.add_bar(
            x=tasks, y=curve.loc[SHOWN], marker_color=[explorer.colours[task] for task in tasks], showlegend=False,
            name="at the slider's α", **shared,
        )  # fmt: skip
        for name, values, symbol in (
            ("zero-shot", marks.zero_shot, "line-ew-open"),
            ("single-task", marks.single_task, "diamond-open"),
            ("one-shot (α = 1)", marks.one_shot, "star"),
        ):
            figure.add_scatter(
                x=tasks, y=values, mode="markers", name=name, legendgroup=name, showlegend=column == 1,
                marker=dict(symbol=symbol, size=11, color="black", line=dict(width=2)), **shared,
            )  # fmt: skip
        shared = dict(row=2, col=column)
        for task in tasks:
            figure.add_scatter(
                x=curve.index, y=curve[task], name=task, legendgroup=task, showlegend=column == 1,
                line=dict(color=explorer.colours[task], width=1.3), **shared,
            )  # fmt: skip
        figure.add_scatter(
            x=curve.index, y=curve.mean(axis=1).round(4), name="mean of the tasks", legendgroup="mean",
            showlegend=column == 1, line=dict(color="black", width=4), **shared,
        )  # fmt: skip
        moving.append(len(figure.data))
        figure.add_scatter(
            x=[SHOWN], y=[round(curve.loc[SHOWN].mean(), 4)], name="the slider's α", legendgroup="now",
            showlegend=column == 1, mode="markers", marker=dict(color="#d62728", size=14, symbol="star"), **shared,
        )  # fmt: skip
    steps = []
    for alpha in curves[0].index:
        x, y = [], []
        for answers, curve in zip(explorer.answers, curves, strict=True):
            x += [list(answers.tasks), [alpha]]
            y += [curve.loc[alpha].tolist(), [round(curve.loc[alpha].mean(), 4)]]
        steps.append(dict(method="restyle", label=f"{alpha:g}", args=[{"x": x, "y": y}, moving]))
    slider = dict(
        active=list(curves[0].index).index(SHOWN), steps=steps, currentvalue_prefix="α of all vectors: ", y=-0.1
    )
    figure.update_xaxes(title="coefficient α", row=2)
    figure.update_xaxes(title="task", row=1)
    figure.update_yaxes(range=[0, 1.03])
    figure.update_yaxes(title="validation accuracy", col=1)
    styled(figure, "Accuracy of θ₀ + α·Στ, task by task", 820, 250 + 330 * len(methods))
    return figure.update_layout(sliders=[slider], legend=dict(orientation="h", yanchor="top", y=-0.36), margin_b=230)
