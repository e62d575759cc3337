"""Which method is invariant and calibrated?"""

import numpy as np
import pandas as pd

from ..resampling import t_interval
from ..sentences import in_words, listed
from .benchmark import ORACLE

QUANTITIES = ("accuracy", "loss", "ece", "ace")
MOST_MOVED = 0.05  # accuracy from training to test, either way, of what counts as invariant here
LEVEL = 0.005  # of spreads of ECE: what differs by less is level
MOST_ECE = 0.05  # beyond the oracle's, of what counts as calibrated


def with_intervals(measured: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds and half the width of their 95 % interval (Student's t), a row an arm and environment.

    Columns QUANTITIES and QUANTITY_half; NaN where there is one seed.
    """
    rows = []
    for (data, arm, environment), group in measured.groupby(["data", "arm", "environment"], sort=False):
        row = {"data": data, "arm": arm, "environment": environment, "seeds": len(group), "steps": group.steps.mean()}
        for quantity in QUANTITIES:
            row[quantity] = group[quantity].mean()
            low, high = t_interval(group[quantity])
            row[f"{quantity}_half"] = (high - low) / 2
        rows.append(row)
    return pd.DataFrame(rows)


def shown(summary: pd.DataFrame, data: str) -> pd.DataFrame:
    """A row an arm: each quantity in the training environments and in the test environment, `mean ± half`."""
    columns = {}
    for quantity in QUANTITIES:
        for environment in ("training", "test"):
            rows = summary[(summary.data == data) & (summary.environment == environment)].set_index("arm")
            columns[f"{quantity}, {environment}"] = [
                f"{mean:.3f}" if np.isnan(half) else f"{mean:.3f} ± {half:.3f}"
                for mean, half in zip(rows[quantity], rows[f"{quantity}_half"], strict=True)
            ]
    return pd.DataFrame(columns, index=rows.index)


def invariance_table(summary: pd.DataFrame, data: str) -> pd.DataFrame:
    """A row an arm: accuracy at test, and by how much it is lower than in training (who uses the colour the other way
    round loses less than nothing); ece at test; the standard deviation of ECE over training, validation environment and
    test: Yoshida & Naganuma 2024 take calibration that is the same in all environments for invariance."""
    ours = summary[summary.data == data]
    accuracy, ece = (
        ours.pivot_table(index="arm", columns="environment", values=q, sort=False) for q in ("accuracy", "ece")
    )
    places = ["training", "validation environment", "test"]
    return pd.DataFrame(
        {
            "test accuracy": accuracy["test"],
            "accuracy lost": accuracy["training"] - accuracy["test"],
            "ece at test": ece["test"],
            "spread of ece": ece[places].std(axis=1, ddof=0),
        }
    )


def verdict(table: pd.DataFrame) -> dict[str, list[str]]:
    """Of `invariance_table`: arms but the oracle that are invariant, those that are calibrated as well, and those
    whose spread of ECE is the least, or level with it.

    Invariant: accuracy moves by at most MOST_MOVED from training to test. Calibrated: ECE at test at most MOST_ECE
    above the oracle's, or above 0 where there is none.
    """
    bound = MOST_ECE + (table["ece at test"][ORACLE] if ORACLE in table.index else 0.0)
    rivals = table.drop(index=ORACLE, errors="ignore")
    invariant = rivals[rivals["accuracy lost"].abs() <= MOST_MOVED]
    both = invariant[invariant["ece at test"] <= bound]
    spread = rivals["spread of ece"]
    return {
        "invariant": list(invariant.index),
        "invariant and calibrated": list(both.sort_values("ece at test").index),
        "least spread of ece": list(rivals.index[spread <= spread.min() + LEVEL]),
    }


def sentence(data: str, found: dict[str, list[str]]) -> str:
    """What `verdict` found on one data set, in one line."""
    invariant, both, least = ([in_words(arm) for arm in arms] for arms in found.values())
    if invariant:
        parts = [f"On {data}, {listed(invariant)} {verb(invariant)} invariant: accuracy moves by at most {MOST_MOVED}"]
        parts.append(
            f"{listed(both)} {verb(both)} calibrated as well" if both else "None of them is calibrated as well"
        )
    else:
        parts = [f"On {data}, no objective is invariant: accuracy moves by more than {MOST_MOVED} with each"]
    if least:
        parts.append(f"ECE differs least between environments with {listed(least)}")
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in parts)


def verb(names: list[str]) -> str:
    return "are" if len(names) > 1 else "is"
