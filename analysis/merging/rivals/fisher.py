"""Whose weight matters more, entry by entry?

Fisher merging (Matena & Raffel 2022, arXiv 2111.09832, eq. 4) is a weighted mean of every parameter,

    θ   = Σ_t F_t θ_t / Σ_t F_t
    F_t = mean over x of Σ_c p_t(c|x) · (∂ log p_t(c|x) / ∂θ)²,

with the diagonal of the Fisher information of expert t's own predictions on its task's images, each example's gradient
squared on its own; no labels. As in the authors' code each F_t is divided by its norm over all parameters, and is not less
than FLOOR before that. The expression is the same in τ_t.

The expectation over c is exact: the squares sum to the diagonal of JᵀMJ with M = Σ_c p_c·v_cv_cᵀ, v_c = ∂ log p_c / ∂f, so
that M's eigenvectors (no more than there are classes) are pulled back, and those without weight need not be. For
linearised vectors v_c is taken at f₀ + Jτ_t and J is that of θ₀.

Verified against: the paper's equation, one gradient per example and class in float64. The authors' code
(mmatena/model_merging, TensorFlow) was read for the norm and the floor; it was not run.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.func import functional_call

from taujp_core.models import logits
from taujp_core.parameters import Parameters, bytes_of, device_of, leaves, zeros_like
from taujp_core.products.forward_mode import forward_mode
from taujp_core.products.memory import memory_budget, to_device

from .rival import Evidence, Rival

GRADIENTS = 3  # what a factor takes, in units of θ: its gradients, their squares, and what is on the way
FLOOR = 1e-6  # least entry of the Fisher information, before it is divided by its norm


def fisher(taus: Sequence[Parameters], evidence: Evidence) -> Parameters:
    weighted, weights = zeros_like(taus[0]), zeros_like(taus[0])
    for tau, images, head in zip(taus, evidence.images, evidence.heads, strict=True):
        factors = score_factors(evidence.application.features(evidence.clip, tau, images), head)
        found = diagonal(evidence, evidence.activated_by(tau), images, factors)
        norm = torch.stack([value.norm() for value in found.values()]).norm()
        for name, value in found.items():
            share = value.clamp(min=FLOOR) / norm
            weights[name] += share
            weighted[name] += share * tau[name]
    return {name: value / weights[name] for name, value in weighted.items()}


@torch.enable_grad()
def score_factors(features: Float[Tensor, "n d"], head: Float[Tensor, "d classes"]) -> list[Float[Tensor, "_ d"]]:
    """For each image rows w with Σ wwᵀ = Σ_c p_c·v_cv_cᵀ, v_c the gradient of log p_c with respect to the features."""
    features = features.detach().double().requires_grad_()
    log_p = logits(features, head.double()).log_softmax(-1)
    scores = torch.stack([torch.autograd.grad(row.sum(), features, retain_graph=True)[0] for row in log_p.unbind(1)], 1)
    scores = scores * log_p.detach().exp().sqrt()[..., None]
    rows = []
    for score in scores:
        _, values, vt = torch.linalg.svd(score, full_matrices=False)
        kept = values > values[0] * len(score) * torch.finfo(values.dtype).eps
        rows.append(values[kept, None] * vt[kept])
    return rows


def diagonal(
    evidence: Evidence, theta: Parameters, images: UInt8[Tensor, "n 3 h w"], factors: Sequence[Float[Tensor, "_ d"]]
) -> Parameters:
    """Mean over images of Σ over its factors w of (Jᵀw)², J at θ; one image at a time, as many of its factors as fit."""
    moving, device = leaves(theta), device_of(theta)
    totals = zeros_like(theta)
    at_once = max(1, memory_budget(device) // (GRADIENTS * bytes_of(theta)))
    for image, rows in zip(to_device(images, device).split(1), factors, strict=True):
        # Attention's fused kernels have no rule for several cotangents at once.
        with torch.enable_grad(), forward_mode():
            features = functional_call(evidence.clip.encoder, moving, (image,))
            for part in rows[:, None].to(features).split(at_once):
                pulled = torch.autograd.grad(
                    features,
                    list(moving.values()),
                    part,
                    is_grads_batched=True,
                    materialize_grads=True,
                    retain_graph=True,
                )
                for total, gradients in zip(totals.values(), pulled, strict=True):
                    total.add_(gradients.square().sum(0), alpha=1 / len(images))
    return totals


RIVAL = Rival("Fisher", fisher, "Matena & Raffel 2022, arXiv 2111.09832", images=True, class_names=True)
