"""How is a table shown, and which colour has a task?

Figures: from tidy tables to plotly. A task keeps its colour in all of them.
"""

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from torch import Tensor

PALETTE = px.colors.qualitative.D3
METHOD_COLOURS = {
    "standard": "#7f7f7f",
    "post-hoc-linearised": "#17becf",
    "linear": "#1f77b4",
    "taujp-strict": "#9467bd",
    "taujp-efficient": "#d62728",
}
AXES = {
    "accuracy_loss": "accuracy lost on t<br>(share of images)",
    "loss_change": "rise of t's loss<br>(nats)",
    "changed": "changed predictions<br>(share of images)",
}
FONT = dict(family="Arial, sans-serif", size=13)


def task_colours(names: list[str]) -> dict[str, str]:
    """Colour of each data set by its place in the suite; pass the suite's whole list."""
    return {name: PALETTE[k % len(PALETTE)] for k, name in enumerate(names)}


def method_colour(method: str) -> str:
    """Of a method that is not in the list, one of the palette's, always the same."""
    return METHOD_COLOURS.get(method) or PALETTE[sum(method.encode()) % len(PALETTE)]


def styled(figure: go.Figure, title: str, height: int, width: int) -> go.Figure:
    return figure.update_layout(
        template="plotly_white", title=title, font=FONT, height=height, width=width, margin=dict(l=70, r=20, t=80, b=60)
    )


def below(figure: go.Figure, left: int = 90) -> go.Figure:
    """The legend under the axes, so that it never covers a curve, and room for axis titles of two lines."""
    legend = dict(orientation="h", yanchor="top", y=-144 / figure.layout.height)
    return figure.update_layout(legend=legend, margin_b=150, margin_l=left)


def log_axis(figure: go.Figure) -> None:
    ticks = [digit * 10.0**k for k in range(-2, 4) for digit in (1, 2, 3, 5, 7)]
    figure.update_xaxes(type="log", title="τJp of s on t: mean ‖Jτ‖₂ (log scale)", tickvals=ticks)


def accuracy_versus_coefficient(
    curves: pd.DataFrame, single: pd.DataFrame, tuned: dict[str, float], colours: dict[str, str]
) -> go.Figure:
    """A panel a method: test accuracy of each task (thin) and their mean (bold) over the coefficient.

    curves: method, seed, task, split, coefficient, accuracy; single: method, seed, task, split, accuracy;
    tuned: chosen α by method, averaged over seeds. Values are averaged over seeds.
    """
    methods = list(tuned)
    figure = make_subplots(cols=len(methods), shared_yaxes=True, subplot_titles=methods, horizontal_spacing=0.03)
    test = curves[curves.split == "test"]
    for column, method in enumerate(methods, 1):
        ours = test[test.method == method].groupby(["task", "coefficient"], sort=False).accuracy.mean()
        for task in ours.index.unique("task"):
            figure.add_scatter(
                x=ours[task].index, y=ours[task].round(4), name=task, legendgroup=task, showlegend=column == 1,
                line=dict(color=colours[task], width=1.3), row=1, col=column,
            )  # fmt: skip
        mean = ours.groupby("coefficient").mean()
        level = single[(single.split == "test") & (single.method == method)].accuracy.mean()
        marks = [
            ("mean of the tasks", mean.index, mean, dict(color="black", width=4)),
            ("mean of the single-task models", [0, 1], [level] * 2, dict(color="black", width=1.5, dash="dash")),
            ("zero-shot mean", [0, 1], [mean[0.0]] * 2, dict(color="black", width=1.5, dash="dot")),
        ]
        for name, x, y, line in marks:
            figure.add_scatter(
                x=list(x), y=np.round(list(y), 4), name=name, legendgroup=name, showlegend=column == 1, mode="lines",
                line=line, row=1, col=column,
            )  # fmt: skip
        nearest = mean.index[np.abs(mean.index - tuned[method]).argmin()]
        figure.add_scatter(
            x=[nearest], y=[round(mean[nearest], 4)], name="α tuned on validation", legendgroup="tuned",
            showlegend=column == 1, mode="markers", marker=dict(color="black", size=13, symbol="star"),
            row=1, col=column,
        )  # fmt: skip
    figure.update_xaxes(title="coefficient α", range=[-0.02, 1.03])
    figure.update_yaxes(range=[0, 1.02])
    figure.update_yaxes(title="test accuracy", col=1)
    return styled(figure, "Accuracy of θ₀ + α·Στ", 540, 230 + 310 * len(methods))


