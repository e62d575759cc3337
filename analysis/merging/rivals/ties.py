"""What is left when small entries go and signs are elected?

TIES-Merging (Yadav et al. 2023, arXiv 2306.01708, alg. 1): of each vector the largest 20 % of the entries stay, over
the whole flattened vector and not tensor by tensor; every entry's sign is that of the sum of what stayed; the merged
entry is the mean of those that have this sign. An entry that sums to zero takes the sign of the majority, as in the
authors' code.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from taujp_core.parameters import Parameters

from .matrices import flattened, unflattened
from .rival import Rival

KEPT = 0.2


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
