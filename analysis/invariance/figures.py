"""How do accuracy and calibration go together over environments, and over a training?"""

import pandas as pd
import plotly.graph_objects as go

from ..drawing import GUIDE, PALETTE, lines, marked_line
from .benchmark import ARMS

COLOURS = {arm: PALETTE[k % len(PALETTE)] for k, arm in enumerate(ARMS)}
SYMBOLS = {"training": "circle-open", "test": "circle"}


def plane(summary: pd.DataFrame) -> go.Figure:
    """A panel per data set: accuracy and ECE of each arm, from the training environments (open) to the test environment.

    summary: of `with_intervals`; bars are 95 % intervals over seeds.
    """
    ends = pd.concat([summary[summary.environment == name].assign(symbol=symbol) for name, symbol in SYMBOLS.items()])
    # plotly.js does not find the range of axes that are shared where the other ones have theirs.
    top = (ends.ece + ends.ece_half.fillna(0)).max()
    return lines(
        ends, "accuracy", "ece", {arm: marked_line(colour, 1, size=11) for arm, colour in COLOURS.items()}, by="arm",
        panel="data", height=360, title="Accuracy and calibration: training environments (open) to test environment (full)",
        x_axis=dict(title="accuracy", range=[0, 1]), y_axis=dict(title="ECE, 15 bins", range=[0, 1.05 * top]),
    )  # fmt: skip


def training_curves(curves: pd.DataFrame) -> go.Figure:
    """Test-environment accuracy of each arm over the steps of one data set, mean over seeds; a game may end early."""
    means = curves.groupby(["arm", "step"]).test.mean().reset_index()
    figure = lines(
        means, "step", "test", {arm: marked_line(colour, size=5) for arm, colour in COLOURS.items()}, by="arm", height=360,
        title="Accuracy where colour and label disagree", x_axis=dict(title="step"),
        y_axis=dict(title="accuracy, test environment", range=[0, 1]),
    )  # fmt: skip
    return figure.add_hline(y=0.75, line=GUIDE, annotation_text="the most that labels allow")
