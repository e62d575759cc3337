"""When do analogies work, as pictures?

Figures of analogies between domains: from tidy tables to plotly.
"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..figures import PALETTE, method_colour, styled
from .quadruples import MODELS, VECTORS

LINES = {
    "analogy": dict(color="black", width=4),
    "source alone": dict(color=PALETTE[0], width=2),
    "other alone": dict(color=PALETTE[1], width=2),
    "fine-tuned": dict(color=PALETTE[2], width=2, dash="dash"),
}


def analogy_curves(curves: pd.DataFrame, test: pd.DataFrame) -> go.Figure:
    """A panel a method: validation accuracy on the target over the coefficient, of every model; means over
    quadruples and seeds, as is the tuned α of the analogy.

    curves: method, seed, quadruple, model, coefficient, accuracy; test: method, model, choice, coefficient.
    """
    methods = list(curves.method.unique())
    figure = make_subplots(cols=len(methods), shared_yaxes=True, subplot_titles=methods, horizontal_spacing=0.03)
    for column, method in enumerate(methods, 1):
        ours = curves[curves.method == method].groupby(["model", "coefficient"]).accuracy.mean().round(4)
        place = {"row": 1, "col": column}
        for model in MODELS:
            figure.add_scatter(
                x=ours[model].index, y=ours[model], name=model, legendgroup=model, showlegend=column == 1,
                mode="lines", line=LINES[model], **place,
            )  # fmt: skip
        figure.add_scatter(
            x=[0, 1], y=[ours["analogy"][0.0]] * 2, name="zero-shot", legendgroup="zero-shot",
            showlegend=column == 1, mode="lines", line=dict(color="black", width=1.5, dash="dot"), **place,
        )  # fmt: skip
        chosen = (test.method == method) & (test.model == "analogy") & (test.choice == "tuned")
        tuned = test[chosen].coefficient.mean()
        figure.add_scatter(
            x=[round(tuned, 4)], y=[round(np.interp(tuned, ours["analogy"].index, ours["analogy"]), 4)],
            name="mean tuned α of the analogy", legendgroup="tuned", showlegend=column == 1, mode="markers",
            marker=dict(color="black", size=13, symbol="star"), **place,
        )  # fmt: skip
    figure.update_xaxes(title="coefficient α", range=[-0.02, 1.03])
    figure.update_yaxes(range=[0, 1.02])
    figure.update_yaxes(title="validation accuracy on the target", col=1)
    return styled(figure, "θ₀ + α·(τ other + τ source − τ source other)", 480, 280 + 310 * len(methods))


def gain_against_tau_jp(gained: pd.DataFrame) -> go.Figure:
    """A panel a vector: the analogy's gain over zero-shot at α = 1 over τJp on the target, a point a quadruple.

    gained: index method, quadruple; columns "gain over zero-shot" and "τJp of VECTOR".
    """
    figure = make_subplots(
        cols=len(VECTORS), shared_yaxes=True, subplot_titles=list(VECTORS), horizontal_spacing=0.02
    )  # fmt: skip
    for column, vector in enumerate(VECTORS, 1):
        for method, part in gained.groupby(level="method", sort=False):
            figure.add_scatter(
                x=part[f"τJp of {vector}"].round(3), y=part["gain over zero-shot"].round(4), mode="markers",
                name=method, legendgroup=method, showlegend=column == 1,
                marker=dict(color=method_colour(method), size=9), text=part.index.get_level_values("quadruple"),
                hovertemplate="%{text}<br>τJp %{x:.3g}, gain %{y:.3f}<extra></extra>", row=1, col=column,
            )  # fmt: skip
        figure.add_hline(y=0, line=dict(color="black", width=1, dash="dot"), row=1, col=column)
    figure.update_xaxes(title="τJp on the target", rangemode="tozero")
    figure.update_yaxes(title="gain over zero-shot at α = 1", col=1)
    return styled(
        figure, "Gain of the analogy against τJp of its vectors on the target's images", 460, 280 + 260 * len(VECTORS)
    )
