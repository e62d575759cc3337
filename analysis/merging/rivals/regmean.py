"""Which linear maps answer their own tasks' activations as the experts do?

RegMean (Jin et al. 2023, arXiv 2212.09849, eq. 2): each linear map is the least squares solution over all tasks,

    W = Σ_t W_t G_t · (Σ_t G_t)⁻¹,   G_t = mean of xxᵀ over the map's inputs x in expert t on task t's images,

with the off-diagonal entries of G_t times OFF_DIAGONAL. Everything else is averaged. The expression is linear in
W_t = W₀ + τ_t, so that τ is the same expression in τ_t. Vectors of the linearised encoder meet θ₀'s activations.

Verified against: the authors' `regmean_mean_params` with 0.95 on given G_t (bloomberg/dataless-model-merging, commit
92247ae): equal in float64 to 2e-15. The G_t are compared with a forward pass that is written out by hand.
"""

from collections.abc import Iterable, Sequence

from jaxtyping import Float
from torch import Tensor

from taujp_core.parameters import Parameters

from .activations import second_moments
from .matrices import by_matrix, weighted_mean
from .rival import Evidence, Rival

OFF_DIAGONAL = 0.95  # factor of the second moments' off-diagonal entries


def regmean(taus: Sequence[Parameters], evidence: Evidence) -> Parameters:
    merged = by_matrix(taus, lambda stacked: stacked.mean(0))
    moments = (
        second_moments(evidence.clip.encoder, evidence.activated_by(tau), images)
        for tau, images in zip(taus, evidence.images, strict=True)
    )
    return merged | regressed(taus, moments)


def regressed(taus: Sequence[Parameters], moments: Iterable[dict[str, Tensor]]) -> Parameters:
    """Of each linear map that has moments, Σ τ_tG_t · (Σ G_t)⁻¹. One task's moments are in memory at a time."""
    grams: dict[str, Tensor] = {}
    targets: dict[str, Tensor] = {}
    for tau, moment in zip(taus, moments, strict=True):
        for name, value in moment.items():
            gram = shrunk(value)
            target = tau[name].double() @ gram
            grams[name] = grams[name].add_(gram) if name in grams else gram
            targets[name] = targets[name].add_(target) if name in targets else target
    return {name: weighted_mean(targets[name], gram).to(taus[0][name].dtype) for name, gram in grams.items()}


def shrunk(gram: Float[Tensor, "in in"]) -> Float[Tensor, "in in"]:
    return OFF_DIAGONAL * gram + (1 - OFF_DIAGONAL) * gram.diag().diag()


RIVAL = Rival("RegMean", regmean, "Jin et al. 2023, arXiv 2212.09849", images=True)
