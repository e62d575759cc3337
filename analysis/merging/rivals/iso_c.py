"""What if every direction of the sum counted alike?

Iso-C (Marczak et al. 2025, arXiv 2502.04959, alg. 1) adds each linear map's matrices and sets all singular values of the
sum to their mean σ̄:

    Σ_t τ_t = U S Vᵀ   →   τ = σ̄·U Vᵀ.

Queries, keys and values are one matrix, as in the authors' code. Parameters that are no linear maps are averaged.

Verified against: the authors' `iso_c` (danielm1405/iso-merging, commit d34010a) on linear maps and layer norms: equal in
float64 to 2e-15. The authors' function also treats the positional embedding and `visual.proj` as linear maps; here they are
averaged.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from taujp_core.parameters import Parameters

from .matrices import by_matrix, evened
from .rival import Rival


def one_map(stacked: Float[Tensor, "t out in"]) -> Float[Tensor, "out in"]:
    return evened(stacked.sum(0))


def iso_c(taus: Sequence[Parameters]) -> Parameters:
    return by_matrix(taus, one_map)


RIVAL = Rival("Iso-C", iso_c, "Marczak et al. 2025, arXiv 2502.04959")
