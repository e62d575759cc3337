"""What does one vector do to another's task, and how is that changed without training?

Interference of s on t at α = 1 is what happens to task t's images when τ_s is added to θ₀ + τ_t. The edits solve a
linear system in G = mean over images of J(x)ᵀJ(x), the Gauss-Newton matrix of ½·mean ‖J(x)v‖², and train nothing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from taujp_core.applications import EditedData
from taujp_core.applications.linearised import Products
from taujp_core.checks import check_images, check_not_negative
from taujp_core.evaluation import check_finite
from taujp_core.models import Clip, logits
from taujp_core.parameters import Parameters, flat, named
from taujp_core.products.jacobian import gauss_newton_product, linearised_gradient, product_norms, sum_over_chunks
from taujp_core.progress import Progress
from taujp_core.task_vectors import TaskVector, check_theta0

from .margins import margin_scaled, towards_boundary

OUTCOMES = {
    "accuracy_loss": "loss of accuracy",
    "loss_change": "rise of the loss (nats)",
    "changed": "share of changed predictions",
}
METRICS = {
    "tau_jp": "mean ‖Jτ‖₂",
    "tau_jp_squared": "mean ‖Jτ‖₂²",
    "logit_jp": "mean ‖J_logits τ‖₂",
    "logit_jp_squared": "mean ‖J_logits τ‖₂²",
    "margin_scaled": "mean ‖Jτ‖₂ / distance to the nearest class boundary",
    "towards_boundary": "mean part of the way to the nearest class boundary",
}
ITERATIONS = 15  # of conjugate gradients
DAMPING = 0.01  # ρ in units of τᵀGτ/‖τ‖²


def interference(
    source: EditedData,
    head: Float[Tensor, "d classes"],
    base: Sequence[float],
    coefficients: Sequence[Sequence[float]],
) -> pd.DataFrame:
    """What changes for a task when a model moves from the coefficients `base` to each of `coefficients`; a row each.

    The source holds the task's images and labels. accuracy_loss: accuracy before the move minus after it
    (−1 to 1); loss_change: mean cross-entropy after it minus before it (nats); changed: share of images with
    another prediction (0 to 1). From θ₀ + τ_t to θ₀ + τ_t + τ_s this is the interference of s on t (cf. Yoshida et al. 2025, sec. 3; the changed predictions are one task's share of ξ in
    Ortiz-Jimenez et al. 2023, eq. 5).
    """
    before = logits(source.edited_features(base), head)
    rows = []
    for alphas in coefficients:
        after = logits(source.edited_features(alphas), head)
        correct = [(found.argmax(-1) == source.labels).double().mean().item() for found in (before, after)]
        losses = [F.cross_entropy(found, source.labels).item() for found in (before, after)]
        rows.append(
            {
                "accuracy_loss": correct[0] - correct[1],
                "loss_change": losses[1] - losses[0],
                "changed": (after.argmax(-1) != before.argmax(-1)).double().mean().item(),
            }
        )
    return pd.DataFrame(rows, columns=list(OUTCOMES))


def exposure(
    products: Products,
    head: Float[Tensor, "d classes"],
    coefficients: Sequence[Sequence[float]],
    base: Sequence[float] | None = None,
) -> dict[str, list[float]]:
    """The candidates for the metric, for the vector Σₖ cₖτₖ at each of `coefficients`, by name.

    tau_jp: mean ‖Jτ‖₂ of the encoder's output (Yoshida et al. 2025). logit_jp: the same for the cosine logits
    headᵀf/‖f‖, whose derivative along τ is headᵀ(I − uuᵀ)Jτ/‖f₀‖ with u = f₀/‖f₀‖. `_squared`: the mean of the
    squared norms. margin_scaled, towards_boundary: of `analysis.margins`, the boundaries seen from the linearised model at the
    coefficients `base` (by default θ₀).
    """
    start = products.features if base is None else products.edited_features(base)
    lengths = torch.linalg.vector_norm(products.features, dim=-1, keepdim=True)
    u = products.features / lengths
    found: dict[str, list[float]] = {name: [] for name in METRICS}
    for alphas in coefficients:
        jtau = products.product(alphas)
        tangent = (jtau - u * (u * jtau).sum(-1, keepdim=True)) / lengths @ head
        for name, norms in (("tau_jp", product_norms(jtau)), ("logit_jp", product_norms(tangent))):
            found[name].append(norms.mean().item())
            found[f"{name}_squared"].append(norms.square().mean().item())
        found["margin_scaled"].append(margin_scaled(start, head, jtau))
        found["towards_boundary"].append(towards_boundary(start, head, jtau))
    return found


def edit_direction(
    encoder: nn.Module,
    theta0: Parameters,
    tau: Parameters,
    moved: Shaped[Tensor, "n ..."],
    preserved: Shaped[Tensor, "m ..."],
    preserved_weight: float = 1.0,
    damping: float = DAMPING,
    iterations: int = ITERATIONS,
) -> Parameters:
    """δ that takes τ's effect on `moved` images away and leaves its effect on `preserved` images.

    δ solves (G_m + μG_k + ρI)δ = −G_m τ, the minimum of mean_m ‖J(τ + δ)‖² + μ·mean_k ‖Jδ‖² + ρ‖δ‖², by
    conjugate gradients from zero: each iteration is one Gauss-Newton product an image, and fewer iterations mean
    a smaller edit. μ is `preserved_weight`; ρ is `damping`·τᵀG_mτ/‖τ‖². The system is linear in its right-hand side:
    c·δ is the edit of dose c, that of −1 doubles the effect. Raises ValueError without images, for a negative or
    infinite μ or damping and for no iterations.
    """
    check_not_negative(preserved_weight=preserved_weight, damping=damping)
    if iterations < 1:
        raise ValueError(f"conjugate gradients take at least one iteration, not {iterations}")
    if not len(moved) or not len(preserved):
        raise ValueError(f"images to move and to preserve are needed, not {len(moved)} and {len(preserved)}")
    vector = flat(tau)
    right = -flat(gauss_newton_product(encoder, theta0, tau, moved))
    rho = -damping * float(vector @ right / (vector @ vector).clamp(min=torch.finfo(vector.dtype).tiny))
    images, weights = moved, right.new_full((len(moved),), 1 / len(moved))
    if preserved_weight:
        images = torch.cat([moved, preserved])
        weights = torch.cat([weights, right.new_full((len(preserved),), preserved_weight / len(preserved))])

    progress = Progress("solving for less interference", iterations * len(images))

    def product(v: Tensor) -> Tensor:
        found = flat(weighted_gauss_newton_product(encoder, theta0, named(v, theta0), images, weights)) + rho * v
        progress.advance(len(images))
        return found

    solved = conjugate_gradients(product, right, iterations)
    progress.close()
    return named(solved, theta0)


def weighted_gauss_newton_product(
    encoder: nn.Module,
    theta0: Parameters,
    vector: Parameters,
    images: Shaped[Tensor, "n ..."],
    weights: Float[Tensor, "n"],
) -> Parameters:
    """Σ over images of w(x)·J(x)ᵀJ(x)·v: several data sets' Gauss-Newton products in one pass over all images."""

    def product(part: Tensor, rows: slice) -> Parameters:
        def half_square(f0: Tensor, products: Tensor) -> tuple[Tensor, None]:
            return (weights[rows, None] * products.square()).sum() / 2, None

        return linearised_gradient(encoder, theta0, vector, part, half_square)[0]

    return sum_over_chunks(product, encoder, theta0, images)


