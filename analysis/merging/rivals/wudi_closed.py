"""Where does WUDI's optimiser go, if it is given the time?

The minimum of the loss of Cheng et al. 2025 (arXiv 2503.08099, eq. 9; `wudi.py`), Σ_t ‖(τ − τ_t) τ_tᵀ‖² / ‖τ_t‖², per
linear map:

    τ = Σ_t τ_t C_t · (Σ_t C_t)⁺,   C_t = τ_tᵀτ_t / ‖τ_t‖².

There is no learning rate, so that it is the same method for vectors of any scale. Parameters that are no linear maps are
averaged. ActMat differs in the weights of the tasks and in taking queries, keys and values apart.

Verified against: the minimum of the published loss, found in another way (one tall system) in float64, and 3000 steps of
Adam on the loss. The authors publish no closed form.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from taujp_core.parameters import Parameters

from .matrices import by_matrix, weighted_mean
from .rival import Rival


def grams(stacked: Float[Tensor, "t out in"]) -> Float[Tensor, "t in in"]:
    """τ_tᵀτ_t / ‖τ_t‖²; zeros for a vector that leaves the map alone."""
    norms = stacked.square().sum((1, 2), keepdim=True)
    return stacked.mT @ stacked / norms.where(norms > 0, 1.0)


def one_map(stacked: Float[Tensor, "t out in"]) -> Float[Tensor, "out in"]:
    weights = grams(stacked)
    return weighted_mean((stacked @ weights).sum(0), weights.sum(0))


def wudi_closed(taus: Sequence[Parameters]) -> Parameters:
    return by_matrix(taus, one_map)


RIVAL = Rival("WUDI, closed form", wudi_closed, "the minimum of Cheng et al. 2025's loss, arXiv 2503.08099")
