"""May the coefficient be chosen later? The τJp penalty at a random coefficient of every step.

CE(f(x; θ₀ + τ)) + λ · mean ‖f(x'; θ₀ + uτ) − f(x'; θ₀)‖₂ / u, u uniform on [0.5, 1.5], on one other data set per step (see
`drift`; ours). On average over the steps, the penalty is on the whole curve over coefficients. u is drawn by seed and step.

The difference is taken from θ₀, and not between two points close to u as in `taujp-tangent`: it is what other tasks see at this
coefficient, costs less (4 matrix products per layer, as `taujp-secant`), and bf16 does not drown it.
"""

import numpy as np

from ..parameters import Parameters, zeros_like
from .drift import moving, scaled, seed_of

LEAST, MOST = 0.5, 1.5


def coefficient(seed: int, step: int) -> float:
    """u of this step."""
    return np.random.RandomState(np.array([seed, step], dtype=np.uint32)).uniform(LEAST, MOST)


def ends(tau: Parameters, step: int, seed: int) -> tuple[Parameters, Parameters, float]:
    """uτ, 0 and u."""
    u = coefficient(seed, step)
    return scaled(tau, u), zeros_like(tau), u


METHOD = moving("taujp-path", ends, prepare=seed_of, words="the τJp penalty along the path")
