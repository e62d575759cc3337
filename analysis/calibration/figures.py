"""How do calibration errors go with the coefficient, and how far are confidences from accuracies?

Figures of calibration: from the tables of `analysis.calibration.merged` to plotly.
"""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..figures import below, method_colour, styled
from ..metrics import BINS
from .merged import EXPERT, NONE, OF_EXPERT, OF_MERGED

PANELS = {"accuracy": "accuracy", "loss": "NLL (nats)", "ece": "ECE", "ace": "ACE"}
TEMPERATURES = {
    NONE: ("without a temperature", "#7f7f7f", "circle-open"),
    OF_EXPERT: ("the single task's temperature", "#ff7f0e", "square-open"),
    OF_MERGED: ("temperature fitted on the merged model", "#2ca02c", "diamond-open"),
}


def curves_over_coefficient(curves: pd.DataFrame, tuned: dict[str, float]) -> go.Figure:
    """A panel a metric: the merged model's mean over tasks and seeds, a line a method; a star at the mean tuned α.

    curves: method, coefficient and the metrics; tuned: α by method.
    """
    figure = make_subplots(cols=len(PANELS), subplot_titles=list(PANELS.values()), horizontal_spacing=0.06)
    means = curves.groupby(["method", "coefficient"], sort=False)[list(PANELS)].mean().round(4)
    for column, metric in enumerate(PANELS, 1):
        for method, alpha in tuned.items():
            ours, colour = means[metric][method], method_colour(method)
            figure.add_scatter(
                x=ours.index, y=ours, name=method, legendgroup=method, showlegend=column == 1, mode="lines",
                line=dict(color=colour, width=2.5), row=1, col=column,
            )  # fmt: skip
            nearest = min(ours.index, key=lambda one: abs(one - alpha))
            figure.add_scatter(
                x=[nearest], y=[ours[nearest]], name=f"tuned α, {method}", legendgroup=method, showlegend=False,
                mode="markers", marker=dict(color=colour, size=12, symbol="star"), row=1, col=column,
            )  # fmt: skip
    figure.update_xaxes(title="coefficient α", range=[-0.03, 1.05])
    figure.update_yaxes(rangemode="tozero")
    return below(styled(figure, "Test images: the merged model θ₀ + α·Στ; ★ tuned α", 480, 1180), left=60)


def reliability_diagrams(reliability: pd.DataFrame, model: str) -> go.Figure:
    """A panel a method: accuracy over confidence of a merged model, before and after; all tasks and seeds in a bin.

    reliability: method, model, temperature_of, bin, count, confidence, accuracy. A marker grows with the bin's
    share of the images.
    """
    ours = reliability[(reliability.model == model) & (reliability["count"] > 0)]
    methods = list(ours.method.unique())
    figure = make_subplots(cols=len(methods), shared_yaxes=True, subplot_titles=methods, horizontal_spacing=0.02)
    for column, method in enumerate(methods, 1):
        figure.add_scatter(
            x=[0, 1], y=[0, 1], name="calibrated", legendgroup="calibrated", showlegend=column == 1, mode="lines",
            line=dict(color="black", dash="dot", width=1), row=1, col=column,
        )  # fmt: skip
        for temperature_of, (name, colour, symbol) in TEMPERATURES.items():
            bins = pooled(ours[(ours.method == method) & (ours.temperature_of == temperature_of)])
            share = bins["count"] / bins["count"].sum()
            figure.add_scatter(
                x=bins.confidence.round(4), y=bins.accuracy.round(4), name=name, legendgroup=name,
                showlegend=column == 1, mode="lines+markers", line=dict(color=colour, width=1),
                marker=dict(symbol=symbol, size=(5 + 20 * share**0.5).round(1), line=dict(width=2)), row=1, col=column,
            )  # fmt: skip
    figure.update_xaxes(title="confidence", range=[-0.03, 1.07])
    figure.update_yaxes(range=[-0.04, 1.07])
    figure.update_yaxes(title="accuracy", col=1)
    title = f"Reliability of the {model} model, {BINS} bins: larger markers hold more test images"
    return below(styled(figure, title, 540, 140 + 270 * len(methods)), left=60)


def pooled(reliability: pd.DataFrame) -> pd.DataFrame:
    """One row a bin: the count, and confidence and accuracy as means over all images of the tables."""
    sums = reliability.assign(
        confidence=reliability.confidence * reliability["count"], accuracy=reliability.accuracy * reliability["count"]
    )
    sums = sums.groupby("bin")[["count", "confidence", "accuracy"]].sum()
    return sums.assign(confidence=sums.confidence / sums["count"], accuracy=sums.accuracy / sums["count"])


def temperatures_of_expert_and_merged(tempered: pd.DataFrame) -> go.Figure:
    """A panel a merged model, a point a method, task and seed: the expert's temperature, and that of the merged model.

    tempered: method, seed, task, model, temperature_of, temperature. On the diagonal the temperature survives exactly.
    """
    models = [model for model in tempered.model.unique() if model != EXPERT]
    figure = make_subplots(cols=len(models), shared_yaxes=True, subplot_titles=models, horizontal_spacing=0.04)
    ends = [0.9 * tempered.temperature.min(), 1.1 * tempered.temperature.max()]
    for column, model in enumerate(models, 1):
        figure.add_scatter(
            x=ends, y=ends, name="unchanged by the merge", legendgroup="unchanged", showlegend=column == 1, mode="lines",
            line=dict(color="black", dash="dot", width=1), row=1, col=column,
        )  # fmt: skip
        points = tempered[tempered.model == model].pivot_table(
            index=["method", "task", "seed"], columns="temperature_of", values="temperature", sort=False
        )
        for method, rows in points.groupby("method", sort=False):
            figure.add_scatter(
                x=rows[OF_EXPERT].round(3), y=rows[OF_MERGED].round(3), name=method, legendgroup=method,
                showlegend=column == 1, mode="markers", marker=dict(color=method_colour(method), size=9, opacity=0.75),
                text=[f"{task}, seed {seed}" for _, task, seed in rows.index],
                hovertemplate="%{text}: %{x} alone, %{y} merged", row=1, col=column,
            )  # fmt: skip
    ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100]
    figure.update_xaxes(title="temperature of the single-task model (log scale)", type="log", tickvals=ticks)
    figure.update_yaxes(type="log", tickvals=ticks)
    figure.update_yaxes(title="of the merged model (log scale)", col=1)
    return below(styled(figure, "Temperatures before and after the merge: a point a task and seed", 540, 1000), left=70)
