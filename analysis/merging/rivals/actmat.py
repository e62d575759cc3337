"""What does ActMat merge? What each vector's own Gram matrix says about its task's activations.

Hameed et al. 2026 (arXiv 2604.01329): a step of gradient descent on a layer is a sum of outer products with its
inputs, so that τ_tᵀτ_t stands for the second moment of the inputs that task t brings. Per linear map, with queries,
keys and values apart (as the authors' script has it, --mha=split):

    τ = Σ_t τ_t C_t · (Σ_t C_t)⁺,   C_t = τ_tᵀτ_t.

Parameters that are no linear maps are averaged. Do not use it for as many vectors as a map's inputs divided by its outputs:
four, in the second map of a ViT's MLP. The sum of the C_t is then of full rank by a hair: its smallest eigenvalues are next
to zero and their inverses next to infinite. Four vectors of `mini` come out at an accuracy of 0.12, two at 0.76 and eight
at 0.72 (results/mini/52_arena.ipynb).

Verified against: the paper's least squares problem, solved in another way (one tall system) in float64. The authors' code was
read for how queries, keys and values are split; it was not run.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from taujp_core.parameters import Parameters

from .matrices import by_matrix, weighted_mean
from .rival import Rival


def one_map(stacked: Float[Tensor, "t out in"]) -> Float[Tensor, "out in"]:
    grams = stacked.mT @ stacked
    return weighted_mean((stacked @ grams).sum(0), grams.sum(0))


def actmat(taus: Sequence[Parameters]) -> Parameters:
    """The merged τ of τ₁ … τ_T; no data are needed."""
    return by_matrix(taus, one_map, split=True)


RIVAL = Rival("ActMat", actmat, "Hameed et al. 2026, arXiv 2604.01329")
