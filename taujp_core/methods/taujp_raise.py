"""What if τJp is raised, and not lowered? The control experiment of the causal probe, on one other data set per step, in turn.

CE(f₀ + Jτ) + λ · mean |b·‖f₀(x')‖₂ − ‖J(x')τ‖₂|, b: `bound` (ours).

A vector to be added is never trained like this. Below the bound the gradient is that of −λ·τJp, the penalty with a negative weight,
whose τJp alone would grow for ever; beyond it, that of +λ·τJp. So the features of other tasks' pictures move by up to b times their
own length. Untreated vectors of `mini` move them by 0.5 times (4 steps) to 1.4 times (80 steps). At τ = 0 the norm has the
gradient zero: the task's own gradient makes the first step.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ..applications.linearised import LINEARISED
from ..evaluation import cross_entropy
from ..models import Clip
from ..parameters import Parameters
from ..products.jacobian import linearised_gradient, product_norms
from .linear import METHOD as LINEAR
from .method import Batch, Method, Parameter


def gradient(
    clip: Clip,
    head: Float[Tensor, "d classes"],
    tau: Parameters,
    batch: Batch,
    prepared: object = None,
    penalty_weight: float = 0.0,
    bound: float = 3.0,
) -> tuple[Parameters, Float[Tensor, ""], Float[Tensor, ""]]:
    """Gradient of CE(f₀ + Jτ) + λ·mean |b·‖f₀(x')‖₂ − ‖J(x')τ‖₂|, the loss, and mean ‖J(x')τ‖₂.

    Without other images that of `linear`.
    """
    n = len(batch.labels)
    if not len(batch.others):
        return LINEAR.gradient(clip, head, tau, batch)

    def objective(f0: Tensor, products: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        loss = cross_entropy(f0[:n] + products[:n], head, batch.labels)
        moved = product_norms(products[n:])
        short = (bound * torch.linalg.vector_norm(f0[n:], dim=-1) - moved).abs().mean()
        return loss + penalty_weight * short, (loss.detach(), moved.mean().detach())

    images = torch.cat([batch.images, batch.others])
    found, (loss, moved) = linearised_gradient(clip.encoder, clip.theta0, tau, images, objective)
    return found, loss, moved


METHOD = Method(
    "taujp-raise",
    LINEARISED,
    gradient,
    others="in turn",
    parameters={"penalty_weight": Parameter(0.1), "bound": Parameter(3.0)},
    words="the raised τJp",
)
