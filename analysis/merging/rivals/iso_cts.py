"""What if the least directions of the sum made room for each task's own?

Iso-CTS (Marczak et al. 2025, arXiv 2502.04959, alg. 2), per linear map of rank r: the leading singular directions of the
sum are the common space. Each vector, without its part in the common space, adds its own k leading directions. All
directions are made orthogonal, and all singular values become their mean σ̄:

    U_c, V_c: the leading r − T·k directions of Σ_t τ_t,   k = round((r − ⌊COMMON·r⌋) / T)
    U_t, V_t: the leading k directions of τ_t − U_c U_cᵀ τ_t
    τ = σ̄·orth[U_c U_1 … U_T]·orth[V_c V_1 … V_T]ᵀ

Parameters that are no linear maps are averaged.

Verified against: the authors' `iso_cts` with common space 0.8 (danielm1405/iso-merging, commit d34010a) on linear maps and
layer norms: equal in float64 to 7e-15. The positional embedding and `visual.proj` differ as for Iso-C.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from taujp_core.parameters import Parameters

from .matrices import by_matrix, orthogonalised
from .rival import Rival

COMMON = 0.8  # share of the directions that are common


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
