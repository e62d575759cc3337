"""What was foreseen of published vectors, and what came, as pictures?

Figures of published checkpoints: from the tables of `analysis.published.checkpoints` to plotly.
"""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..figures import AXES, below, log_axis, styled
from ..pairs import APPLICATIONS


def foreseen_and_seen(points: pd.DataFrame, outcome: str, colours: dict[str, str]) -> go.Figure:
    """One point a pair: τJp of s on t, measured before merging, and the outcome on t after it; t's in colours."""
    figure = make_subplots(cols=2, shared_yaxes=True, subplot_titles=APPLICATIONS, horizontal_spacing=0.04)
    for column, application in enumerate(APPLICATIONS, 1):
        ours = points[points.application == application]
        for target, rows in ours.groupby("target", sort=False):
            figure.add_scatter(
                x=rows.tau_jp.round(3), y=rows[outcome].round(3), name=f"on {target}", legendgroup=target,
                text=rows.source, hovertemplate=f"%{{text}} on {target}: τJp %{{x}}, %{{y}}", showlegend=column == 1,
                mode="markers", marker=dict(color=colours[target], size=10), row=1, col=column,
            )  # fmt: skip
    log_axis(figure)
    figure.update_yaxes(title=AXES[outcome], col=1, row=1)
    return below(styled(figure, "Foreseen and seen: a point for each ordered pair of vectors", 560, 1000))


def one_shot_of_sets(compared: pd.DataFrame, colours: dict[str, str]) -> go.Figure:
    """Test accuracy of the plain sum of each set of vectors: the mean over its tasks (bar) and each task (dot)."""
    sets = list(compared.vectors.unique())
    figure = make_subplots(cols=2, shared_yaxes=True, subplot_titles=APPLICATIONS, horizontal_spacing=0.04)
    for column, application in enumerate(APPLICATIONS, 1):
        ours = compared[compared.application == application]
        means = ours.groupby("vectors", sort=False)[["one_shot", "best"]].mean().round(4)
        figure.add_bar(
            x=sets, y=means.one_shot[sets], name="mean at α = 1", legendgroup="mean", showlegend=column == 1,
            marker=dict(color="#d9d9d9"), row=1, col=column,
        )  # fmt: skip
        figure.add_scatter(
            x=sets, y=means.best[sets], name="mean at the tuned α", legendgroup="best", showlegend=column == 1,
            mode="markers", marker=dict(color="black", symbol="line-ew-open", size=26, line=dict(width=2)), row=1,
            col=column,
        )  # fmt: skip
        for task, rows in ours.groupby("task", sort=False):
            figure.add_scatter(
                x=rows.vectors, y=rows.one_shot.round(4), name=task, legendgroup=task, showlegend=column == 1,
                mode="markers", marker=dict(color=colours[task], size=9), row=1, col=column,
            )  # fmt: skip
    figure.update_xaxes(tickangle=30)
    figure.update_yaxes(range=[-0.03, 1.02])
    figure.update_yaxes(title="test accuracy of θ₀ + Στ", col=1)
    figure = below(styled(figure, "One-shot addition before and after", 660, 1000))
    return figure.update_layout(legend=dict(y=-0.42))
