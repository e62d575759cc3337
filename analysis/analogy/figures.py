"""When do analogies work, as pictures?"""

import pandas as pd
import plotly.graph_objects as go

from ..drawing import CHOSEN, FEW, GUIDE, MEAN, ZERO_SHOT, lines, method_line, series_line
from ..figures import SHARE, level, on_curve, over_coefficient
from .quadruples import VECTORS

ZERO, TUNED = "zero-shot", "mean tuned α of the analogy"
LOOKS = {
    "analogy": MEAN,
    "source alone": series_line(0, **FEW),
    "other alone": series_line(1, **FEW),
    "fine-tuned": series_line(2, **FEW),
    ZERO: ZERO_SHOT,
    TUNED: CHOSEN,
}


def analogy_curves(curves: pd.DataFrame, test: pd.DataFrame) -> go.Figure:
    """A panel per method: validation accuracy on the target over the coefficient, of every model; means over
    quadruples and seeds, as is the tuned α of the analogy.

    curves: method, seed, quadruple, model, coefficient, accuracy; test: method, model, choice, coefficient.
    """
    means = curves.groupby(["method", "model", "coefficient"], sort=False).accuracy.mean()
    analogy = means.xs("analogy", level="model")
    tuned = test[(test.model == "analogy") & (test.choice == "tuned")].groupby("method").coefficient.mean().to_dict()
    rows = dict(tuple(means.reset_index().groupby("model")))
    rows |= {ZERO: level(analogy.xs(0.0, level="coefficient")), TUNED: on_curve(analogy, tuned)}
    parts = {name: (look, rows[name]) for name, look in LOOKS.items()}
    title = "What an analogy of three vectors reaches\nθ₀ + α·(τ other + τ source − τ source other) on the target; means over quadruples and seeds"
    return over_coefficient(parts, title, f"validation accuracy on the target<br>{SHARE}")


def gain_against_tau_jp(gained: pd.DataFrame) -> go.Figure:
    """A panel per vector: the analogy's gain over zero-shot at α = 1 over τJp on the target, a point per quadruple.

    gained: index method, quadruple; columns "gain over zero-shot" and "τJp of VECTOR".
    """
    long = gained.rename(columns=lambda name: name.removeprefix("τJp of ")).reset_index().melt(
        ["method", "quadruple", "gain over zero-shot"], list(VECTORS), "vector", "tau_jp"
    )  # fmt: skip
    figure = lines(
        long.rename(columns={"quadruple": "text"}), "tau_jp", "gain over zero-shot",
        {method: method_line(method, size=9) | dict(mode="markers") for method in long.method}, by="method", panel="vector", own_x=True,
        title="What an analogy gains, by τJp of its vectors\na point per quadruple of tasks; a panel per vector",
        x_axis=dict(title="τJp on the target's images: mean ‖Jτ‖₂", rangemode="tozero"),
        y_axis=dict(title="gain over zero-shot at α = 1<br>(share of images)"),
    )  # fmt: skip
    return figure.add_hline(y=0, line=GUIDE)
