"""What did the interventions change, as pictures of the table of `analysis.causal.arms`? Its columns: `analysis.pairs`."""

from itertools import cycle

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ..drawing import GUIDE, line, lines, marked_line, marks, series_line
from ..drawing import points as by_category
from ..figures import OUTCOMES, SHARE, outcome_over_tau_jp
from ..pairs import APPLICATIONS
from ..palette import BLACK, GREY, SERIES, SYMBOLS, VERDICTS
from .arms import UNTREATED_METHOD
from .statistics import SMALLEST, UNIT

ARM_NAMES = {
    "dose": "dose: λ in training",
    "onset": "onset: λ from step k on",
    "target": "penalty on t's images alone",
    "bystander": "the same, on third tasks",
    "raise": "raise: τJp raised in training",
    "edit": "edit of τ, no training",
    "turned": "edit, put back in another direction",
    "random": "placebo: random direction",
    "third": "placebo: edit for a third task",
    "scale": "scale: a share of τ",
    "controls": "controls: given norm, cosine, own effect",
}
# More arms than colours: placebos stay in the background, and colour and mark together are an arm's own.
BEHIND = {"random": GREY, "third": GREY, "controls": BLACK}
ARM_COLOURS = dict(zip((arm for arm in ARM_NAMES if arm not in BEHIND), SERIES, strict=True)) | BEHIND
ARM_SYMBOLS = dict(zip(ARM_NAMES, cycle(SYMBOLS), strict=False))
BOTH = "both applications"
TAU_JP, OWN_ACCURACY = "τJp on t<br>(mean ‖Jτ‖₂)", f"accuracy of s alone<br>{SHARE}"


def dose_response(points: pd.DataFrame, outcome: str) -> go.Figure:
    """All arms in one picture: mean over pairs of the outcome over τJp, a point per level, a panel per application.

    τJp's mean over pairs is geometric, for the slopes are in its logarithm. The onset arm shows its last saved step.
    An arm is once in the legend, and its `standard` vectors, if there are any, are dotted.
    """
    last = points[(points.arm != "onset") | (points.step == points.step.max())]
    logarithms, keys = last.assign(tau_jp=np.log2(last.tau_jp)), ["application", "arm", "method", "level"]
    means = logarithms.groupby(keys)[["tau_jp", outcome]].mean().reset_index()
    looks = {}
    for arm, method in last[["arm", "method"]].drop_duplicates().itertuples(index=False):
        dash = "solid" if method == UNTREATED_METHOD else "dot"
        look = marked_line(ARM_COLOURS[arm], 2, dash, size=10, symbol=ARM_SYMBOLS[arm])
        looks[f"{arm} {method}"] = look | dict(name=ARM_NAMES[arm], legendgroup=arm)
    text = [f"level {level:g}, {method} vectors" for level, method in zip(means.level, means.method, strict=True)]
    means = means.assign(tau_jp=2**means.tau_jp, name=means.arm + " " + means.method, text=text)
    dotted = "".join(f"; dotted: {method} vectors" for method in sorted({*means.method} - {UNTREATED_METHOD}))
    return outcome_over_tau_jp(
        means,
        outcome,
        looks,
        "Interference against τJp, by what changed τJp\n"
        f"a point per level: means over ordered pairs of tasks, s onto t{dotted}",
    )


def onset_trajectories(points: pd.DataFrame, outcome: str, application: str) -> go.Figure:
    """τJp, interference and own accuracy at saved steps, mean over pairs, a line per start; one time axis."""
    ours = points[(points.arm == "onset") & (points.application == application)]
    panels = {"tau_jp": TAU_JP, outcome: OUTCOMES[outcome], "own_accuracy": OWN_ACCURACY}
    means = ours.groupby(["level", "step"])[list(panels)].mean().reset_index().melt(["level", "step"], var_name="panel")
    *starts, never = sorted(ours.level.unique())
    looks = {start: series_line(k) | dict(name=f"penalty from step {start:g}") for k, start in enumerate(starts)}
    figure = lines(
        means, "step", "value", looks | {never: marked_line(BLACK, symbol="x") | dict(name="no penalty")}, by="level", panel="panel",
        own_y=panels, across=1, height=220, title=f"What switching the penalty on does, {application}\ndashed: from this step on; means over pairs of tasks, s onto t",
        x_axis=dict(title="optimiser step"), y_axis=dict(rangemode="tozero"),
    )  # fmt: skip
    for start in starts:
        figure.add_vline(x=start, line=dict(color=looks[start]["line"]["color"], dash="dash", width=1))
    return figure


def pair_scatter(points: pd.DataFrame, outcome: str) -> go.Figure:
    """One point per pair, level and seed: τJp against the outcome, the arms in colours."""
    text = points.source + " on " + points.target + ", level " + points.level.map("{:g}".format)
    named = points.assign(text=text, name=points.arm.map(ARM_NAMES))
    looks = {name: marks(ARM_COLOURS[arm], 6, ARM_SYMBOLS[arm], opacity=0.5) for arm, name in ARM_NAMES.items()}
    figure = outcome_over_tau_jp(
        named,
        outcome,
        looks,
        "Interference against τJp, pair by pair\na point per ordered pair of tasks, level and seed",
    )
    return figure.update_layout(legend_itemsizing="constant")


