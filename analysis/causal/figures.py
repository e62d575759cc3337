"""What did the interventions change, as pictures?

Figures of the causal probe: from the table of `analysis.causal.arms`, whose columns `analysis.pairs` lists, and the statistics of `analysis.causal.statistics`.
"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..figures import AXES, METHOD_COLOURS, PALETTE, below, log_axis, styled
from ..pairs import APPLICATIONS
from .arms import UNTREATED_METHOD
from .statistics import UNIT

ARM_NAMES = {
    "dose": "dose: λ in training",
    "onset": "onset: λ from step k on",
    "edit": "edit of τ, no training",
    "random": "placebo: random direction",
    "third": "placebo: edit for a third task",
    "scale": "scale: a share of τ",
    "controls": "controls: given norm, cosine, own effect",
}
ARM_COLOURS = {arm: PALETTE[k] for k, arm in enumerate(ARM_NAMES)}
ARM_SYMBOLS = dict(zip(ARM_NAMES, ["circle", "square", "diamond", "x", "cross", "triangle-up", "star"], strict=True))
VERDICT_COLOURS = {"supports": "#2ca02c", "contradicts": "#d62728", "silent": "#7f7f7f"}


def dose_response(points: pd.DataFrame, outcome: str) -> go.Figure:
    """All arms in one picture: mean over pairs of the outcome over τJp, a point a level, a panel an application.

    τJp's mean over pairs is geometric, for the slopes are in its logarithm. The onset arm shows its last saved step.
    """
    last = points[(points.arm != "onset") | (points.step == points.step.max())]
    figure = make_subplots(cols=2, shared_yaxes=True, subplot_titles=APPLICATIONS, horizontal_spacing=0.04)
    for column, application in enumerate(APPLICATIONS, 1):
        ours = last[last.application == application]
        for (arm, method), rows in ours.groupby(["arm", "method"], sort=False):
            levels = rows.assign(log_tau_jp=np.log2(rows.tau_jp)).groupby("level")[["log_tau_jp", outcome]].mean()
            untreated = method == UNTREATED_METHOD
            name = ARM_NAMES[arm] + ("" if untreated else f", {method} vectors")
            figure.add_scatter(
                x=(2**levels.log_tau_jp).round(4), y=levels[outcome].round(4), name=name, legendgroup=name,
                text=[f"{level:g}" for level in levels.index], hovertemplate="level %{text}: τJp %{x}, %{y}",
                showlegend=column == 1, mode="lines+markers", row=1, col=column,
                line=dict(color=ARM_COLOURS[arm], dash="solid" if untreated else "dot"),
                marker=dict(symbol=ARM_SYMBOLS[arm], size=10),
            )  # fmt: skip
    log_axis(figure)
    figure.update_yaxes(title=AXES[outcome], col=1, row=1)
    return below(styled(figure, "Interference over τJp, mean over pairs, by arm", 620, 1000))


def onset_trajectories(points: pd.DataFrame, outcome: str, application: str) -> go.Figure:
    """τJp, interference and own accuracy at saved steps, mean over pairs, a line a start; one time axis."""
    ours = points[(points.arm == "onset") & (points.application == application)]
    starts = sorted(ours.level.unique())
    panels = {"tau_jp": "τJp on t (norm)", outcome: AXES[outcome], "own_accuracy": "accuracy of s alone"}
    figure = make_subplots(rows=len(panels), shared_xaxes=True, vertical_spacing=0.05)
    for row, (column, title) in enumerate(panels.items(), 1):
        for k, start in enumerate(starts):
            never = start == starts[-1]
            mean = ours[ours.level == start].groupby("step")[column].mean()
            colour = "black" if never else PALETTE[k]
            figure.add_scatter(
                x=mean.index, y=mean.round(4), name="no penalty" if never else f"penalty from step {start:g}",
                legendgroup=str(start), showlegend=row == 1, mode="lines+markers", line=dict(color=colour), row=row,
                col=1,
            )  # fmt: skip
            if not never:
                figure.add_vline(x=start, line=dict(color=colour, dash="dash", width=1), row=row, col=1)
        figure.update_yaxes(title=title, rangemode="tozero", row=row, col=1)
    figure.update_xaxes(title="step", row=len(panels), col=1)
    return below(styled(figure, f"Penalty switched on at the dashed line ({application})", 860, 820))


def pair_scatter(points: pd.DataFrame, outcome: str) -> go.Figure:
    """One point a pair, level and seed: τJp against the outcome, the arms in colours."""
    figure = make_subplots(cols=2, shared_yaxes=True, subplot_titles=APPLICATIONS, horizontal_spacing=0.04)
    for column, application in enumerate(APPLICATIONS, 1):
        ours = points[points.application == application]
        for arm in ARM_NAMES:
            rows = ours[ours.arm == arm]
            if rows.empty:
                continue
            text = [f"{s} on {t}, level {level:g}" for s, t, level in zip(rows.source, rows.target, rows.level, strict=True)]  # fmt: skip
            figure.add_scatter(
                x=rows.tau_jp.round(3), y=rows[outcome].round(3), name=ARM_NAMES[arm], legendgroup=arm, text=text,
                hovertemplate="%{text}: τJp %{x}, %{y}", showlegend=column == 1, mode="markers", row=1, col=column,
                marker=dict(color=ARM_COLOURS[arm], symbol=ARM_SYMBOLS[arm], size=6, opacity=0.5),
            )  # fmt: skip
    log_axis(figure)
    figure.update_yaxes(title=AXES[outcome], col=1, row=1)
    return below(styled(figure, "τJp against interference, one point a pair", 620, 1000))


def forest(effects: pd.DataFrame) -> go.Figure:
    """Effects with their intervals, as shares of the untreated interference; the colour is the verdict.

    effects: application, arm, estimate, low, high, smallest, untreated, verdict. The controls' ρ has an axis of
    its own size and is left out. Causality predicts all but scale's to be positive and above the dotted line.
    """
    names = [ARM_NAMES[arm] for arm in ARM_NAMES if arm in set(effects.arm) and arm != "controls"]
    figure = make_subplots(cols=2, shared_yaxes=True, subplot_titles=APPLICATIONS, horizontal_spacing=0.04)
    for column, application in enumerate(APPLICATIONS, 1):
        rows = effects[(effects.application == application) & (effects.untreated > 0)].set_index("arm")
        for verdict, colour in VERDICT_COLOURS.items():
            # Traces without points do not show in a legend of their own.
            figure.add_scatter(x=[None], y=[names[0]], name=verdict, legendgroup=verdict, showlegend=column == 1,
                               mode="markers", marker=dict(color=colour, size=11), row=1, col=column)  # fmt: skip
            here = rows[(rows.verdict == verdict) & (rows.index != "controls")]
            if here.empty:
                continue
            share = here[["estimate", "low", "high"]].div(here.untreated, axis=0)
            figure.add_scatter(
                x=share.estimate.round(3), y=[ARM_NAMES[arm] for arm in here.index], name=verdict, row=1, col=column,
                legendgroup=verdict, showlegend=False, mode="markers", marker=dict(color=colour, size=11),
                error_x=dict(array=(share.high - share.estimate).round(3),
                             arrayminus=(share.estimate - share.low).round(3), thickness=2),
            )  # fmt: skip
        figure.add_vline(x=0, line=dict(color="black", width=1), row=1, col=column)
        figure.add_vline(x=0.1, line=dict(color="black", width=1, dash="dot"), row=1, col=column)
    figure.update_yaxes(
        categoryorder="array", categoryarray=names[::-1], range=[-0.6, len(names) - 0.4], ticksuffix=" "
    )
    figure.update_xaxes(title="effect / untreated interference")
    return below(styled(figure, "Effects of τJp on interference, 95 % intervals", 300 + 55 * len(names), 1000), 210)


def penalty_weight_curves(points: pd.DataFrame, training: pd.DataFrame, outcome: str) -> go.Figure:
    """λ against own accuracy, interference, τJp and training cost; every dot a seed, lines their means.

    points: of the dose arm; training: penalty_weight, seed, images (that a training sees, which is its cost and,
    other than seconds, the same everywhere).
    """
    dose = points[points.arm == "dose"]
    weights = sorted(dose.level.unique())
    columns = ["own_accuracy", outcome, "tau_jp", "images"]
    titles = ["accuracy of s alone", AXES[outcome].replace("<br>", " "), "τJp on t (norm)", "images seen in training"]
    figure = make_subplots(rows=2, cols=2, subplot_titles=titles, horizontal_spacing=0.12, vertical_spacing=0.16)
    for number, column in enumerate(columns):
        row, col = number // 2 + 1, number % 2 + 1
        if column == "images":
            parts = {"both": training.rename(columns={"penalty_weight": "level"})}
        elif column == "tau_jp":
            parts = {"both": dose[dose.application == APPLICATIONS[0]]}
        else:
            parts = {name: dose[dose.application == name] for name in APPLICATIONS}
        for name, rows in parts.items():
            colour = {"linearised": METHOD_COLOURS["linear"], "encoder": METHOD_COLOURS["standard"]}.get(name, "black")
            seeds = rows.groupby(["level", "seed"])[column].mean().reset_index()
            mean = seeds.groupby("level")[column].mean()
            place = [weights.index(level) for level in seeds.level]
            figure.add_scatter(x=place, y=seeds[column].round(4), mode="markers", showlegend=False,
                               marker=dict(color=colour, size=6, opacity=0.6), row=row, col=col)  # fmt: skip
            figure.add_scatter(
                x=[weights.index(level) for level in mean.index], y=mean.round(4), mode="lines", name=name,
                legendgroup=name, showlegend=name != "both" and number == 0, line=dict(color=colour), row=row, col=col,
            )  # fmt: skip
        figure.update_yaxes(rangemode="tozero", row=row, col=col)
    figure.update_xaxes(tickvals=list(range(len(weights))), ticktext=[f"{w:g}" for w in weights])
    figure.update_xaxes(title="λ", row=2)
    return below(styled(figure, "What λ buys and costs; dots are seeds", 720, 900))


def sample(points: pd.DataFrame) -> pd.DataFrame:
    """How many pairs, seeds and rows each arm has."""
    units = points.drop_duplicates(["arm", *UNIT]).groupby("arm", sort=False)
    return pd.DataFrame(
        {
            "methods": units.method.unique().map(", ".join),
            "seeds": units.seed.nunique(),
            "pairs_and_seeds": units.size(),
            "levels": points.groupby("arm", sort=False)["level"].nunique(),
            "points": points.groupby("arm", sort=False).size(),
        }
    )
