"""What does an edited model do at any coefficient, and which coefficient is best?

A source is one data set with labels under several vectors (`analysis.products`); coefficients are one for each vector.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from taujp_core.applications import EditedData
from taujp_core.applications.linearised import Products
from taujp_core.models import logits
from taujp_core.progress import Progress

from .metrics import score

LARGEST = 100.0  # of a coefficient found by optimisation
COEFFICIENTS = tuple(k / 20 for k in range(21))  # 0, 0.05, …, 1: Ilharco et al. 2023, Ortiz-Jimenez et al. 2023
CONTROL_SHARE = 0.95  # of the pre-trained model's accuracy on the control, which a negated vector must leave


def scores(
    source: EditedData, head: Float[Tensor, "d classes"], coefficients: Sequence[Sequence[float]]
) -> pd.DataFrame:
    """accuracy, loss (mean cross-entropy in nats, which is the NLL), ece and ace at each of these coefficients, a row each.

    See `analysis.metrics`. The calibration errors add less than a hundredth to an evaluation of the small CLIP.
    """
    rows, progress = [], Progress("edited models", len(coefficients) * len(source.labels))
    for alphas in coefficients:
        found = logits(source.edited_features(alphas), head)
        progress.advance(len(found))
        rows.append(score(found, source.labels))
    progress.close()
    return pd.DataFrame(rows)


def addition_curve(
    source: EditedData,
    head: Float[Tensor, "d classes"],
    expert: Sequence[float],
    direction: Sequence[float],
    coefficients: Sequence[float],
) -> pd.DataFrame:
    """A row for each α of `coefficients`: the `scores` at α·direction, and beside them the expert's.

    expert, direction: coefficients of the source's vectors that make the task's expert, and the sum. The columns:
    coefficient, single (the expert's accuracy), accuracy, normalised (their ratio), loss, ece, ace.
    """
    found = scores(source, head, [expert, *([alpha * one for one in direction] for alpha in coefficients)])
    curve = found.iloc[1:].assign(coefficient=coefficients, single=found.accuracy[0])
    return curve.assign(normalised=normalised(curve.accuracy, found.accuracy[0]))


def normalised(accuracy: pd.Series | float, single: float) -> pd.Series | float:
    """An accuracy divided by that of the single-task model on the same images; NaN where that is never right."""
    return accuracy / single if single else accuracy * np.nan


def tuned_coefficient(curves: pd.DataFrame) -> float:
    """The α with the best mean normalised accuracy; of equals the largest.

    curves: coefficient, accuracy and, where there are experts, normalised: validation images of all tasks of one model.
    Rows of the `split` test are never looked at. Where nothing can be normalised, the mean accuracy decides.
    """
    curves = curves[curves.split != "test"] if "split" in curves else curves
    known = "normalised" in curves and curves.normalised.notna().any()
    means = curves.groupby("coefficient")["normalised" if known else "accuracy"].mean()
    return float(means[np.isclose(means, means.max(), rtol=0, atol=1e-12)].index.max())


def tuned_negation(curve: pd.DataFrame) -> float:
    """The α with the lowest accuracy on the target among those that keep CONTROL_SHARE of the control's at α = 0.

    curve: coefficient, target, control: validation images of one vector. Of equals the smallest, which costs the control
    least.
    """
    curve = curve.sort_values("coefficient")
    (before,) = curve.control[curve.coefficient == 0]
    allowed = curve[curve.control >= CONTROL_SHARE * before]
    return float(allowed.coefficient[allowed.target.idxmin()])


def predictions(
    source: EditedData, head: Float[Tensor, "d classes"], coefficients: Sequence[float]
) -> Int[Tensor, "n"]:
    return logits(source.edited_features(coefficients), head).argmax(-1)


def disentanglement_map(
    sources: Sequence[EditedData], heads: Sequence[Tensor], alphas: Sequence[float]
) -> pd.DataFrame:
    """The disentanglement error of two task vectors over (α₁, α₂) (Ortiz-Jimenez et al. 2023, eq. 5).

    ξ(α₁, α₂) = Σₜ share of task t's images whose prediction under θ₀ + α₁τ₁ + α₂τ₂ is not the one under
    θ₀ + αₜτₜ, for t = 1, 2; no labels are used. Source t holds task t's images and both vectors, in order.
    Returns alpha_1, alpha_2, error_1, error_2 (the shares, 0 to 1) and error, their sum. Raises ValueError unless
    there are two sources, and 0 and 1 among the alphas, which summaries need.
    """
    if len(sources) != 2:
        raise ValueError(f"a disentanglement map takes two tasks, not {len(sources)}")
    if not {0.0, 1.0} <= set(alphas):
        raise ValueError(f"the coefficients of a disentanglement map must hold 0 and 1: {', '.join(map(str, alphas))}")
    own = [
        {
            alpha: predictions(source, head, [alpha, 0.0] if t == 0 else [0.0, alpha])
            for alpha in alphas
        }
        for t, (source, head) in enumerate(zip(sources, heads, strict=True))
    ]  # fmt: skip
    rows, progress = [], Progress("disentanglement map", len(alphas) ** 2 * sum(len(s.labels) for s in sources))
    for first in alphas:
        for second in alphas:
            progress.advance(sum(len(source.labels) for source in sources))
            shares = [
                (predictions(source, head, [first, second]) != own[t][alpha]).double().mean().item()
                for t, (source, head, alpha) in enumerate(zip(sources, heads, (first, second), strict=True))
            ]
            rows.append((first, second, *shares, sum(shares)))
    progress.close()
    return pd.DataFrame(rows, columns=["alpha_1", "alpha_2", "error_1", "error_2", "error"])


def disentanglement_summary(maps: pd.DataFrame) -> pd.DataFrame:
    """A row per method: mean error over the map, mean over 0 ≤ α ≤ 1, and at (1, 1), where plain addition is."""
    within = maps.alpha_1.between(0, 1) & maps.alpha_2.between(0, 1)
    corner = maps[(maps.alpha_1 == 1) & (maps.alpha_2 == 1)]
    columns = {"error": maps, "error_within": maps[within], "error_at_one": corner}
    return pd.DataFrame({name: part.groupby("method", sort=False).error.mean() for name, part in columns.items()})


def per_task_coefficients(
    sources: Sequence[Products], heads: Sequence[Tensor], start: float, iterations: int = 50
) -> Float[Tensor, "t"]:
    """One coefficient a vector: a local minimum of the tasks' mean cross-entropy, by L-BFGS from `start` for all.

    Source k holds task k's (validation) images and all vectors. Gradients go through the cached products alone.
    Where the loss falls for ever (few images, all of them told apart), the best of the points up to ±LARGEST that
    were tried.
    """
    vectors = len(sources[0].products)
    alpha = torch.full((vectors,), start, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([alpha], max_iter=iterations, line_search_fn="strong_wolfe")
    best, lowest = alpha.detach().clone(), np.inf

    def objective() -> Tensor:
        optimizer.zero_grad()
        losses = [
            F.cross_entropy(logits(source.edited_features(alpha), head), source.labels)
            for source, head in zip(sources, heads, strict=True)
        ]
        loss = torch.stack(losses).mean()
        loss.backward()
        nonlocal best, lowest
        if loss < lowest and alpha.abs().max() <= LARGEST:
            best, lowest = alpha.detach().clone(), loss.item()
        return loss

    optimizer.step(objective)
    return alpha.detach() if alpha.abs().max() <= LARGEST else best