def negation_curves(curves: pd.DataFrame, test: pd.DataFrame, colours: dict[str, str]) -> go.Figure:
    """A panel a method: validation accuracy on each negated task (thin), their mean (bold) and the control's mean.

    curves: method, seed, task, coefficient, target, control; test: method, choice, coefficient, whose tuned
    coefficients are averaged. Values are averaged over seeds.
    """
    methods = list(curves.method.unique())
    figure = make_subplots(cols=len(methods), shared_yaxes=True, subplot_titles=methods, horizontal_spacing=0.03)
    for column, method in enumerate(methods, 1):
        ours = curves[curves.method == method]
        for task, rows in ours.groupby("task", sort=False):
            mean = rows.groupby("coefficient").target.mean()
            figure.add_scatter(
                x=mean.index, y=mean.round(4), name=task, legendgroup=task, showlegend=column == 1,
                line=dict(color=colours[task], width=1.3), row=1, col=column,
            )  # fmt: skip
        means = ours.groupby("coefficient")[["target", "control"]].mean()
        before = means.control[0.0]
        marks = [
            ("mean of the negated tasks", means.index, means.target, dict(color="black", width=4)),
            ("control, mean", means.index, means.control, dict(color="black", width=4, dash="dot")),
            ("95 % of the control's accuracy", [0, means.index[-1]], [0.95 * before] * 2,
             dict(color="black", width=1.5, dash="dash")),
        ]  # fmt: skip
        for name, x, y, line in marks:
            figure.add_scatter(
                x=list(x), y=np.round(list(y), 4), name=name, legendgroup=name, showlegend=column == 1, mode="lines",
                line=line, row=1, col=column,
            )  # fmt: skip
        tuned = test[(test.method == method) & (test.choice == "tuned")].coefficient.mean()
        figure.add_vline(x=tuned, line=dict(color="#2ca02c", dash="dash"), row=1, col=column)
        figure.add_annotation(
            x=tuned, y=1.0, yanchor="top", xanchor="left", text="mean tuned α", showarrow=False,
            font=dict(color="#2ca02c", size=12), row=1, col=column,
        )  # fmt: skip
    figure.update_xaxes(title="coefficient α", range=[-0.02, curves.coefficient.max() * 1.02])
    figure.update_yaxes(range=[0, 1.02])
    figure.update_yaxes(title="validation accuracy", col=1)
    return styled(figure, "Accuracy of θ₀ − α·τ on the negated task and on the control", 540, 270 + 310 * len(methods))


def tau_jp_matrix(tau_jp: pd.DataFrame) -> go.Figure:
    """A heat map a method: τJp of each vector (row) on each data set (column), averaged over seeds.

    tau_jp: method, seed, vector, data_set, tau_jp. All methods share the (logarithmic) colour scale.
    """
    methods = list(tau_jp.method.unique())
    order_rows, order_columns = list(tau_jp.vector.unique()), list(tau_jp.data_set.unique())
    figure = make_subplots(cols=len(methods), shared_yaxes=True, subplot_titles=methods, horizontal_spacing=0.03)
    for column, method in enumerate(methods, 1):
        ours = tau_jp[tau_jp.method == method]
        values = ours.pivot_table(index="vector", columns="data_set", values="tau_jp").loc[order_rows, order_columns]
        figure.add_heatmap(
            z=np.log10(values.to_numpy().clip(min=1e-6)).round(4), x=order_columns, y=order_rows, coloraxis="coloraxis",
            text=[[f"{value:.3g}" for value in row] for row in values.to_numpy()], texttemplate="%{text}",
            hovertemplate="vector of %{y} on %{x}: τJp = %{text}<extra></extra>", row=1, col=column,
        )  # fmt: skip
    ticks = [digit * 10.0**k for k in range(-3, 4) for digit in (1, 2, 5)]
    bar = dict(title="τJp", tickvals=np.log10(ticks).round(4), ticktext=[f"{tick:g}" for tick in ticks])
    figure.update_layout(coloraxis=dict(colorscale="Viridis", colorbar=bar))
    figure.update_xaxes(title="images of", tickangle=40)
    figure.update_yaxes(autorange="reversed")
    figure.update_yaxes(title="task vector of", col=1)
    return styled(
        figure, "τJp: mean ‖J(x)τ‖₂ over validation images", 200 + 38 * len(order_rows) + 120, 200 + 420 * len(methods)
    )


