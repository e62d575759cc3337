"""In which output directions of a linear layer does each vector move the activations most, on images of its own task?

ESM (Li et al. 2026, arXiv 2602.20208), as the authors' code has it (ESM-ViT; its scalings stand there in full). With
G_t the second moment of the activations that the expert's map meets on some of its task's images:

    U_t, λ_t: the leading out/T eigenvectors and eigenvalues of τ_t G_t τ_tᵀ (the essential directions)
    τ = GAIN · evened[U_1 … U_T] · evened[U_1ᵀτ_1; …; U_Tᵀτ_T]

`evened` makes a matrix orthogonal, times its mean singular value. (The code takes the singular vectors of X·τ_tᵀ; those are
the same, and a common factor of λ cancels.) Three levels of "polarised" scaling make what is large larger: a task's
factor times ‖τ_t‖² over the square of the tasks' mean norm; both factors' directions times (λ/mean λ)^SPREAD, brought
to mean 1; and the columns of the joint right factor times the square of their norm over the mean norm. `out_proj` has no
essential directions there and is merged as in TSV-M. Last, every map is multiplied by the square of its norm over the mean
norm of its kind over the blocks. Parameters that are no linear maps are averaged.

Verified against: the authors' steps, written again one by one in NumPy and float64. The authors' code was read, not run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from taujp_core.parameters import Parameters

from . import tsv_m
from .activations import second_moments
from .matrices import by_matrix, evened, is_linear_map
from .rival import Evidence, Rival

POWER = 2  # exponent of the scalings by norms
SPREAD = 0.15  # exponent of the scaling by eigenvalues
GAIN = 2  # factor of the product


def esm(taus: Sequence[Parameters], evidence: Evidence) -> Parameters:
    merged = by_matrix(taus, tsv_m.one_map)
    found: dict[str, list[Essence]] = {}
    for tau, images in zip(taus, evidence.images, strict=True):
        moments = second_moments(evidence.clip.encoder, evidence.activated_by(tau), images)
        for name, moment in moments.items():
            if not name.endswith("out_proj.weight"):
                found.setdefault(name, []).append(Essence.of(tau[name].double(), moment, len(tau[name]) // len(taus)))
    for name, essences in found.items():
        merged[name] = one_map(essences).to(merged[name].dtype)
    return scaled_by_kind(merged)


@dataclass(frozen=True)
class Essence:
    """What one task's map adds to both factors: U_t and U_tᵀτ_t with their scalings, and ‖τ_t‖."""

    norm: Float[Tensor, ""]
    left: Float[Tensor, "out k"]
    right: Float[Tensor, "k in"]

    @classmethod
    def of(cls, tau: Float[Tensor, "out in"], moment: Float[Tensor, "in in"], kept: int) -> "Essence":
        eigenvalues, directions = essential(tau @ moment @ tau.mT, kept)
        relative = (eigenvalues / eigenvalues.mean()) ** SPREAD
        scale, norm = relative / relative.mean(), tau.norm()
        return cls(norm, directions * scale, scale[:, None] * (directions.mT @ tau) * norm**POWER)


def one_map(essences: Sequence[Essence]) -> Float[Tensor, "out in"]:
    mean = torch.stack([one.norm for one in essences]).mean()
    left, right = torch.cat([one.left for one in essences], 1), torch.cat([one.right for one in essences]) / mean**POWER
    columns = right.norm(dim=0)
    right = right * (columns / columns.mean()) ** POWER
    return GAIN * evened(left) @ evened(right)


def essential(shifts: Float[Tensor, "out out"], kept: int) -> tuple[Float[Tensor, "k"], Float[Tensor, "out k"]]:
    """The largest eigenvalues of the output's shifts and their directions; what rounding leaves of zeros is zero."""
    values, vectors = torch.linalg.eigh(shifts)
    values, vectors = values.flip(0)[:kept], vectors.flip(1)[:, :kept]
    least = values[0] * len(shifts) * torch.finfo(values.dtype).eps
    return values.where(values > least, 0.0), vectors


def scaled_by_kind(merged: Parameters) -> Parameters:
    """Each linear map times (its norm / mean norm of the maps with its name in other blocks)²."""
    norms = {name: value.norm() for name, value in merged.items() if is_linear_map(name, value)}

    def kind(name: str) -> str:
        return ".".join(name.split(".")[-2:])

    def scale(name: str) -> Tensor:
        return (
            norms[name] / torch.stack([norms[other] for other in norms if kind(other) == kind(name)]).mean()
        ) ** POWER

    return {name: value * scale(name) if name in norms else value for name, value in merged.items()}


RIVAL = Rival("ESM", esm, "Li et al. 2026, arXiv 2602.20208", images=True)
