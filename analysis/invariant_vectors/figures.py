"""How do invariant vectors look beside their controls? τJp on both kinds of pictures, and accuracy on three."""

import pandas as pd
import plotly.graph_objects as go

from ..drawing import marks, points
from ..palette import GREY, SERIES, SYMBOLS
from .measure import Measured

TITLES = {"encoder": "on the encoder", "linearised": "linearised"}
PICTURES = {"grey": (GREY, "circle"), "coloured": (SERIES[0], "diamond")}
SETS = {"seen": "as in training", "flipped": "colours flipped", "grey": "grey"}


def tau_jp_of_kinds(measured: Measured) -> go.Figure:
    """τJp on the other tasks' grey and coloured pictures, a row per kind of vector; means over tasks and seeds, and each."""
    each = measured.effects.assign(panel=measured.effects.application.map(TITLES))
    means = each.groupby(["panel", "kind", "pictures"], sort=False).tau_jp.mean().reset_index()
    looks = {}
    for pictures, (colour, symbol) in PICTURES.items():
        looks[pictures] = marks(colour, 5, symbol, opacity=0.4) | dict(showlegend=False)
        looks[f"{pictures} pictures"] = marks(colour, 12, symbol)
    return points(
        pd.concat([each.assign(name=each.pictures), means.assign(name=means.pictures + " pictures")]), "kind", "tau_jp",
        looks, panel="panel", title="How far each vector moves other tasks' images\nsmall: tasks and seeds; large: their mean", category_axis=dict(title="vector"),
        value_axis=dict(title="τJp on other tasks' pictures: mean ‖Jτ‖₂", rangemode="tozero"),
    )  # fmt: skip


def accuracy_of_kinds(answers: pd.DataFrame) -> go.Figure:
    """Accuracy alone on pictures as seen in training, with flipped colours, and grey; answers: `answers_table`."""
    long = answers[list(SETS)].rename(columns=SETS).reset_index().melt(["application", "kind"], var_name="name")
    return points(
        long.assign(panel=long.application.map(TITLES)), "kind", "value",
        {name: marks(SERIES[k], 10, SYMBOLS[k]) for k, name in enumerate(SETS.values())}, panel="panel",
        title="What each vector has learnt\nits own task, on three kinds of pictures", category_axis=dict(title="vector"),
        value_axis=dict(title="test accuracy (noisy labels, share of images)", range=[0, 1]),
    )  # fmt: skip
