"""How do calibration errors go with the coefficient, and how far are confidences from accuracies?"""

import pandas as pd
import plotly.graph_objects as go

from ..drawing import CHOSEN, FEW, GUIDE, lines, marked_line, method_line
from ..figures import SHARE, on_curve
from ..metrics import BINS
from ..palette import GREY, SERIES
from .merged import EXPERT, NONE, OF_EXPERT, OF_MERGED

PANELS = {"accuracy": f"accuracy<br>{SHARE}", "loss": "NLL (nats)", "ece": "ECE (share)", "ace": "ACE (share)"}
TEMPERATURES = {
    NONE: ("without a temperature", GREY, "circle-open"),
    OF_EXPERT: ("the single task's temperature", SERIES[0], "square-open"),
    OF_MERGED: ("temperature fitted on the merged model", SERIES[1], "diamond-open"),
}
CALIBRATED, UNCHANGED = "calibrated", "unchanged by the merge"
DIAGONAL = dict(mode="lines", line=GUIDE)


def curves_over_coefficient(curves: pd.DataFrame, tuned: dict[str, float]) -> go.Figure:
    """A panel per metric: the merged model's mean over tasks and seeds, a line per method; a star at the mean tuned α.

    curves: method, coefficient and the metrics; tuned: α by method.
    """
    means = curves[curves.method.isin(tuned)].groupby(["method", "coefficient"], sort=False)[list(PANELS)].mean()
    parts, looks = [], {}
    for metric in PANELS:
        stars = on_curve(means[metric].rename("value"), tuned)
        parts.append(means[metric].rename("value").reset_index().assign(name=lambda rows: rows.method, metric=metric))
        parts.append(stars.assign(name="tuned α, " + stars.method, metric=metric))
    for method in tuned:
        looks[method] = look = method_line(method, **FEW)
        star = CHOSEN | dict(marker=CHOSEN["marker"] | dict(color=look["marker"]["color"]))
        looks[f"tuned α, {method}"] = star | dict(legendgroup=method, showlegend=False)
    return lines(
        pd.concat(parts), "coefficient", "value", looks, panel="metric", own_y=PANELS, height=240,
        title="Accuracy and calibration, by the coefficient\nθ₀ + α·Στ, test images: means over tasks, seeds; ★ tuned α", x_axis=dict(title="coefficient α", range=[-0.03, 1.05]),
        y_axis=dict(rangemode="tozero"),
    )  # fmt: skip


def reliability_diagrams(reliability: pd.DataFrame, model: str) -> go.Figure:
    """A panel per method: accuracy over confidence of a merged model, before and after; all tasks and seeds in a bin.

    reliability: method, model, temperature_of, bin, count, confidence, accuracy. A marker grows with the bin's
    share of the images.
    """
    ours = reliability[(reliability.model == model) & (reliability["count"] > 0)]
    bins = pooled(ours, "method", "temperature_of").reset_index()
    share = bins["count"] / bins.groupby(["method", "temperature_of"])["count"].transform("sum")
    bins = bins.assign(name=bins.temperature_of, size=(5 + 20 * share**0.5).round(1))
    diagonal = pd.DataFrame({"name": CALIBRATED, "confidence": [0, 1], "accuracy": [0, 1]})
    looks = {
        key: marked_line(colour, 1, symbol=symbol, line_width=2) | dict(name=name)
        for key, (name, colour, symbol) in TEMPERATURES.items()
    }
    return lines(
        pd.concat([ours[["method"]].drop_duplicates().merge(diagonal, how="cross"), bins]), "confidence", "accuracy",
        {CALIBRATED: DIAGONAL} | looks, panel="method",
        title=f"Confidence and accuracy, {model} model\n{BINS} bins; larger marks: more test images; dotted: calibrated",
        x_axis=dict(title="confidence (mean in the bin)", range=[-0.03, 1.07]),
        y_axis=dict(title=f"test accuracy<br>{SHARE}", range=[-0.04, 1.07]),
    )  # fmt: skip


def pooled(reliability: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """One row per bin (and keys): the count, and confidence and accuracy as means over all images of the tables."""
    means, count = ["confidence", "accuracy"], reliability["count"]
    sums = reliability.assign(**reliability[means].mul(count, axis=0)).groupby([*keys, "bin"], sort=False)
    sums = sums[["count", *means]].sum().sort_index(level="bin", sort_remaining=False)
    return sums.assign(**sums[means].div(sums["count"], axis=0))


def temperatures_of_expert_and_merged(tempered: pd.DataFrame) -> go.Figure:
    """A panel per merged model, a point per method, task and seed: the expert's temperature, and that of the merged model.

    tempered: method, seed, task, model, temperature_of, temperature. On the diagonal the temperature survives exactly.
    """
    merged = tempered[tempered.model != EXPERT]
    found = merged.pivot_table(
        index=["model", "method", "task", "seed"], columns="temperature_of", values="temperature", sort=False
    ).reset_index()
    ends = [0.9 * tempered.temperature.min(), 1.1 * tempered.temperature.max()]
    diagonal = pd.DataFrame({"method": UNCHANGED, OF_EXPERT: ends, OF_MERGED: ends})
    text = [f"{task}, seed {seed}" for task, seed in zip(found.task, found.seed, strict=True)]
    looks = {UNCHANGED: DIAGONAL} | {
        name: method_line(name, size=9, opacity=0.75) | dict(mode="markers") for name in found.method
    }
    log = dict(type="log", tickvals=[0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100])
    return lines(
        pd.concat([merged[["model"]].drop_duplicates().merge(diagonal, how="cross"), found.assign(text=text)]), OF_EXPERT, OF_MERGED, looks, by="method", panel="model", height=380,
        title="Temperatures before and after the merge\na point per task and seed; dotted: the merge changes nothing",
        x_axis=log | dict(title="temperature of the single-task model (log scale)"),
        y_axis=log | dict(title="of the merged model (log scale)"),
    )  # fmt: skip
