"""How do accuracy and calibration go together over environments, and over a training?"""

import pandas as pd
import plotly.graph_objects as go

from ..drawing import FEW, GUIDE, lines, method_line
from ..figures import SHARE
from ..palette import method_look
from .benchmark import ARMS

ENDS = {"training": "-open", "test": ""}  # of a mark


def plane(summary: pd.DataFrame) -> go.Figure:
    """A panel per data set: accuracy and ECE of each arm, from the training environments (open) to the test environment.

    summary: of `with_intervals`; bars are 95 % intervals over seeds.
    """
    ends = pd.concat(
        [
            summary[summary.environment == name].assign(
                symbol=lambda rows, end=end: [method_look(arm)[1] + end for arm in rows.arm]
            )
            for name, end in ENDS.items()
        ]
    )
    # plotly.js does not find the range of axes that are shared where the other ones have theirs.
    top = (ends.ece + ends.ece_half.fillna(0)).max()
    return lines(
        ends, "accuracy", "ece", {arm: method_line(arm, 1, size=11) for arm in ARMS}, by="arm", panel="data", height=360,
        title="From training to test: accuracy, calibration\nopen: training environments; full: test environment; bars: 95\u00a0% intervals over seeds",
        x_axis=dict(title="accuracy (share of images)", range=[0, 1]), y_axis=dict(title="ECE, 15 bins (share)", range=[0, 1.05 * top]),
    )  # fmt: skip


def training_curves(curves: pd.DataFrame) -> go.Figure:
    """Test-environment accuracy of each arm over the steps of one data set, mean over seeds; a game may end early."""
    means = curves.groupby(["arm", "step"]).test.mean().reset_index()
    figure = lines(
        means, "step", "test", {arm: method_line(arm, **FEW) for arm in ARMS}, by="arm", height=360,
        title="Accuracy where colour and label disagree", x_axis=dict(title="optimiser step"),
        y_axis=dict(title=f"accuracy, test environment<br>{SHARE}", range=[0, 1]),
    )  # fmt: skip
    return figure.add_hline(y=0.75, line=GUIDE, annotation_text="the most that labels allow")