def forest(effects: pd.DataFrame) -> go.Figure:
    """Effects with their intervals, as shares of the untreated interference; colour and mark are the verdict.

    effects: application, arm, estimate, low, high, smallest, untreated, verdict. The controls' ρ has an axis of
    its own size and is left out. Causality predicts all but scale's to be positive and above the dotted line.
    """
    shares = effects[["estimate", "low", "high"]].div(effects.untreated.where(effects.untreated > 0), axis=0)
    shown = effects[["application", "arm", "verdict"]].join(shares)[effects.arm != "controls"]
    shown = shown.assign(name=pd.Categorical(shown.arm.map(ARM_NAMES), ARM_NAMES.values())).sort_values("name")
    # Verdicts without an arm stand in the legend as well.
    empty = [shown[:1].assign(verdict=verdict, estimate=np.nan) for verdict in VERDICTS]
    looks = {verdict: marks(colour, 11, symbol) for verdict, (colour, symbol) in VERDICTS.items()}
    figure = by_category(
        pd.concat([*empty, shown]), "name", "estimate", looks, by="verdict", panel="application", row_height=34,
        title="Interference that goes with a change of τJp\n95 % intervals; dotted: the least effect that counts",
        category_axis=dict(title="arm"), value_axis=dict(title="effect (share of untreated)"),
    )  # fmt: skip
    return figure.add_vline(x=0, line=GUIDE | dict(dash="solid")).add_vline(x=SMALLEST, line=GUIDE)


def turned_curves(points: pd.DataFrame, outcome: str) -> go.Figure:
    """Outcome and τJp over the movement that is put back, in its own direction (the edit arm) and in another one."""
    edit = points[points.arm == "edit"]
    both = pd.concat([edit.assign(level=1 - edit.level), points[points.arm == "turned"]])
    panels = {name: both[both.application == name].assign(value=both[outcome]) for name in APPLICATIONS}
    panels[BOTH] = both[both.application == APPLICATIONS[0]].assign(value=both.tau_jp)
    table = pd.concat([rows.assign(panel=name) for name, rows in panels.items()])
    means = table.groupby(["panel", "arm", "level"]).value.mean().reset_index()
    means = means.assign(name=means.arm.map({"edit": "own direction", "turned": "another source's direction"}))
    looks = {"own direction": series_line(0), "another source's direction": series_line(1)}
    titles = {name: f"{OUTCOMES[outcome]}<br>{name}" for name in APPLICATIONS} | {BOTH: TAU_JP}
    return lines(
        means, "level", "value", looks, panel="panel", own_y=titles, across=1, height=220,
        title="Direction against size\n0: edited; 1: with the untreated τJp; means over pairs",
        x_axis=dict(title="movement that is put back (1: up to the untreated τJp)"), y_axis=dict(rangemode="tozero"),
    )  # fmt: skip


def metrics_compared(metrics: dict[str, pd.DataFrame]) -> go.Figure:
    """How well each metric orders all points: Spearman's ρ with its interval. metrics: by application, of `compare_metrics`."""
    tables = [of.reset_index().assign(application=application) for application, of in metrics.items()]
    shown = pd.concat(tables).assign(name="metric")
    return by_category(
        shown, "metric", "rho", {"metric": marks(BLACK, 10) | dict(showlegend=False)}, panel="application", row_height=30,
        title="Which metric orders the points of all arms?\nrank correlation with the accuracy lost, 95 % intervals",
        category_axis=dict(title="metric"), value_axis=dict(title="Spearman's ρ"),
    ).add_vline(x=0, line=GUIDE | dict(dash="solid"))  # fmt: skip


def penalty_weight_curves(points: pd.DataFrame, training: pd.DataFrame, outcome: str) -> go.Figure:
    """λ against own accuracy, interference, τJp and training cost; every dot a seed, lines their means.

    points: of the dose arm; training: penalty_weight, seed, images (that a training sees, which is its cost and,
    other than seconds, the same everywhere).
    """
    dose = points[points.arm == "dose"]
    weights = sorted(dose.level.unique())
    once = dict(application=BOTH)
    panels = {"own_accuracy": dose, outcome: dose, "tau_jp": dose[dose.application == APPLICATIONS[0]].assign(**once)}
    panels["images"] = training.rename(columns={"penalty_weight": "level"}).assign(**once)
    titles = (OWN_ACCURACY, OUTCOMES[outcome], TAU_JP, "images seen in training")
    keys = ["panel", "application", "level"]
    rows = pd.concat([rows.assign(value=rows[panel], panel=panel) for panel, rows in panels.items()])
    seeds = rows.groupby([*keys, "seed"]).value.mean().reset_index()
    means = seeds.groupby(keys).value.mean().reset_index()
    table = pd.concat([seeds.assign(name=seeds.application + ", seeds"), means.assign(name=means.application)])
    looks = {}
    for name, look in zip((*APPLICATIONS, BOTH), (series_line(0), series_line(1), line(BLACK)), strict=True):
        looks[f"{name}, seeds"] = marks(look["line"]["color"], 6, opacity=0.6) | dict(
            legendgroup=name, showlegend=False
        )
        looks[name] = look
    return lines(
        table.assign(place=table.level.map(weights.index)), "place", "value", looks, panel="panel",
        own_y=dict(zip(panels, titles, strict=True)), title="What the penalty's weight λ buys and costs\nsmall dots: seeds; lines: their means",
        x_axis=dict(title="weight λ of the penalty", tickvals=list(range(len(weights))), ticktext=[f"{weight:g}" for weight in weights]),
        y_axis=dict(rangemode="tozero"),
    )  # fmt: skip


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
