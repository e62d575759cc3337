"""What if each task kept its leading singular vectors, made orthogonal to the others'?

TSV-Merge (Gargiulo et al. 2025, arXiv 2412.00081, alg. 1): per linear map of rank r every task keeps its r/T leading
singular triples. The left vectors of all tasks, and the right ones, are replaced by the nearest orthonormal ones
(Procrustes), and the singular values stay:

    τ = orth[U_1 … U_T] · diag(S_1 … S_T) · orth[V_1 … V_T]ᵀ.

Parameters that are no linear maps are averaged.

Verified against: the authors' `compute_and_sum_svd_mem_reduction` (AntoAndGar/task_singular_vectors, commit a6c9718) on
linear maps and layer norms: equal in float64 to 3e-15. The authors' function also treats the positional embedding and
`visual.proj` as linear maps; here they are averaged.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from taujp_core.parameters import Parameters

from .matrices import by_matrix, orthogonalised
from .rival import Rival


def one_map(stacked: Float[Tensor, "t out in"]) -> Float[Tensor, "out in"]:
    kept = min(stacked.shape[1:]) // len(stacked)
    u, values, vt = torch.linalg.svd(stacked, full_matrices=False)
    left = torch.cat(list(u[:, :, :kept]), 1)
    right = torch.cat(list(vt[:, :kept]))
    return orthogonalised(left) * values[:, :kept].flatten() @ orthogonalised(right)


def tsv_m(taus: Sequence[Parameters]) -> Parameters:
    return by_matrix(taus, one_map)


RIVAL = Rival("TSV-M", tsv_m, "Gargiulo et al. 2025, arXiv 2412.00081")
