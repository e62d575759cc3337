"""What if every direction of the sum counted alike?

Iso-C (Marczak et al. 2025, arXiv 2502.04959, alg. 1): of the sum of a linear map's matrices, UΣVᵀ, the singular values
become their mean: σ̄·UVᵀ. Queries, keys and values are one matrix, as in the authors' code.
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
