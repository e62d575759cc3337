"""What is the rival without invariance? The mean risk of the environments."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from .objective import Environment, Objective, Step, check_environments, losses


def value(environments: Sequence[Environment], step: Step) -> Float[Tensor, ""]:
    """mean_e CE_e + l2·‖θ‖²: each environment counts once, however many images it has.

    One environment will do. Raises ValueError for an empty one.
    """
    check_environments(environments, least=1)
    return losses(environments).mean() + step.decay


OBJECTIVE = Objective("erm", value, {})
