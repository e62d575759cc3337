"""How do the runs that exist compare with the numbers of the paper's two tables?

Accuracies are in percent, as published: absolute and normalised for addition, on the target and on the control for
negation. The published τJp numbers stand beside `taujp-efficient`. They come from Yoshida et al. (ICLR 2025) and from
papers that ran the same methods again, as TAK (arXiv 2602.17385) did: settings matter, so each is named.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from taujp_core.files import read_json

from ..published_numbers import QUANTITIES, load_published
from .published import CHOICES

TABLES = {
    "addition": {
        "pre-trained": ("zero_shot", None),
        "one-shot": ("one_shot", "normalised_one_shot"),
        "tuned": ("tuned", "normalised_tuned"),
    },
    "negation": {
        "pre-trained": ("pretrained_target", "pretrained_control"),
        "one-shot": ("one_shot_target", "one_shot_control"),
        "tuned": ("tuned_target", "tuned_control"),
    },
}
NOTEBOOKS = {"addition": "30_addition", "negation": "31_negation"}
METHODS = ("standard", "linear", "taujp-efficient")  # of the published tables


def load_summary(folder: Path, table: str, suite: str) -> dict | None:
    """What `30_addition` or `31_negation` recorded in FOLDER/SUITE-TABLE/summary.json; None if there is none.

    Raises ValueError if the file is not such a record.
    """
    file = Path(folder) / f"{suite}-{table}" / "summary.json"
    if not file.is_file():
        return None
    summary = read_json(file)
    if not isinstance(summary, dict) or not {"suite", "tasks", "recipe", "rows"} <= summary.keys():
        raise ValueError(f"{file} is not a record of {NOTEBOOKS[table]}: run that notebook again")
    if summary["suite"] != suite:
        raise ValueError(f"{file} belongs to suite {summary['suite']}, not to {suite}")
    return summary


def report_rows(table: str, suite: str, summary: dict | None) -> pd.DataFrame:
    """A row for each method, choice of α and quantity: measured mean, standard deviation over seeds, n, and a
    column for each publication; NaN where there is no number."""
    measured = pd.DataFrame(summary["rows"] if summary else [], columns=None if summary else ["method"])
    methods = list(dict.fromkeys([*METHODS, *measured.method]))
    published = load_published(table, suite)
    published = published[published.method.isin(["pre-trained", *methods])]
    cells = [("pre-trained", "pre-trained"), *((method, c) for method in methods for c in ("one-shot", "tuned"))]
    rows = []
    for method, choice in cells:
        ours = measured if method == "pre-trained" else measured[measured.method == method]
        for quantity, column in zip(QUANTITIES[table], TABLES[table][choice], strict=True):
            if column is None:
                continue
            # The pre-trained model is the same for every method and seed.
            values = 100 * pd.to_numeric(ours[column]).to_numpy() if len(ours) else np.array([])
            values = values[:1] if method == "pre-trained" else values
            row = {"suite": suite, "table": table, "method": method, "choice": choice, "quantity": quantity}
            row["measured"] = values.mean() if len(values) else np.nan
            row["deviation"] = values.std(ddof=1) if len(values) > 1 else np.nan
            row["n"] = len(values)
            for source, theirs in published.groupby("source", sort=False):
                found = theirs[(theirs.method == method) & (theirs.coefficient == CHOICES[choice])][quantity]
                row[source] = found.iloc[0] if len(found) else np.nan
            rows.append(row)
    return pd.DataFrame(rows)


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """One table as people read it: a row for each method and choice, both quantities in a cell, "a / b"."""
    sources = [column for column in rows.columns[8:]]
    lines = {}
    for (method, choice), cell in rows.groupby(["method", "choice"], sort=False):
        line = {"measured": joined(cell.apply(measured_text, axis=1)), "n": cell.n.max()}
        for source in sources:
            line[source] = joined(f"{value:.1f}" for value in cell[source] if not np.isnan(value)) or "–"
            difference = (cell.measured - cell[source]).dropna()
            line[f"− {source.split()[0].rstrip(',')}"] = joined(f"{value:+.1f}" for value in difference) or "–"
        lines[method, {**CHOICES, "pre-trained": "–"}[choice]] = line
    table = pd.DataFrame.from_dict(lines, orient="index")
    table.index = pd.MultiIndex.from_tuples(table.index, names=["method", "α"])
    return table


def trainings_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Of `analysis.studies.collect`: trainings of each suite and method, and their means; seconds in all."""
    groups = runs.groupby(["suite", "method"], sort=False)
    means = groups[["zero_shot", "accuracy", "tau_norm", "seconds", "images_per_second"]].mean()
    return means.assign(trainings=groups.size(), seconds_in_all=groups.seconds.sum())


def measured_text(row: pd.Series) -> str:
    if np.isnan(row.measured):
        return "missing"
    return f"{row.measured:.1f}" + ("" if np.isnan(row.deviation) else f" ± {row.deviation:.1f}")


def joined(parts: Iterable[str]) -> str:
    parts = list(parts)
    return "missing" if set(parts) == {"missing"} else " / ".join(parts)


def command(table: str, suite: str, folder: str, summary: dict | None) -> str | None:
    """The papermill line that fills a table's missing cells, or None if all are there.

    It names all methods and seeds, for it writes the table anew; finished runs are loaded, not trained again.
    """
    rows = pd.DataFrame(summary["rows"] if summary else [], columns=None if summary else ["method", "seed"])
    if set(METHODS) <= set(rows.method):
        return None
    methods = ", ".join(dict.fromkeys([*METHODS, *rows.method]))
    seeds = ", ".join(map(str, sorted(set(rows.seed)))) or "0"
    output = f"{folder}/{suite}-{table}"
    parameters = (
        f"{{suite: {suite}, tasks: [], methods: [{methods}], seeds: [{seeds}], recipe: {{}}, images: 0, "
        f"output: {output}}}"
    )
    return f"papermill notebooks/{NOTEBOOKS[table]}.ipynb {output}/{NOTEBOOKS[table]}.ipynb -y '{parameters}'"
