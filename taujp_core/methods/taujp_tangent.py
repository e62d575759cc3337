"""How fast do other images' features move with the coefficient, at α = 1? The τJp penalty at the trained point.

CE(f(x; θ₀ + τ)) + λ · mean ‖f(x'; θ₀ + (1 + h)τ) − f(x'; θ₀ + (1 − h)τ)‖₂ / 2h, on one other data set per step (see `drift`;
ours). The penalty is ‖J(x'; θ₀ + τ)τ‖₂, but for h²/6 of the third derivative along τ.

Per other image two forward and two backward passes, 6 matrix products per layer; an image of `taujp-efficient` takes 5. The
passes are in float32, whatever the run's precision.
"""

from ..parameters import Parameters
from .drift import moving, scaled

H = 1 / 64  # h²/6 is 4e-5; float32's rounding of the features, 6e-8 of them, comes in 1/2h = 32 times


def ends(tau: Parameters, step: int, seed: object) -> tuple[Parameters, Parameters, float]:
    """(1 + h)τ, (1 − h)τ and 2h."""
    return scaled(tau, 1 + H), scaled(tau, 1 - H), 2 * H


METHOD = moving("taujp-tangent", ends, words="the τJp penalty at the trained point")
