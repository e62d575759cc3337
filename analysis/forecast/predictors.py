"""What ranks plans by the accuracy that they will cost, without any forward pass of the plan? Compared with `evidence`.

Of a task's images D with head W, for the plan α and the expert's coefficients e (1 for its own vector): v = Σ_s (α_s − e_s)·τ_s is
what the plan adds to the expert. All are of the products f₀ and Jτ_s at θ₀, of one pass. A larger value means a larger expected loss.
"""

from collections.abc import Sequence

import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from taujp_core.applications.linearised import Products
from taujp_core.models import logits
from taujp_core.products.jacobian import product_norms

from ..expected_accuracy import changed

PREDICTORS = {
    "forecast": "the forecast",
    "changed": "changed answers",
    "lost": "doubt about answers",
    "pairs": "answers, from pairs",
    "changed_linearised": "answers, linearised",
    "tau_jp": "τJp of what is added",
    "beyond_margin": "moved past the margin",
    "gradient": "gradient of the loss",
    "unsure": "doubt of the model",
    "zero_shot": "zero-shot accuracy",
}


def from_products(
    products: Products, head: Float[Tensor, "d k"], own: int, plans: Sequence[Sequence[float]]
) -> pd.DataFrame:
    """A row per plan.

    changed_linearised: `changed` of f₀ + J Σ α_s τ_s from the linearised expert's.
    tau_jp: mean over D of ‖Jv‖₂ (Yoshida et al. 2025); for a pair at α = 1, τJp of the other vector.
    beyond_margin: the share of images whose cosine logits the first-order movement W^T(I − uu^T)Jv/‖f₀ + Jτ_own‖ changes so much,
        ‖·‖_∞, that the expert's margin (first minus second cosine) is less than twice that. No other image can change its answer to
        first order.
    gradient: mean over D of ⟨∇_f ℓ(f₀, ŷ_expert), Jv⟩, the first-order change of the task's loss (nats) at θ₀, with the expert's
        answers as labels; the gradient alignment of arXiv 2601.22285, with the vector in place of the
        negative gradient of the other task.
    """
    count = len(products.products)
    alone = torch.tensor([float(place == own) for place in range(count)]).to(products.features)
    expert = products.edited_features(alone)
    answers = logits(expert, head)
    lengths = torch.linalg.vector_norm(expert, dim=-1, keepdim=True)
    u = expert / lengths
    first, second = (u @ head).topk(2, dim=-1).values.unbind(-1) if head.shape[1] > 1 else (u @ head, u @ head)
    with torch.enable_grad():
        features = products.features.detach().requires_grad_()
        loss = F.cross_entropy(logits(features, head), answers.argmax(-1), reduction="sum")
        (slope,) = torch.autograd.grad(loss, features)
    rows = []
    for plan in plans:
        added = torch.as_tensor(plan).to(alone) - alone
        moved = products.product(added)
        cosines = ((moved - u * (u * moved).sum(-1, keepdim=True)) / lengths) @ head
        rows.append(
            {
                "changed_linearised": changed(answers, logits(expert + moved, head)),
                "tau_jp": product_norms(moved).mean().item(),
                "beyond_margin": (2 * cosines.abs().amax(-1) > first - second).double().mean().item(),
                "gradient": (slope * moved).sum(-1).mean().item(),
            }
        )
    return pd.DataFrame(rows)


def from_pairs(
    theta0: Float[Tensor, "n d"],
    experts: Float[Tensor, "n d"],
    pairs: Sequence[Float[Tensor, "n d"]],
    own: int,
    plan: Sequence[float],
) -> Float[Tensor, "n d"]:
    """Features of a plan from those of pairs: f₀ + α_own·(f_own − f₀) + Σ_{s ≠ own} α_s·(f_{own+s} − f_own).

    theta0, experts: features f₀ of θ₀ and f_own of the expert; pairs: f_{own+s} of θ₀ + τ_own + τ_s for each s, of s = own anything.
    T² passes over a task's images then answer every sum. Exact for linearised models; for the encoder right to first order around the
    expert. Vectors of two tasks act as independently as they do in pairs (Ortiz-Jimenez et al. 2023, sec. 3).
    """
    found = theta0 + plan[own] * (experts - theta0)
    for other, alpha in enumerate(plan):
        if other != own and alpha:
            found = found + alpha * (pairs[other] - experts)
    return found
