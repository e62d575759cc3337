"""What was foreseen of published vectors, and what came, as pictures?"""

import pandas as pd
import plotly.graph_objects as go

from ..drawing import marks
from ..drawing import points as by_category
from ..figures import outcome_over_tau_jp
from ..pairs import APPLICATIONS

__all__ = ["APPLICATIONS", "foreseen_and_seen", "one_shot_of_sets"]

MEAN, BEST = "mean at α = 1", "mean at the tuned α"


def foreseen_and_seen(points: pd.DataFrame, outcome: str, colours: dict[str, str]) -> go.Figure:
    """One point per pair: τJp of s on t, measured before merging, and the outcome on t after it; t's in colours."""
    looks = {task: marks(colour, 10) | dict(name=f"on {task}") for task, colour in colours.items()}
    text = points.source + " on " + points.target
    title = "Foreseen and seen: a point for each ordered pair of vectors"
    return outcome_over_tau_jp(points.assign(text=text, name=points.target), outcome, looks, title)


def one_shot_of_sets(compared: pd.DataFrame, colours: dict[str, str]) -> go.Figure:
    """Test accuracy of the plain sum of each set of vectors: the mean over its tasks (bar) and each task (dot)."""
    means = compared.groupby(["application", "vectors"], sort=False)[["one_shot", "best"]].mean().reset_index()
    looks = {
        MEAN: dict(type="bar", orientation="h", marker_color="#d9d9d9"),
        BEST: marks("black", 22, "line-ns-open", line_width=2),
        **{task: marks(colour) for task, colour in colours.items()},
    }
    table = [means.assign(name=MEAN), means.assign(name=BEST, one_shot=means.best), compared.assign(name=compared.task)]
    return by_category(
        pd.concat(table), "vectors", "one_shot", looks, panel="application", title="One-shot addition before and after",
        category_axis=dict(title="sum of"), value_axis=dict(title="test accuracy of θ₀ + Στ", range=[0, 1.02]),
    )  # fmt: skip
