"""What is left when small entries go and signs are elected?

TIES-Merging (Yadav et al. 2023, arXiv 2306.01708, alg. 1) takes each vector as one long row of numbers, and works in
three steps. Trim: the largest entries of each vector stay, all others become zero. Elect: the sign of an entry is the
sign of the sum of what stayed. Merge: the entry is the mean of the vectors' entries that have this sign.

    τ̂_t = τ_t where |τ_t| is among the largest KEPT of the vector, else 0
    γ   = sign(Σ_t τ̂_t)
    τ   = mean of τ̂_t over the tasks with sign(τ̂_t) = γ

An entry that sums to zero takes the sign that most entries have, as in the authors' code.

Verified against: the authors' `merge_methods` (prateeky2806/ties-merging, commit 44e7891) with `topk` 20, `mass` and
`dis-mean`: equal in float64.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from taujp_core.parameters import Parameters, flat

from .rival import Rival

KEPT = 0.2  # share of each vector's entries that stay


def least_kept(tau: Parameters) -> Float[Tensor, ""]:
    """The smallest magnitude among a vector's largest entries; all that are as large stay."""
    row = flat(tau).abs()
    return row.kthvalue(max(len(row) - int(len(row) * KEPT), 1)).values


def ties(taus: Sequence[Parameters]) -> Parameters:
    """Tensor by tensor: only the thresholds, and the sign that most entries have, are of whole vectors."""
    bounds = [least_kept(tau) for tau in taus]

    def trimmed(name: str) -> Float[Tensor, "t ..."]:
        pairs = zip(taus, bounds, strict=True)
        return torch.stack([tau[name].where(tau[name].abs() >= bound, 0.0) for tau, bound in pairs])

    signs = {name: trimmed(name).sum(0).sign() for name in taus[0]}
    most = sum(sign.sum(dtype=torch.float64) for sign in signs.values()).sign()
    merged = {}
    for name, sign in signs.items():
        rows = trimmed(name)
        agreeing = rows.where(rows.sign() == sign.where(sign != 0, most.to(sign.dtype)), 0.0)
        merged[name] = agreeing.sum(0) / (agreeing != 0).sum(0).clamp(min=1)
    return merged


RIVAL = Rival("TIES", ties, "Yadav et al. 2023, arXiv 2306.01708")
