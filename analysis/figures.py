"""How do addition, negation, τJp, disentanglement and a training look, and which colour has a task?"""

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from torch import Tensor

from .drawing import (
    CHOSEN,
    FEW,
    LETTER,
    MEAN,
    RIGHT,
    SINGLE_TASK,
    TEMPLATE,
    WIDTH,
    ZERO_SHOT,
    headed,
    line,
    lines,
    marked_line,
    matrices,
    method_line,
    series_line,
)
from .palette import BLACK, task_symbols
from .palette import task_colours as task_colours

SHARE = "(share of images)"
OUTCOMES = {
    "accuracy_loss": "accuracy lost on t<br>(share of images)",
    "loss_change": "rise of t's loss<br>(nats)",
    "changed": "changed predictions<br>(share of images)",
}


def accuracy_versus_coefficient(
    curves: pd.DataFrame, single: pd.DataFrame, tuned: dict[str, float], colours: dict[str, str]
) -> go.Figure:
    """A panel per method: test accuracy of each task (thin) and their mean (bold) over the coefficient.

    curves: method, seed, task, split, coefficient, accuracy; single: method, seed, task, split, accuracy;
    tuned: chosen α by method, averaged over seeds. Values are averaged over seeds.
    """
    test = curves[(curves.split == "test") & curves.method.isin(tuned)]
    tasks = test.groupby(["method", "task", "coefficient"], sort=False).accuracy.mean().reset_index()
    mean = tasks.groupby(["method", "coefficient"], sort=False).accuracy.mean()
    alone = single[single.split == "test"].groupby("method").accuracy.mean()
    parts = task_lines(tasks, colours) | {
        "mean of the tasks": (MEAN, mean.reset_index()),
        "mean of the single-task models": (SINGLE_TASK, level(alone)),
        "zero-shot mean": (ZERO_SHOT, level(mean.xs(0.0, level="coefficient"))),
        "α tuned on validation": (CHOSEN, on_curve(mean, tuned)),
    }
    title = "Accuracy of the sum, by its coefficient\nθ₀ + α·Στ on each task's test images; a panel per method"
    return over_coefficient(parts, title, f"test accuracy<br>{SHARE}")


def negation_curves(curves: pd.DataFrame, test: pd.DataFrame, colours: dict[str, str]) -> go.Figure:
    """A panel per method: validation accuracy on each negated task (thin), their mean (bold) and the control's mean.

    curves: method, seed, task, coefficient, target, control; test: method, choice, coefficient, whose tuned
    coefficients are averaged. Values are averaged over seeds.
    """
    keys, last = ["method", "coefficient"], curves.coefficient.max()
    curves = curves.rename(columns={"target": "accuracy"})
    tasks = curves.groupby(["method", "task", "coefficient"], sort=False).accuracy.mean().reset_index()
    mean = curves.groupby(keys, sort=False).accuracy.mean()
    control = curves.groupby(keys, sort=False).control.mean().rename("accuracy")
    tuned = test[test.choice == "tuned"].groupby("method").coefficient.mean().to_dict()
    parts = task_lines(tasks, colours) | {
        "mean of the negated tasks": (MEAN, mean.reset_index()),
        "control, mean": (line(BLACK, 4, "dot"), control.reset_index()),
        "95 % of the control's accuracy": (SINGLE_TASK, level(0.95 * control.xs(0.0, level="coefficient"), last)),
        "mean tuned α": (CHOSEN, pd.concat([on_curve(mean, tuned), on_curve(control, tuned)])),
    }
    title = "What subtraction takes from task and control\nθ₀ − α·τ of one vector at a time; a panel per method"
    return over_coefficient(parts, title, f"validation accuracy<br>{SHARE}", last)


def over_coefficient(parts: dict, title: str, y_title: str, last: float = 1.0) -> go.Figure:
    """A panel per method: accuracy over the coefficient. parts: by name, the look and the rows."""
    return lines(
        pd.concat([rows.assign(name=name) for name, (_, rows) in parts.items()]), "coefficient", "accuracy",
        {name: look for name, (look, _) in parts.items()}, panel="method", title=title,
        x_axis=dict(title="coefficient α", range=[-0.02 * last, 1.03 * last]),
        y_axis=dict(title=y_title, range=[0, 1.02]),
    )  # fmt: skip


def task_lines(tasks: pd.DataFrame, colours: dict[str, str]) -> dict:
    looks = {task: task_line(colours, task) for task in colours}
    return {task: (looks[task], rows) for task, rows in tasks.groupby("task", sort=False)}


def task_line(colours: dict[str, str], task: str) -> dict:
    """In the task's colour, with its mark here and there; colours: of the whole suite."""
    return marked_line(colours[task], 1.3, symbol=task_symbols(list(colours))[task], **FEW)


def level(values: pd.Series, end: float = 1.0) -> pd.DataFrame:
    """The values (index: method), each at both ends of a line from coefficient 0 to `end`."""
    return pd.concat([values.reset_index().assign(coefficient=at) for at in (0.0, end)])


def on_curve(values: pd.Series, tuned: dict[str, float]) -> pd.DataFrame:
    """Values (index: method, coefficient) at each method's tuned coefficient, interpolated."""
    rows = [(method, at, np.interp(at, values[method].index, values[method])) for method, at in tuned.items()]
    return pd.DataFrame(rows, columns=["method", "coefficient", values.name]).dropna()


