"""Which coefficients make the merged model most certain of its own predictions?

AdaMerging (Yang et al. 2024, arXiv 2310.02575) merges with one coefficient λ per task, or per task and parameter tensor
("layer" in the authors' code), each in [0, 1]:

    τ_l = Σ_t λ_{t,l} τ_{t,l},   λ by Adam on Σ_t mean over x of H(p(·|x)),

the entropy H in nats, x a batch of task t's images. Published coefficients adapt to the test images; here they see
training images, as all methods here do. The gradient with respect to λ_{t,l} is ⟨∂loss/∂τ_l, τ_{t,l}⟩, so that one backward pass
per batch serves all.

Verified against: the published descent with autograd through the coefficients, in float64. The authors' scripts
(EnnengYang/AdaMerging, commit cea1165) were read for steps, learning rate and start; they were not run.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from taujp_core.models import logits
from taujp_core.parameters import Parameters, device_of, zeros_like
from taujp_core.products.memory import to_device

from .rival import Evidence

STEPS = 500  # of Adam
LEARNING_RATE = 1e-3  # of Adam
START = 0.3  # every coefficient at first
BATCH = 16  # images per task and step


def adapted(taus: Sequence[Parameters], evidence: Evidence, by_layer: bool) -> Parameters:
    """Σ_t λ_tτ_t with adapted coefficients, one for each parameter tensor if by_layer."""
    names = list(taus[0])
    raw = torch.full((len(taus), len(names) if by_layer else 1), START, dtype=torch.float64)
    optimizer = torch.optim.Adam([raw], lr=LEARNING_RATE)
    batches = [batches_of(images, seed) for seed, images in enumerate(evidence.images)]
    for _ in range(STEPS):
        merged = combined(taus, raw.clamp(0, 1))
        whole = zeros_like(merged)
        for images, head in zip(batches, evidence.heads, strict=True):
            for name, value in entropy_gradient(evidence, merged, next(images), head).items():
                whole[name] += value
        slope = torch.tensor([[(whole[name] * tau[name]).sum() for name in names] for tau in taus], dtype=torch.float64)
        inside = (raw >= 0) & (raw <= 1)  # beyond its bounds a coefficient has no slope
        raw.grad = (slope if by_layer else slope.sum(1, keepdim=True)) * inside
        optimizer.step()
    return combined(taus, raw.clamp(0, 1))


def combined(taus: Sequence[Parameters], coefficients: Float[Tensor, "t _"]) -> Parameters:
    """Σ_t λ_{t,l}·τ_{t,l}; a single column of λ is every tensor's."""
    names = list(taus[0])
    spread = coefficients.expand(len(taus), len(names)).tolist()
    return {
        name: sum(row[column] * tau[name] for row, tau in zip(spread, taus, strict=True))
        for column, name in enumerate(names)
    }


def batches_of(images: Shaped[Tensor, "n ..."], seed: int) -> Iterator[Tensor]:
    """BATCH images at a time, in a new order whenever fewer are left, without end; all of them if there are no more."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(images), generator=generator)
        size = min(BATCH, len(images))
        for start in range(0, len(images) - size + 1, size):
            yield images[order[start : start + size]]


def entropy(features: Float[Tensor, "n d"], head: Float[Tensor, "d classes"]) -> Float[Tensor, ""]:
    """Mean over images of −Σ_c p_c·log p_c, in nats."""
    log_p = logits(features, head).log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1).mean()


def entropy_gradient(
    evidence: Evidence, tau: Parameters, images: Shaped[Tensor, "n ..."], head: Float[Tensor, "d classes"]
) -> Parameters:
    """∂/∂τ of the entropy of the model with τ."""
    images = to_device(images, device_of(evidence.clip.theta0))
    return evidence.application.gradient(evidence.clip, tau, images, lambda features: (entropy(features, head), None))[
        0
    ]