def placebo_direction(
    encoder: nn.Module,
    theta0: Parameters,
    fixed: Shaped[Tensor, "n ..."],
    norm: float,
    seed: int,
    damping: float = DAMPING,
    iterations: int = ITERATIONS,
) -> Parameters:
    """A random direction of this norm that does nothing on the `fixed` images.

    A Gaussian direction r, with its effect there taken away: r + edit_direction(r), which is r's projection on
    the null space of J for ρ → 0 and enough iterations; then scaled to `norm`.
    """
    generator = torch.Generator().manual_seed(seed)
    random = {
        name: torch.randn(value.shape, generator=generator, dtype=value.dtype).to(value)
        for name, value in theta0.items()
    }
    edit = edit_direction(encoder, theta0, random, fixed, fixed, 0.0, damping, iterations)
    projected = flat(random) + flat(edit)
    return named(projected * (norm / torch.linalg.vector_norm(projected)), theta0)


def reduce_tau_jp(
    vector: TaskVector,
    clip: Clip,
    own: Shaped[Tensor, "n ..."],
    others: Sequence[Tensor],
    dose: float = 1.0,
    own_weight: float = 1.0,
    damping: float = DAMPING,
    iterations: int = ITERATIONS,
) -> TaskVector:
    """Lower a vector's τJp on other tasks' images without training, and preserve the effect on the own task's images.

    The result is τ + c·δ, where δ solves (G_o + μG_s + ρI)δ = −G_o τ. G_o is the mean of JᵀJ over the images of all
    `others`. G_s is the mean of JᵀJ over the `own` images. c is `dose`, μ is `own_weight`, and ρ is
    `damping`·τᵀG_oτ/‖τ‖². A few dozen unlabelled images per task are enough. The cost is iterations + 1
    Gauss-Newton products over all images; one product costs about five forward passes. J is the Jacobian at θ₀. The
    lower τJp therefore holds for the linearised model, and for the encoder only where it is nearly linear along τ. Raises ValueError for a vector of another θ₀, without
    images, and for weights that are negative or not finite; TypeError or ValueError unless images are bytes
    [n, 3, s, s] of the Clip's size; FloatingPointError for a vector with NaN.
    """
    check_theta0([vector], clip.theta0, clip.fingerprint)
    check_finite(f"the {vector.method} vector of {vector.task}", list(vector.tau.values()))
    if not math.isfinite(dose):
        raise ValueError(f"dose must be finite, not {dose}")
    if not len(own) or not len(others) or not all(len(images) for images in others):
        raise ValueError("images of the vector's own task and of at least one other are needed, and no empty set")
    for images in (own, *others):
        check_images("images", images, clip.image_size)
    delta = edit_direction(
        clip.encoder, clip.theta0, vector.tau, torch.cat(list(others)), own, own_weight, damping, iterations
    )
    return replace(vector, tau={name: value + dose * delta[name] for name, value in vector.tau.items()})


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], right: Float[Tensor, "p"], iterations: int
) -> Float[Tensor, "p"]:
    """x with product(x) ≈ right, for a symmetric positive (semi-)definite product; from x = 0 (Hestenes, Stiefel)."""
    x, residual = torch.zeros_like(right), right.clone()
    direction, square = residual.clone(), residual @ residual
    first = square
    for _ in range(iterations):
        # Solved to rounding, or nothing to solve: another step would divide zero by zero.
        if square <= first * torch.finfo(right.dtype).eps ** 2:
            break
        image = product(direction)
        step = square / (direction @ image)
        x += step * direction
        residual -= step * image
        previous, square = square, residual @ residual
        direction = residual + square / previous * direction
    return x
