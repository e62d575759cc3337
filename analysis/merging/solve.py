"""Which change of the parameters makes the features right, and how far do few images allow to go?

min over δ of Σ w(x)‖J(x)δ − r(x)‖² + ρ‖δ‖²_M for residuals r [n, d], M a metric on parameters that stands for
Σ w(x)J(x)ᵀJ(x) itself (`preconditioner.py`), so that ρ is in units of the images: 1 trusts the metric as much as them.

Preconditioned conjugate gradients with M span the same Krylov spaces for every ρ. So each iteration's product serves
all ρ at once: within the space of the directions so far the problem is one of a few unknowns, and the ρ whose δ is
best on held-out images costs no product more.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from taujp_core.parameters import Parameters, flat, named, zeros_like

from .kept_products import KeptProducts
from .preconditioner import Preconditioner

RHOS = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
PATIENCE = 3  # iterations in a row without an improvement on held-out images
LEAST = 0.003  # share of the held-out objective that counts as one


@dataclass(frozen=True)
class Residuals:
    """Images through their products, what their features lack [n, d], and what each image counts [n]."""

    products: KeptProducts
    residuals: Float[Tensor, "n d"]
    weights: Float[Tensor, "n"]

    def inner(self, a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> float:
        """Σ w(x)·a(x)ᵀb(x)."""
        return (self.weights[:, None] * a * b).sum(dtype=torch.float64).item()

    def left(self, change: Float[Tensor, "n d"]) -> float:
        """Σ w‖r − change‖²."""
        rest = self.residuals - change
        return self.inner(rest, rest)


@dataclass(frozen=True)
class Solution:
    """δ; the ρ and the number of iterations that held-out images chose (0: no δ is better than none)."""

    delta: Parameters
    rho: float
    iterations: int


def solve(
    solved: Residuals,
    held: Residuals,
    preconditioner: Preconditioner,
    most: int,
    rhos: tuple[float, ...] = RHOS,
    patience: int = PATIENCE,
) -> Solution:
    """At most `most` iterations; they end when `patience` in a row brought nothing on the held-out images.

    An iteration is one Jv and one Jᵀu of the solved images, and one Jv of the held-out ones.
    """
    theta = solved.products.theta
    space = Space(solved, held)
    least, chosen = held.left(torch.zeros_like(held.residuals)), None
    residual = flat(solved.products.transpose(solved.weights[:, None] * solved.residuals))
    direction = metric_image = residual.new_zeros(())
    square = first = 0.0
    for iteration in range(1, most + 1):
        towards = flat(preconditioner.solve(named(residual, theta)))
        previous, square = square, inner(residual, towards)
        first = first or square
        if square <= first * torch.finfo(residual.dtype).eps ** 2:  # solved to rounding, or nothing to solve
            break
        beta = square / previous if previous else 0.0
        direction, metric_image = towards + beta * direction, residual + beta * metric_image
        image = space.add(direction, metric_image)
        for rho in rhos:
            coefficients = space.minimum(rho)
            value = held.left(
                torch.einsum("k,knd->nd", coefficients.to(held.residuals), torch.stack(space.held_images))
            )
            if value < (1 - LEAST) * least:
                least, chosen = value, (coefficients, rho, iteration)
        if chosen and iteration - chosen[2] >= patience:
            break
        weighted = solved.weights[:, None] * image
        residual = residual - square / solved.inner(image, image) * flat(solved.products.transpose(weighted))
    if chosen is None:
        return Solution(zeros_like(theta), 0.0, 0)
    coefficients, rho, iteration = chosen
    delta = sum(c * direction for c, direction in zip(coefficients.tolist(), space.directions, strict=False))
    return Solution(named(delta, theta), rho, iteration)


class Space:
    """The span of some directions pᵢ: their Jpᵢ on both sets of images, and pᵢᵀJᵀWJpⱼ, pᵢᵀMpⱼ and (Jpᵢ)ᵀWr."""

    def __init__(self, solved: Residuals, held: Residuals):
        self.solved, self.held = solved, held
        self.directions: list[Tensor] = []
        self.images: list[Tensor] = []
        self.held_images: list[Tensor] = []
        self.curvature = self.metric = torch.zeros(0, 0, dtype=torch.float64)
        self.slope = torch.zeros(0, dtype=torch.float64)

    def add(self, direction: Float[Tensor, "p"], metric_image: Float[Tensor, "p"]) -> Float[Tensor, "n d"]:
        """One direction more, and what the metric makes of it; returns its Jp."""
        vector = named(direction, self.solved.products.theta)
        image = self.solved.products.forward(vector)
        self.directions.append(direction)
        self.images.append(image)
        self.held_images.append(self.held.products.forward(vector))
        self.curvature = bordered(self.curvature, [self.solved.inner(other, image) for other in self.images])
        self.metric = bordered(self.metric, [inner(other, metric_image) for other in self.directions])
        slope = self.solved.inner(image, self.solved.residuals)
        self.slope = torch.cat([self.slope, self.slope.new_tensor([slope])])
        return image

    def minimum(self, rho: float) -> Float[Tensor, "k"]:
        """The coefficients c that minimise Σ w‖r − Σ cᵢJpᵢ‖² + ρ‖Σ cᵢpᵢ‖²_M."""
        return torch.linalg.lstsq(self.curvature + rho * self.metric, self.slope[:, None]).solution[:, 0]


def bordered(matrix: Float[Tensor, "k k"], border: list[float]) -> Float[Tensor, "k+1 k+1"]:
    """A symmetric matrix with one row and column more, in float64."""
    column = torch.tensor(border, dtype=torch.float64)
    larger = torch.zeros(len(border), len(border), dtype=torch.float64)
    larger[:-1, :-1] = matrix
    larger[-1] = larger[:, -1] = column
    return larger


def inner(a: Float[Tensor, "p"], b: Float[Tensor, "p"]) -> float:
    return (a * b).sum(dtype=torch.float64).item()
