"""How do invariant vectors look beside their controls? τJp on both kinds of pictures, and accuracy on three."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..figures import METHOD_COLOURS, PALETTE, styled
from .measure import Measured

TITLES = {"encoder": "on the encoder", "linearised": "linearised"}
SHOWN = {"grey": "#7f7f7f", "coloured": METHOD_COLOURS["taujp-efficient"]}


def tau_jp_of_kinds(measured: Measured) -> go.Figure:
    """τJp on the other tasks' grey and coloured pictures, a row a kind of vector; means over tasks and seeds, and each."""
    ways = list(measured.effects.application.unique())
    figure = make_subplots(1, len(ways), subplot_titles=[TITLES[way] for way in ways], horizontal_spacing=0.34)
    for column, way in enumerate(ways, 1):
        ours = measured.effects[measured.effects.application == way]
        means = ours.groupby(["kind", "pictures"], sort=False).tau_jp.mean().unstack("pictures")
        for pictures, colour in SHOWN.items():
            figure.add_scatter(
                x=ours[ours.pictures == pictures].tau_jp.round(4), y=ours[ours.pictures == pictures].kind,
                mode="markers", marker=dict(color=colour, size=5, opacity=0.4), showlegend=False, row=1, col=column,
            )  # fmt: skip
            figure.add_scatter(
                x=means[pictures].round(4), y=means.index, mode="markers", name=f"{pictures} pictures",
                marker=dict(color=colour, size=11, symbol="diamond"), showlegend=column == 1, row=1, col=column,
            )  # fmt: skip
        figure.update_xaxes(title="τJp on other tasks' pictures", rangemode="tozero", row=1, col=column)
        figure.update_yaxes(autorange="reversed", row=1, col=column)
    rows = measured.effects.groupby("application").kind.nunique().max()
    styled(figure, "What each vector does to other tasks", 190 + 22 * rows, 1150)
    return figure.update_layout(
        margin_l=250, legend=dict(orientation="h", yref="container", y=0.99, yanchor="top", x=1, xanchor="right")
    )


def accuracy_of_kinds(answers: pd.DataFrame) -> go.Figure:
    """Accuracy alone on pictures as seen in training, with flipped colours, and grey; answers: `answers_table`."""
    ways = list(dict.fromkeys(answers.index.get_level_values("application")))
    figure = make_subplots(1, len(ways), subplot_titles=[TITLES[way] for way in ways], horizontal_spacing=0.34)
    for column, way in enumerate(ways, 1):
        ours = answers.loc[way]
        for k, (name, text) in enumerate(
            {"seen": "as in training", "flipped": "colours flipped", "grey": "grey"}.items()
        ):
            figure.add_scatter(
                x=ours[name].round(4), y=ours.index, mode="markers", name=text,
                marker=dict(color=PALETTE[k], size=10), showlegend=column == 1, row=1, col=column,
            )  # fmt: skip
        figure.update_xaxes(title="accuracy (noisy labels, share of images)", range=[0, 1], row=1, col=column)
        figure.update_yaxes(autorange="reversed", row=1, col=column)
    rows = max(len(answers.loc[way]) for way in ways)
    styled(figure, "What each vector has learnt", 190 + 22 * rows, 1150)
    return figure.update_layout(
        margin_l=250, legend=dict(orientation="h", yref="container", y=0.99, yanchor="top", x=1, xanchor="right")
    )
