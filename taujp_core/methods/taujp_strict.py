"""How is a vector kept from moving any other data set's features?

The τJp penalty on every other data set at each step (Yoshida et al. 2025).

CE(f₀ + Jτ) + λ · mean over all other data sets of mean ‖J(x')τ‖₂, on a batch of each.

Two options make it cheaper or another penalty; both are ours. `penalty_every=k` takes the penalty at every k-th step alone, with
k·λ, so that its mean over steps stays. `penalty_form="squared"` takes ‖J(x')τ‖₂², whose gradient fades as the product does.
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
    penalty_every: int = 1,
    penalty_form: str = "norm",
    label_smoothing: float = 0.0,
) -> tuple[Parameters, Float[Tensor, ""], Float[Tensor, ""]]:
    """Gradient of CE(f₀ + Jτ) + λ·mean ‖J(x')τ‖₂, in one pass over both sets of images, the loss and the penalty.

    Without other images, as before the penalty's first step and between two with it, that of `linear`. The penalty is
    without its weight λ·k.
    """
    n = len(batch.labels)
    if not len(batch.others):
        return LINEAR.gradient(clip, head, tau, batch, label_smoothing=label_smoothing)

    def objective(f0: Tensor, products: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        loss = cross_entropy(f0[:n] + products[:n], head, batch.labels, label_smoothing)
        moved = products[n:]
        penalty = (moved.square().sum(-1) if penalty_form == "squared" else product_norms(moved)).mean()
        return loss + penalty_every * penalty_weight * penalty, (loss.detach(), penalty.detach())

    images = torch.cat([batch.images, batch.others])
    found, (loss, penalty) = linearised_gradient(clip.encoder, clip.theta0, tau, images, objective)
    return found, loss, penalty


PARAMETERS = {
    "penalty_weight": Parameter(0.1),
    "penalty_every": Parameter(1, least=1),
    "penalty_form": Parameter("norm", accepted=("norm", "squared")),
}
METHOD = Method(
    "taujp-strict", LINEARISED, gradient, others="all", parameters=PARAMETERS, words="the strict τJp penalty"
)
