"""What was foreseen of published vectors, and what came, as pictures?"""

import pandas as pd
import plotly.graph_objects as go

from ..drawing import marks
from ..drawing import points as by_category
from ..figures import outcome_over_tau_jp
from ..pairs import APPLICATIONS
from ..palette import BLACK, GREY, PALE, task_symbols

__all__ = ["APPLICATIONS", "foreseen_and_seen", "one_shot_of_sets"]

MEAN, BEST = "mean at α = 1", "mean at the tuned α"


def foreseen_and_seen(points: pd.DataFrame, outcome: str, colours: dict[str, str]) -> go.Figure:
    """One point per pair: τJp of s on t, measured before merging, and the outcome on t after it; t's in colours."""
    looks = {task: look | dict(name=f"on {task}") for task, look in task_marks(colours, 10).items()}
    text = points.source + " on " + points.target
    title = "Harm foreseen by τJp, and harm seen\na point per pair of vectors, s on t; colour and mark: task t"
    return outcome_over_tau_jp(points.assign(text=text, name=points.target), outcome, looks, title)


def one_shot_of_sets(compared: pd.DataFrame, colours: dict[str, str]) -> go.Figure:
    """Test accuracy of the plain sum of each set of vectors: the mean over its tasks (bar) and each task (dot)."""
    means = compared.groupby(["application", "vectors"], sort=False)[["one_shot", "best"]].mean().reset_index()
    looks = {
        MEAN: dict(type="bar", orientation="h", marker=dict(color=PALE, line=dict(color=GREY, width=1))),
        BEST: marks(BLACK, 22, "line-ns-open", line_width=2),
        **task_marks(colours, 9),
    }
    table = [means.assign(name=MEAN), means.assign(name=BEST, one_shot=means.best), compared.assign(name=compared.task)]
    return by_category(
        pd.concat(table), "vectors", "one_shot", looks, panel="application", title="Accuracy of the plain sum of each set\nbars: means over the tasks; marks: each task, at α = 1",
        category_axis=dict(title="sum of"), value_axis=dict(title="test accuracy of θ₀ + Στ (share of images)", range=[0, 1.02]),
    )  # fmt: skip


def task_marks(colours: dict[str, str], size: float) -> dict[str, dict]:
    symbols = task_symbols(list(colours))
    return {task: marks(colour, size, symbols[task]) for task, colour in colours.items()}
