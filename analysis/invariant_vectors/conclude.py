"""Does an invariant vector leave other tasks alone because it is invariant, or because it is short?

The prediction that was registered before anything was measured: a vector that does not use the colour moves less on other
tasks' pictures where these carry the colour, and no less on grey ones. So what tells is the interaction

    Δ = log(τJp_m / τJp_erm) on coloured pictures − the same on grey ones,

of a method m with ERM's vector of the same task, seed and application. It does not depend on either vector's norm, for τJp
is linear in τ. Δ < 0: invariance helps where the nuisance is. Δ = 0: the vector is shorter, or moves less, everywhere.
"""

import numpy as np
import pandas as pd

from ..resampling import t_interval
from ..sentences import in_words
from .measure import NORM, STOPPED, Measured
from .trained import ERM

UNIT = ["application", "task", "seed", "other"]


def invariant_kinds(measured: Measured, way: str) -> list[str]:
    """Those that have controls, in their order."""
    kinds = measured.vectors[measured.vectors.application == way].kind.unique()
    return [kind for kind in kinds if NORM.format(kind) in kinds]


def ratios_table(measured: Measured) -> pd.DataFrame:
    """A row an invariant method: geometric means over tasks, seeds and other tasks of τJp relative to ERM's.

    raw_grey, raw_coloured: to ERM's vector; norm_grey, norm_coloured: to ERM's at the same norm; accuracy_grey,
    accuracy_coloured: to ERM's when it was as accurate; interaction Δ with its 95 % interval (t over the n units, which
    share tasks and seeds and so are not quite independent), low, high, n.
    """
    rows = []
    logs = measured.effects.assign(value=np.log(measured.effects.tau_jp)).pivot_table(
        index=[*UNIT, "pictures"], columns="kind", values="value", sort=False
    )
    for way, erm in ERM.items():
        if way not in logs.index.get_level_values("application"):
            continue
        ours = logs.xs(way, level="application")
        for kind in invariant_kinds(measured, way):
            row: dict = {"application": way, "method": kind}
            rivals = {"raw": erm, "norm": NORM.format(kind), "accuracy": STOPPED.format(kind)}
            for name, rival in rivals.items():
                difference = (ours[kind] - ours[rival]).unstack("pictures")
                for pictures in ("grey", "coloured"):
                    row[f"{name}_{pictures}"] = float(np.exp(difference[pictures].mean()))
            difference = (ours[kind] - ours[erm]).unstack("pictures")
            interaction = difference.coloured - difference.grey
            low, high = t_interval(interaction)
            rows.append(row | {"interaction": interaction.mean(), "low": low, "high": high, "n": len(interaction)})
    return pd.DataFrame(rows)


def answers_table(measured: Measured) -> pd.DataFrame:
    """A row per kind of vector: accuracy on seen, flipped and grey pictures alone, and the four metrics on flipped ones, alone and
    merged; means over tasks and seeds."""
    means = measured.answers.groupby(["application", "kind", "set", "model"], sort=False).mean(numeric_only=True)
    alone = means.xs("alone", level="model").accuracy.unstack("set")[["seen", "flipped", "grey"]]
    flipped = means.xs("flipped", level="set")[["accuracy", "ece", "ace", "loss"]].unstack("model")
    flipped.columns = [f"{metric}_{model}" for metric, model in flipped.columns]
    return alone.join(flipped.drop(columns="accuracy_alone"))


def conclusion(ratios: pd.DataFrame, answers: pd.DataFrame) -> str:
    """A line for each method, and one for all: what holds of the registered prediction."""
    lines, helped, tested = [], 0, 0
    for row in ratios.itertuples():
        gain = answers.flipped[row.application, row.method] - answers.flipped[row.application, ERM[row.application]]
        level = "level with" if abs(gain) < 0.005 else f"{abs(gain):.2f} {'above' if gain > 0 else 'below'}"
        lines.append(
            f"{capitalised(in_words(row.method))}: accuracy on flipped colours is {level} that of ERM. τJp on other tasks is "
            f"{row.raw_grey:.2f} times that of ERM on grey pictures and {row.raw_coloured:.2f} times on coloured ones; at equal "
            f"norm {row.norm_grey:.2f} and {row.norm_coloured:.2f}. The interaction is {row.interaction:+.3f}{known(row)}."
        )
        if not np.isnan(row.low):
            tested += 1
            helped += row.high < 0
    if not tested:
        last = "One vector per method gives no interval, so nothing is concluded."
    elif helped:
        last = f"For {helped} of {tested} methods invariance lowers τJp where the other task carries the colour, as was predicted."
    else:
        last = f"For none of {tested} methods is τJp lowered more where the other task carries the colour, as was predicted."
    return "\n".join([*lines, last])


def capitalised(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def known(row) -> str:
    return "" if np.isnan(row.low) else f" (95 % interval {row.low:+.3f} to {row.high:+.3f}, n = {row.n})"
