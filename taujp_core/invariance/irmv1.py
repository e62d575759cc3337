"""Is one classifier optimal in every environment at once? Arjovsky et al. 2019."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from .objective import Environment, Objective, Step, annealed


def value(
    environments: Sequence[Environment], step: Step, penalty_weight: float, anneal_steps: int
) -> Float[Tensor, ""]:
    """mean_e CE_e + l2·‖θ‖² + λ·mean_e g_e², the whole divided by λ once λ > 1.

    Arjovsky et al. 2019, eq. (IRMv1), with the mean over environments where the equation has the sum, λ = 1 before
    step `anneal_steps`, and the division, as in the authors' code for Colored MNIST; its λ = 91257.19, from step 190,
    were found there by a search on the test environment. DomainBed's penalty, the product of the gradients of two
    halves of a batch, estimates g_e² without bias, but may be negative, and so be pushed to −∞: it is not used here.
    Raises ValueError for fewer than two environments, an empty one, λ < 0.
    """
    return annealed(environments, step, penalty_weight, anneal_steps)


OBJECTIVE = Objective("irmv1", value, {"penalty_weight": 91257.0, "anneal_steps": 190})
