"""Which parameters are linear maps, and how are vectors merged map by map?"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from taujp_core.parameters import Parameters


def is_linear_map(name: str, value: Tensor) -> bool:
    """Whether a parameter is a matrix [out, in] that features are multiplied with.

    open_clip's positional embeddings are matrices but no map, and its `visual.proj` is [in, out]: neither ends in
    `weight`. Its `in_proj_weight` holds the maps of queries, keys and values, one below the other.
    """
    return value.ndim == 2 and name.endswith("weight")


def by_matrix(
    taus: Sequence[Parameters],
    merge: Callable[[Float[Tensor, "t out in"]], Float[Tensor, "out in"]],
    split: bool = False,
) -> Parameters:
    """merge([τ₁ … τ_T]) for every linear map, in float64; the mean for every other parameter.

    split: queries, keys and values are three maps.
    """
    merged = {}
    for name, first in taus[0].items():
        stacked = torch.stack([tau[name] for tau in taus])
        if not is_linear_map(name, first):
            merged[name] = stacked.mean(0)
            continue
        parts = 3 if split and name.endswith("in_proj_weight") else 1
        merged[name] = torch.cat([merge(part) for part in stacked.double().chunk(parts, 1)]).to(first.dtype)
    return merged


def orthogonalised(matrix: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """The nearest matrix with orthonormal columns or rows: UVᵀ of its singular value decomposition UΣVᵀ."""
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    return u @ vt


def evened(matrix: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """σ̄·UVᵀ: the same matrix with all its singular values at their mean."""
    u, values, vt = torch.linalg.svd(matrix, full_matrices=False)
    return values.mean() * (u @ vt)


def weighted_mean(target: Float[Tensor, "out in"], gram: Float[Tensor, "in in"]) -> Float[Tensor, "out in"]:
    """Σ W_t C_t · (Σ C_t)⁺ of both sums: the least W that minimises Σ tr((W − W_t) C_t (W − W_t)ᵀ), for symmetric C_t ≥ 0."""
    return target @ torch.linalg.pinv(gram, hermitian=True)
