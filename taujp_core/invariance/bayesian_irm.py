"""Is the invariance penalty less overfitted when the classifier is a distribution? Lin et al. 2022."""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ..checks import check_not_negative
from .objective import Environment, Objective, Step, annealed, scale_gradient


def value(
    environments: Sequence[Environment],
    step: Step,
    penalty_weight: float,
    anneal_steps: int,
    sigma: float,
    samples: int,
) -> Float[Tensor, ""]:
    """mean_e CE_e + l2·‖θ‖² + λ·mean over samples s and environments e of g_e(w_se)², divided by λ once λ > 1;
    w_se ~ N(1, σ²).

    Lin et al. 2022, the objective of BIRM: the penalty's expectation over a Gaussian posterior of the scale w, by
    `samples` draws for each environment, as in the authors' code (`bayes_fullbatch`; ten draws, σ a constant over the
    number of images). The risk is taken at w = 1, as in IRMv1, where that code has it at the last draw, and λ is
    annealed as in IRMv1. Draws are of `step.generator`. Raises ValueError for λ < 0, σ < 0, no samples, fewer than two
    environments or an empty one.
    """
    check_not_negative(sigma=sigma)
    if samples < 1:
        raise ValueError(f"samples must be at least 1, not {samples}")
    penalty = partial(posterior_penalty, sigma=sigma, samples=samples, generator=step.generator)
    return annealed(environments, step, penalty_weight, anneal_steps, penalty)


def posterior_penalty(
    environments: Sequence[Environment], sigma: float, samples: int, generator: torch.Generator | None
) -> Float[Tensor, ""]:
    """mean over samples and environments of g_e(w)², w ~ N(1, σ²) anew for each; one draw is [samples,
    environments]."""
    draws = 1 + sigma * torch.randn(samples, len(environments), generator=generator)
    draws = draws.to(environments[0].logits)
    gradients = [
        scale_gradient(one, scale) for of_sample in draws for one, scale in zip(environments, of_sample, strict=True)
    ]
    return torch.stack(gradients).square().mean()


OBJECTIVE = Objective(
    "bayesian-irm", value, {"penalty_weight": 91257.0, "anneal_steps": 190, "sigma": 0.06, "samples": 10}
)
