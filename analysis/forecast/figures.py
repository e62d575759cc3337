"""How do forecasts look beside what came of them?"""

import pandas as pd
import plotly.graph_objects as go

from ..drawing import line, lines, marked_line, marks, points, series_line
from ..palette import BLACK
from .errors import kind_of
from .predictors import PREDICTORS

FORECAST_EXACTLY = "measured = forecast"
AXIS = "normalised accuracy<br>(share of the expert's)"


def expected_and_measured(forecasts: pd.DataFrame) -> go.Figure:
    """A panel for each method: every plan and task, the measured accuracy over the forecast one."""
    rows = forecasts[(forecasts.asked == forecasts.asked.max()) & ~forecasts.merged]
    rows = rows.assign(name=kind_of(rows).map({"pairs": "pairs at α = 1", "sums": "sums"}), panel=rows.method)
    rows = rows[["name", "panel", "expected", "normalised"]]
    ends = pd.DataFrame({"name": FORECAST_EXACTLY, "expected": [0.0, 1.1], "normalised": [0.0, 1.1]})
    guide = pd.concat([ends.assign(panel=method) for method in rows.panel.unique()])
    looks = {
        FORECAST_EXACTLY: line(BLACK, 1.5, "dash"),
        "sums": marks(series_line(0)["line"]["color"], 6, "circle-open"),
        "pairs at α = 1": marks(series_line(1)["line"]["color"], 7, "diamond"),
    }
    return lines(
        pd.concat([guide, rows]), "expected", "normalised", looks, panel="panel", height=300,
        title="Forecast and measured accuracy of sums\none mark per sum and task; on the dashed line the two accuracies are equal",
        x_axis=dict(title="forecast of the normalised accuracy"), y_axis=dict(title=AXIS),
    )  # fmt: skip


def predictor_ranks(ranks: pd.DataFrame) -> go.Figure:
    """A panel for each application: Spearman's ρ of each predictor with what is lost, for pairs and for sums. ranks: of `ranks`."""
    order = {name: place for place, name in enumerate(PREDICTORS)}
    table = ranks.assign(said=ranks.predictor.map(PREDICTORS), place=ranks.predictor.map(order)).sort_values("place")
    looks = {
        "pairs": series_line(1, size=11) | dict(mode="markers"),
        "sums": series_line(0, size=11) | dict(mode="markers"),
    }
    return points(
        table, "said", "rho", looks, by="kind", panel="application", row_height=30,
        title="What ranks plans by their cost\nSpearman's ρ with the lost share, mean over methods and seeds",
        category_axis=dict(title=""), value_axis=dict(title="rank correlation (1: the same order)"),
    )  # fmt: skip


def errors_by_images(errors: pd.DataFrame) -> go.Figure:
    """Mean error and median half-width of the interval over the number of unlabelled images. errors: of `errors`."""
    said = {"error": "mean error (accuracy)", "half": "half of the 90 % interval (share)"}
    parts = [errors.assign(name=errors.kind, panel=f"{says}", value=errors[column]) for column, says in said.items()]
    table = pd.concat(parts).groupby(["panel", "name", "asked"], sort=False).value.mean().reset_index()
    looks = {name: series_line(place) for place, name in enumerate(["sums", "pairs", "merges"])}
    return lines(
        table, "asked", "value", looks, panel="panel", own_y={says: says for says in said.values()},
        title="How many images a forecast needs\nmeans over applications, tasks and plans",
        x_axis=dict(title="unlabelled images per task (log scale)", type="log", tickvals=sorted(errors.asked.unique())),
        y_axis=dict(title=""),
    )  # fmt: skip


def curves(forecasts: pd.DataFrame) -> go.Figure:
    """A panel for each method: mean share of the experts' accuracy over α of the sum of all vectors, forecast and measured."""
    rows = forecasts[(forecasts.asked == forecasts.asked.max()) & ~forecasts.merged]
    rows = rows[rows["size"] == rows["size"].max()]
    means = (
        rows.groupby(["method", "alpha"], sort=False)[["expected", "low", "high", "normalised"]].mean().reset_index()
    )
    parts = [
        means.assign(name="forecast", value=means.expected, value_half=(means.high - means.low) / 2),
        means.assign(name="measured", value=means.normalised),
    ]
    table = pd.concat(parts)[["name", "method", "alpha", "value", "value_half"]]
    looks = {
        "forecast": marked_line(series_line(0)["line"]["color"]),
        "measured": marked_line(BLACK, 2, "dash", symbol="square"),
    }
    return lines(
        table, "alpha", "value", looks, panel="method",
        title="The sum of all vectors, before it is made\nmean over tasks and seeds; bars: mean 90 % interval of a task",
        x_axis=dict(title="coefficient α"), y_axis=dict(title=AXIS),
    )  # fmt: skip
