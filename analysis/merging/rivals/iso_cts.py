"""What if the least directions of the sum made room for each task's own?

Iso-CTS (Marczak et al. 2025, arXiv 2502.04959, alg. 2). Per linear map of rank r: the leading 80 % of the sum's
singular directions are the common space (so many that the rest is the same number k for each task); each vector, with
the common space's left directions projected out, gives its k leading ones. U and V of all of them are made orthogonal,
and the singular values become their mean.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from taujp_core.parameters import Parameters

from .matrices import by_matrix, orthogonalised
from .rival import Rival

COMMON = 0.8


def one_map(stacked: Float[Tensor, "t out in"]) -> Float[Tensor, "out in"]:
    tasks, rank = len(stacked), min(stacked.shape[1:])
    own = round((rank - int(rank * COMMON)) / tasks)
    u, values, vt = leading(stacked.sum(0), rank - own * tasks)
    parts = [(u, values, vt), *(leading(matrix - u @ (u.mT @ matrix), own) for matrix in stacked)]
    left, right = torch.cat([part[0] for part in parts], 1), torch.cat([part[2] for part in parts])
    mean = torch.cat([part[1] for part in parts]).mean()
    return mean * (orthogonalised(left) @ orthogonalised(right))


def leading(matrix: Float[Tensor, "out in"], number: int) -> tuple[Tensor, Tensor, Tensor]:
    """U [out, k], σ [k] and Vᵀ [k, in] of the largest k singular values."""
    u, values, vt = torch.linalg.svd(matrix, full_matrices=False)
    return u[:, :number], values[:number], vt[:number]


def iso_cts(taus: Sequence[Parameters]) -> Parameters:
    return by_matrix(taus, one_map)


RIVAL = Rival("Iso-CTS", iso_cts, "Marczak et al. 2025, arXiv 2502.04959")
