"""In which metric do a few images say most about all parameters? In a Kronecker-factored one, a layer at a time.

For random cotangents u(x) ~ N(0, I), independent over images, a layer's part of Jᵀu is G = Σ over images and tokens
of b aᵀ, with the inputs a of that layer and the gradients b at its outputs, and the mean of vec(G) vec(G)ᵀ is its
block of the Gauss-Newton matrix Σ J(x)ᵀJ(x), exactly. The best Kronecker product for that block is, but for one step
of the power iteration for it, M = (E[GGᵀ] ⊗ E[GᵀG]) / tr E[GGᵀ] (Morwani et al. 2024, arXiv 2406.17748): the outputs'
second moments, weighted by the inputs', and the inputs', weighted by the outputs'. RegMean's Gram matrix is the
unweighted right factor.

Everything comes from gradients of the parameters' own shapes, so open_clip's fused `in_proj_weight`, its `out_proj`
that no hook sees, `visual.proj` [in, out] and convolutions need no rule of their own, and weights that are used at
many tokens are not taken for independent ones, as K-FAC does (Martens and Grosse 2015, whose damping is used here:
sec. 6.3). A parameter with one dimension gets the diagonal, mean G².
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from taujp_core.parameters import Parameters

from .kept_products import KeptProducts

SAMPLES = 8  # at most: on ViT-B/32 the second moments of one take longer than the products of an image
DAMPING = 0.3  # of each factor, in units of its mean eigenvalue; for both together DAMPING²


@dataclass(frozen=True)
class Preconditioner:
    """M⁻¹, for each parameter as one or two factors, all symmetric and positive definite.

    factors: for a parameter of shape [m, …] the inverses of [m, m] and [rest, rest]; of one dimension the diagonal.
    """

    factors: dict[str, tuple[Tensor, ...]]

    def solve(self, gradient: Parameters) -> Parameters:
        """M⁻¹g."""
        solved = {}
        for name, factors in self.factors.items():
            value = gradient[name]
            if len(factors) == 1:
                solved[name] = value * factors[0]
            else:
                left, right = factors
                solved[name] = (left @ value.flatten(1) @ right).view_as(value)
        return solved


def measure_preconditioner(products: KeptProducts, weights: Float[Tensor, "n"], seed: int) -> Preconditioner:
    """Of Σ w(x)J(x)ᵀJ(x), with one random cotangent an image; `seed` decides them.

    One product Jᵀu of all images, in SAMPLES groups: cotangents of different images are independent, so that each
    group is a sample of its own share of the sum.
    """
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(products.features.shape, generator=generator, dtype=weights.dtype).to(weights.device)
    sums: dict[str, tuple[Tensor, ...]] = {}
    for group in groups(products.parts(u * weights[:, None].sqrt()), math.ceil(products.part_count / SAMPLES)):
        for name, value in group.items():
            found = moments(value)
            sums[name] = tuple(a + b for a, b in zip(sums[name], found, strict=True)) if name in sums else found
    return Preconditioner({name: inverses(*found) for name, found in sums.items()})


def groups(parts: Iterator[Parameters], size: int) -> Iterator[Parameters]:
    """The sums of so many parts each, one sum and one part in memory at a time; the last may be of fewer."""
    for first in parts:
        for part in itertools.islice(parts, size - 1):
            for name, value in part.items():
                first[name] += value
        yield first


def moments(gradient: Tensor) -> tuple[Tensor, ...]:
    """GGᵀ and GᵀG, or G² of a parameter with one dimension."""
    if gradient.ndim < 2:
        return (gradient.square(),)
    matrix = gradient.flatten(1)
    return matrix @ matrix.mT, matrix.mT @ matrix


def inverses(left: Tensor, right: Tensor | None = None) -> tuple[Tensor, ...]:
    if right is None:
        # Few samples know a diagonal badly: half of it is its mean.
        return ((0.5 * (left + left.mean())).clamp(min=tiny(left)).reciprocal(),)
    scale = left.trace().clamp(min=tiny(left)).sqrt()
    return inverse(left / scale), inverse(right / scale)


def inverse(factor: Float[Tensor, "m m"]) -> Float[Tensor, "m m"]:
    """(F + DAMPING·mean eigenvalue·I)⁻¹."""
    damping = DAMPING * (factor.trace() / len(factor)).clamp(min=tiny(factor))
    damped = factor + damping * torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    return torch.cholesky_inverse(torch.linalg.cholesky(damped))


def tiny(tensor: Tensor) -> float:
    return torch.finfo(tensor.dtype).tiny ** 0.5
