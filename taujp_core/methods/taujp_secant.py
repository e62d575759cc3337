"""How far may a vector in the weights carry other images' features? The τJp penalty on the drift itself.

CE(f(x; θ₀ + τ)) + λ · mean ‖f(x'; θ₀ + τ) − f(x'; θ₀)‖₂, on one other data set per step (see `drift`; ours).

What other tasks see of the vector at α = 1, and the mean of J(θ₀ + ατ)τ over α from 0 to 1. Per other image two forward
passes and one backward pass, 4 matrix products per layer; an image of `taujp-efficient` takes 5.
"""

from ..parameters import Parameters, zeros_like
from .drift import moving


def ends(tau: Parameters, step: int, seed: object) -> tuple[Parameters, Parameters, float]:
    """τ, 0 and 1."""
    return tau, zeros_like(tau), 1.0


METHOD = moving("taujp-secant", ends, words="the τJp penalty on the drift")