def tau_jp_matrix(tau_jp: pd.DataFrame) -> go.Figure:
    """A matrix per method: τJp of each vector (row) on each data set (column), averaged over seeds.

    tau_jp: method, seed, vector, data_set, tau_jp. All methods share the (logarithmic) colour scale.
    """
    return matrices(
        tau_jp, "vector", "data_set", "tau_jp", panel="method", title="How far each vector moves each task's images\nτJp, the mean ‖J(x)τ‖₂ over validation images; light: little",
        x_axis=dict(title="images of", tickangle=40), y_axis=dict(title="task vector of", autorange="reversed"), digits=".3g", log=True,
        colour_axis=dict(colorbar_title="τJp<br>(log scale)"), hover="vector of %{y} on %{x}: τJp = %{text}", little_is_good=True,
        height=100 + 32 * tau_jp.vector.nunique(),
    )  # fmt: skip


def disentanglement_maps(maps: pd.DataFrame, pair: list[str]) -> go.Figure:
    """A map per method: the disentanglement error over the coefficients of two vectors; between 0 and 1 is outlined.

    maps: method, alpha_1, alpha_2, error (0 to 2); pair: the vectors' tasks.
    """
    figure = matrices(
        maps, "alpha_2", "alpha_1", "error", panel="method",
        title="How much two vectors disturb each other\ndisentanglement error ξ: share of predictions that change, summed over both tasks; light: few",
        x_axis=dict(title=f"coefficient α₁ of {pair[0]}"), y_axis=dict(title=f"coefficient α₂ of {pair[1]}"),
        colour_axis=dict(cmin=0, cmax=2, colorbar_title="ξ"), hover="α₁ = %{x}, α₂ = %{y}: ξ = %{z:.2f}", little_is_good=True,
    )  # fmt: skip
    for outline in (dict(color="white", width=3), dict(color=BLACK, width=1.5, dash="dash")):
        figure.add_shape(type="rect", x0=0, x1=1, y0=0, y1=1, line=outline, row="all", col="all")
    return figure.update_traces(xgap=0, ygap=0)


def outcome_over_tau_jp(points: pd.DataFrame, outcome: str, looks: dict, title: str) -> go.Figure:
    """A panel per application: what s does to t over τJp of s on t. points: application, tau_jp, the outcome, name, text."""
    ticks = [digit * 10.0**k for k in range(-2, 4) for digit in (1, 2, 3, 5, 7)]
    return lines(
        points, "tau_jp", outcome, looks, panel="application", title=title, height=400,
        x_axis=dict(title="τJp of s on t: mean ‖Jτ‖₂ (log scale)", type="log", tickvals=ticks),
        y_axis=dict(title=OUTCOMES[outcome]),
    )  # fmt: skip


def training_curves(record: dict) -> go.Figure:
    """Loss, penalty and validation accuracy over the steps of one run."""
    config, history, curve = record["config"], pd.DataFrame(record["history"]), pd.DataFrame(record["curve"])
    history, look = history.set_index("step"), method_line(config["method"], 2, **FEW)
    panels = {"task loss (nats)": history.loss}
    if config["penalty_weight"]:
        # The step before the penalty starts, and data sets in turn, leave no value or a jagged one.
        panels["mean ‖Jτ‖₂, other data"] = history.penalty[history.index > config["penalty_start"]]
    panels[f"validation accuracy<br>{SHARE}"] = curve.set_index("step").validation_accuracy
    title = f"Fine-tuning on {config['task']}, step by step\n{config['method']}, seed {config['seed']}"
    return over_steps(panels, dict.fromkeys(panels, look), title)


def pretraining_curves(history: pd.DataFrame) -> go.Figure:
    """Contrastive loss and share of images that pick their own caption, over steps."""
    history = history.set_index("step")
    panels = {"contrastive loss (nats)": history.loss, f"own caption found<br>{SHARE}": history.accuracy}
    return over_steps(panels, dict.fromkeys(panels, series_line(0, 1, **FEW)), "Contrastive pre-training, step by step")


def over_steps(panels: dict[str, pd.Series], looks: dict[str, dict], title: str) -> go.Figure:
    """Series over the steps below one another, by the titles of their y axes."""
    table = pd.concat(panels, names=["panel", "step"]).rename("value").reset_index()
    looks = {name: look | dict(showlegend=False) for name, look in looks.items()}
    return lines(
        table, "step", "value", looks, by="panel", panel="panel", own_y={name: name for name in panels}, across=1,
        height=190, title=title, x_axis=dict(title="optimiser step"), y_axis=dict(rangemode="tozero"),
    )  # fmt: skip


def contact_sheet(images: dict[str, Tensor], title: str) -> go.Figure:
    """One row of pictures per name; each tensor is uint8 [n, 3, h, w], with the same n."""
    rows = [np.concatenate(list(batch.permute(0, 2, 3, 1).numpy()), 1) for batch in images.values()]
    height, width, _ = rows[0].shape
    figure = px.imshow(np.concatenate(rows, 0), binary_string=True)
    figure.update_traces(hoverinfo="skip", hovertemplate=None)
    # The pictures keep their shape, and stand at the left of a cell that is wider than they are.
    figure.update_xaxes(visible=False, constrain="domain", constraintoward="left")
    ticks = dict(tickvals=[height * (k + 0.5) for k in range(len(rows))], ticktext=list(images))
    figure.update_yaxes(**ticks, constrain="domain", constraintoward="top")
    left = 20 + LETTER * max(map(len, images))
    side = min(46, (WIDTH - left - RIGHT) * height / width)  # of a picture
    figure.update_layout(template=TEMPLATE)
    return headed(figure, title, side * len(rows), dict(l=left, r=RIGHT, b=20))
