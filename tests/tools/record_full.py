"""Which tables of the full versions do the notebooks draw?

    python tests/tools/record_full.py        reads results/mini and writes analysis/recorded

A table is read from the data of a figure in the executed notebook, so it has the digits that the figure has; that of 20 from
the points and the summary that lie beside its notebook. Columns are those that the figure's function in `analysis` takes.
"""

import base64
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from analysis.full_versions import FOLDER  # noqa: E402

RESULTS = ROOT / "results" / "mini"
PLOTLY = "application/vnd.plotly.v1+json"
# By the name of an application or a verdict in results of before it was renamed.
NOW_CALLED = {"non-linear": "encoder", "silent": "undecided"}


def figures(name: str) -> Iterator[dict]:
    """Those of an executed notebook, in their order, as plotly's JSON."""
    for cell in json.loads((RESULTS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            if PLOTLY in output.get("data", {}):
                yield output["data"][PLOTLY]


def values(array: list | dict) -> list:
    if isinstance(array, dict):
        return np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"]).tolist()
    return array


def traces(name: str, title: str) -> pd.DataFrame:
    """The first figure whose title begins so, a row a point: panel (its title), trace (its number), name, x, y, text."""
    figure = next(found for found in figures(name) if found["layout"]["title"]["text"].startswith(title))
    panels = [NOW_CALLED.get(note["text"], note["text"]) for note in figure["layout"].get("annotations", [])]
    rows = []
    for number, trace in enumerate(figure["data"]):
        place = int((trace.get("xaxis") or "x").removeprefix("x") or 1) - 1
        x, y = values(trace["x"]), values(trace["y"])
        columns = {"panel": panels[place] if panels else place, "trace": number, "name": trace.get("name")}
        rows.append(pd.DataFrame({"x": x, "y": y, "text": trace.get("text", [None] * len(x))}).assign(**columns))
    return pd.concat(rows, ignore_index=True)


def pretraining() -> pd.DataFrame:
    """step, loss, accuracy."""
    found = traces("05_pretrain_mini", "Pre-training").pivot(index="x", columns="panel", values="y")
    return found.set_axis(["loss", "accuracy"], axis=1).rename_axis("step").reset_index()


def causal_effects() -> pd.DataFrame:
    """application, outcome, arm and what is known of its effect."""
    rows = json.loads((RESULTS / "causal-probe" / "summary.json").read_text(encoding="utf-8"))["effects"]
    columns = ["application", "outcome", "arm", "estimate", "low", "high", "smallest", "untreated", "verdict"]
    return pd.DataFrame(rows)[columns].replace({"application": NOW_CALLED, "verdict": NOW_CALLED}).round(5)


def causal_levels() -> pd.DataFrame:
    """application, arm, method, level, step, tau_jp (a geometric mean over pairs), accuracy_loss, loss_change (means)."""
    points = pd.read_csv(RESULTS / "causal-probe" / "points.csv").replace({"application": NOW_CALLED})
    last = points[(points.arm != "onset") | (points.step == points.step.max())]
    keys = ["application", "arm", "method", "level", "step"]
    means = (
        last.assign(tau_jp=np.log2(last.tau_jp))
        .groupby(keys, sort=False)[["tau_jp", "accuracy_loss", "loss_change"]]
        .mean()
    )
    return means.assign(tau_jp=2**means.tau_jp).round(5).reset_index()


def analogy_gains() -> pd.DataFrame:
    """method, quadruple, gain over zero-shot, and τJp of each vector."""
    found = traces("32_analogy", "Gain of the analogy").rename(columns={"name": "method", "text": "quadruple"})
    keys = ["method", "quadruple"]
    tau_jp = found.pivot_table(index=keys, columns="panel", values="x", sort=False).add_prefix("τJp of ")
    return tau_jp.assign(**{"gain over zero-shot": found.groupby(keys, sort=False).y.first()}).reset_index()


def continual_averages() -> pd.DataFrame:
    """method, order, arrival, average_accuracy: of three orders that have the figure's mean and range."""
    found, rows = traces("40_continual", "Average accuracy"), []
    bands, means = found[found.name.isna()], found[found.name.notna()]
    for (number, method), mean in means.groupby(["trace", "name"], sort=False):
        band = bands[bands.trace == number - 1].groupby("x").y
        mean = mean.set_index("x").y
        for order, value in enumerate((band.min(), 3 * mean - band.min() - band.max(), band.max()), 1):
            rows.append(
                value.rename("average_accuracy").rename_axis("arrival").reset_index().assign(method=method, order=order)
            )
    return pd.concat(rows, ignore_index=True)[["method", "order", "arrival", "average_accuracy"]].round(4)


def published_pairs() -> pd.DataFrame:
    """application, source, target, tau_jp, loss_change."""
    found = traces("50_public_checkpoints", "Foreseen and seen")
    found = found.assign(target=found.name.str.removeprefix("on "))
    return found.rename(columns={"panel": "application", "text": "source", "x": "tau_jp", "y": "loss_change"})[
        ["application", "source", "target", "tau_jp", "loss_change"]
    ]


def published_sets() -> pd.DataFrame:
    """application, vectors, task, one_shot, and best: the mean over the tasks at the tuned α."""
    found = traces("50_public_checkpoints", "One-shot addition")
    found = found.rename(columns={"panel": "application", "x": "vectors", "name": "task", "y": "one_shot"})
    best = found[found.task == "mean at the tuned α"].rename(columns={"one_shot": "best"})
    tasks = found[~found.task.str.startswith("mean")]
    keys = ["application", "vectors"]
    return tasks.merge(best[[*keys, "best"]], on=keys)[[*keys, "task", "one_shot", "best"]]


def arena_images() -> pd.DataFrame:
    """merge, images, data_free, accuracy."""
    found = traces("52_arena", "Accuracy at α = 1 against images")
    points = found.groupby("name").x.transform("size")
    free = points == points.min()  # a level: a line between two ends
    first = found[~free | ~found.duplicated("name")].assign(data_free=free)
    first = first.rename(columns={"name": "merge", "x": "images", "y": "accuracy"})
    return first.assign(images=first.images.where(~first.data_free, 0))[["merge", "images", "data_free", "accuracy"]]


def arena_tasks() -> pd.DataFrame:
    """merge, tasks, normalised."""
    found = traces("52_arena", "Accuracy at α = 1 against the number")
    return found.rename(columns={"name": "merge", "x": "tasks", "y": "normalised"})[["merge", "tasks", "normalised"]]


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    table.__name__: table
    for table in (
        pretraining, causal_effects, causal_levels, analogy_gains, continual_averages, published_pairs, published_sets,
        arena_images, arena_tasks,
    )
}  # fmt: skip


if __name__ == "__main__":
    for name, table in TABLES.items():
        table().to_csv(FOLDER / f"{name}.csv", index=False)
