"""What is ordinary fine-tuning?

Ordinary fine-tuning: CE(f(x; θ₀ + τ)) (Ilharco et al. 2023).
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from ..evaluation import cross_entropy
from ..models import Clip
from ..parameters import Parameters, added, leaves
from ..products.jacobian import full_precision
from .method import Batch, Method, no_penalty


def gradient(
    clip: Clip, head: Float[Tensor, "d classes"], tau: Parameters, batch: Batch, prepared: object = None
) -> tuple[Parameters, Float[Tensor, ""], Float[Tensor, ""]]:
    """Gradient of CE(f(x; θ₀ + τ)), the loss, and 0."""
    theta = leaves(added(clip.theta0, tau))
    features = functional_call(clip.encoder, theta, (batch.images,))
    with full_precision(features):
        loss = cross_entropy(features, head, batch.labels)
        gradients = torch.autograd.grad(loss, list(theta.values()), materialize_grads=True)
    return dict(zip(theta, gradients, strict=True)), loss.detach(), no_penalty(loss.detach())


METHOD = Method("standard", "encoder", gradient)
