"""What if each task kept its leading singular vectors, made orthogonal to the others'?

TSV-Merge (Gargiulo et al. 2025, arXiv 2412.00081, alg. 1): per linear map of rank r every task keeps its r/T leading
singular triples; all left and all right vectors are replaced by the nearest orthonormal ones (Procrustes), the
singular values stay: τ = U⊥·Σ·V⊥ᵀ.
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