def disentanglement_maps(maps: pd.DataFrame, pair: list[str]) -> go.Figure:
    """A heat map a method: the disentanglement error over the coefficients of two vectors.

    maps: method, alpha_1, alpha_2, error (0 to 2); pair: the vectors' tasks.
    """
    methods = list(maps.method.unique())
    figure = make_subplots(cols=len(methods), shared_yaxes=True, subplot_titles=methods, horizontal_spacing=0.03)
    for column, method in enumerate(methods, 1):
        values = maps[maps.method == method].pivot_table(index="alpha_2", columns="alpha_1", values="error")
        figure.add_heatmap(
            z=values.to_numpy().round(4), x=values.columns, y=values.index, coloraxis="coloraxis",
            hovertemplate="α₁ = %{x}, α₂ = %{y}: ξ = %{z:.2f}<extra></extra>", row=1, col=column,
        )  # fmt: skip
        figure.add_shape(type="rect", x0=0, x1=1, y0=0, y1=1, line=dict(color="red", dash="dash"), row=1, col=column)
    figure.update_layout(coloraxis=dict(colorscale="Blues_r", cmin=0, cmax=2, colorbar=dict(title="ξ")))
    figure.update_xaxes(title=f"coefficient α₁ of {pair[0]}")
    figure.update_yaxes(title=f"coefficient α₂ of {pair[1]}", col=1)
    return styled(
        figure, "Disentanglement error ξ: share of changed predictions, both tasks", 460, 170 + 340 * len(methods)
    )


def training_curves(record: dict) -> go.Figure:
    """Loss, penalty and validation accuracy over the steps of one run."""
    history, curve = pd.DataFrame(record["history"]), pd.DataFrame(record["curve"])
    panels = [("task loss (nats)", history.step, history.loss, "lines"),
              ("validation accuracy", curve.step, curve.validation_accuracy, "lines+markers")]  # fmt: skip
    config = record["config"]
    if config["penalty_weight"]:
        # The step before the penalty starts, and data sets in turn, leave no value or a jagged one.
        penalised = history[history.step > config["penalty_start"]]
        panels.insert(1, ("mean ‖Jτ‖₂, other data", penalised.step, penalised.penalty, "lines"))
    figure = make_subplots(rows=len(panels), shared_xaxes=True, vertical_spacing=0.06)
    for row, (title, x, y, mode) in enumerate(panels, 1):
        colour = method_colour(config["method"])
        figure.add_scatter(x=x, y=np.round(y, 4), mode=mode, line=dict(color=colour), showlegend=False, row=row, col=1)
        figure.update_yaxes(title=title, rangemode="tozero", row=row, col=1)
    figure.update_xaxes(title="step", row=len(panels), col=1)
    return styled(
        figure, f"{config['task']} by {config['method']}, seed {config['seed']}", 180 + 190 * len(panels), 760
    )


def pretraining_curves(history: pd.DataFrame) -> go.Figure:
    """Contrastive loss and share of images that pick their own caption, over steps."""
    figure = make_subplots(rows=2, shared_xaxes=True, vertical_spacing=0.06)
    for row, (column, title) in enumerate(
        [("loss", "contrastive loss (nats)"), ("accuracy", "caption accuracy in batch")], 1
    ):
        figure.add_scatter(x=history.step, y=history[column].round(4), showlegend=False,
                           line=dict(color=PALETTE[0], width=1), row=row, col=1)  # fmt: skip
        figure.update_yaxes(title=title, rangemode="tozero", row=row, col=1)
    figure.update_xaxes(title="step", row=2, col=1)
    return styled(figure, "Pre-training", 560, 760)


def contact_sheet(images: dict[str, Tensor], title: str) -> go.Figure:
    """One row of pictures a name; each tensor is uint8 [n, 3, h, w], with the same n."""
    rows = [np.concatenate(list(batch.permute(0, 2, 3, 1).numpy()), 1) for batch in images.values()]
    height, width, _ = rows[0].shape
    figure = px.imshow(np.concatenate(rows, 0), binary_string=True)
    figure.update_traces(hoverinfo="skip", hovertemplate=None)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(tickvals=[height * (k + 0.5) for k in range(len(rows))], ticktext=list(images))
    return styled(figure, title, 110 + 46 * len(rows), 110 + 46 * width // height)
