"""How do accuracy and calibration go together over environments, and over a training?"""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..figures import PALETTE, below, styled
from .benchmark import ARMS

COLOURS = {arm: PALETTE[k % len(PALETTE)] for k, arm in enumerate(ARMS)}
SYMBOLS = {"training": "circle-open", "test": "circle"}


def plane(summary: pd.DataFrame) -> go.Figure:
    """A panel a data set: accuracy and ECE of each arm, from the training environments (open) to the test environment.

    summary: of `with_intervals`; bars are 95 % intervals over seeds.
    """
    names = list(summary.data.unique())
    figure = make_subplots(cols=len(names), shared_yaxes=True, subplot_titles=names, horizontal_spacing=0.04)
    for column, data in enumerate(names, 1):
        for arm, rows in summary[summary.data == data].groupby("arm", sort=False):
            ours = rows.set_index("environment").loc[list(SYMBOLS)]
            bars = {
                f"error_{axis}": dict(array=ours[f"{quantity}_half"].fillna(0).round(4), width=0, thickness=1)
                for axis, quantity in (("x", "accuracy"), ("y", "ece"))
            }
            figure.add_scatter(
                x=ours.accuracy.round(4), y=ours.ece.round(4), **bars, name=arm, legendgroup=arm,
                showlegend=column == 1, mode="lines+markers", line=dict(color=COLOURS[arm], width=1),
                marker=dict(size=11, symbol=list(SYMBOLS.values()), color=COLOURS[arm]), row=1, col=column,
            )  # fmt: skip
    figure.update_xaxes(title="accuracy", range=[0, 1])
    figure.update_yaxes(title="ECE, 15 bins", rangemode="tozero", col=1)
    title = "Accuracy and calibration: training environments (open) to test environment (full)"
    return below(styled(figure, title, 560, max(720, 160 + 340 * len(names))))


def training_curves(curves: pd.DataFrame) -> go.Figure:
    """Test-environment accuracy of each arm over the steps of one data set, mean over seeds; a game may end early."""
    figure = go.Figure()
    for arm, rows in curves.groupby("arm", sort=False):
        mean = rows.groupby("step").test.mean()
        figure.add_scatter(
            x=mean.index, y=mean.round(4), name=arm, mode="lines+markers", marker=dict(size=5),
            line=dict(color=COLOURS[arm]),
        )  # fmt: skip
    figure.add_hline(y=0.75, line=dict(color="black", dash="dot"), annotation_text="the most that labels allow")
    figure.update_xaxes(title="step")
    figure.update_yaxes(title="accuracy, test environment", range=[0, 1])
    return below(styled(figure, "Accuracy where colour and label disagree", 520, 900))
