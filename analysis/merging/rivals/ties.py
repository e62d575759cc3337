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

from jaxtyping import Float
from torch import Tensor

from taujp_core.parameters import Parameters

from .matrices import flattened, unflattened
from .rival import Rival

KEPT = 0.2  # share of each vector's entries that stay


def trimmed(rows: Float[Tensor, "t n"]) -> Float[Tensor, "t n"]:
    """Each row with its largest entries alone; those as large as the smallest that stays stay too."""
    smallest = rows.shape[1] - int(rows.shape[1] * KEPT)
    least = rows.abs().kthvalue(max(smallest, 1), dim=1, keepdim=True).values
    return rows.where(rows.abs() >= least, 0.0)


def ties(taus: Sequence[Parameters]) -> Parameters:
    rows = trimmed(flattened(taus))
    signs = rows.sum(0).sign()
    signs = signs.where(signs != 0, signs.sum().sign())
    agreeing = rows.where(rows.sign() == signs, 0.0)
    merged = agreeing.sum(0) / (agreeing != 0).sum(0).clamp(min=1)
    return unflattened(merged, taus[0])


RIVAL = Rival("TIES", ties, "Yadav et al. 2023, arXiv 2306.01708")
