"""Does squeezing the features as well help where colour and label are both predictive? Ahuja et al. 2021."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..checks import check_not_negative
from .objective import Environment, Objective, Step, annealed


def value(
    environments: Sequence[Environment], step: Step, penalty_weight: float, anneal_steps: int, variance_weight: float
) -> Float[Tensor, ""]:
    """mean_e CE_e + l2·‖θ‖² + γ·mean_e V_e + λ·mean_e g_e², the whole divided by λ once λ > 1.

    V_e: the variance of the features within environment e (n − 1 below), averaged over their dimensions. Ahuja et al.
    2021, IRMv1 with the features' variance as the bottleneck, and the authors' code for Colored MNIST (AC-CMNIST),
    which has it per environment and in the divided sum; λ comes in at `anneal_steps` as in IRMv1 here, from 1 and not
    from 0. Their code for CS-CMNIST, and the public code of Yoshida & Naganuma 2024, take the variance of all
    environments' features pooled, which also pulls the environments' means together, and do not divide it: another
    quantity. γ = 1 is of a sweep in `notebooks/61_invariance.ipynb`: with more, training accuracy falls, and the
    colour is used the other way round. Raises ValueError for environments without features or with a single image, for
    fewer than two, and for λ < 0 or γ < 0.
    """
    check_not_negative(variance_weight=variance_weight)
    bottleneck = lambda environments: variance_weight * feature_variance(environments)  # noqa: E731
    return annealed(environments, step, penalty_weight, anneal_steps, more=bottleneck)


def feature_variance(environments: Sequence[Environment]) -> Float[Tensor, ""]:
    """mean_e of the mean over dimensions of the features' variance within e."""
    for number, environment in enumerate(environments):
        if environment.features is None:
            raise ValueError(f"environment {number} is without features, whose variance the bottleneck weighs")
        if len(environment.features) < 2:
            raise ValueError(f"environment {number} has one image: a variance takes at least two")
    return torch.stack([one.features.var(0).mean() for one in environments]).mean()


OBJECTIVE = Objective("ib-irm", value, {"penalty_weight": 91257.0, "anneal_steps": 190, "variance_weight": 1.0})
