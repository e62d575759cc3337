"""May other vectors be in the weights, too? The τJp penalty around a random partner of every step.

CE(f(x; θ₀ + τ)) + λ · mean ‖f(x'; θ₀ + δ + τ) − f(x'; θ₀ + δ)‖₂, on one other data set per step (see `drift`; ours). The sum of
all vectors is far from every θ₀ + τ; here other images' features are to rest away from θ₀ as well.

δ stands for the other vectors, which need not be trained yet: Gaussian noise, of each tensor `partner_norm` times as long as τ's,
drawn by seed and step, without a gradient. The default is √7, the length of the sum of seven orthogonal vectors, for eight tasks.
Noise as long as τ moves features a fifth as far as a τ that was trained with the penalty (`mini`), so that δ is a weak stand-in.

Per other image two forward passes and one backward pass, 4 matrix products per layer; and per step a random number per parameter,
drawn on the processor, so that it is the same for every device.
"""

import numpy as np
import torch

from ..parameters import Parameters, added
from .drift import moving, seed_of
from .method import Parameter


def partner(tau: Parameters, step: int, seed: int, partner_norm: float) -> Parameters:
    """δ of this step."""
    drawn = int(np.random.RandomState(np.array([seed, step], dtype=np.uint32)).randint(2**31 - 1))
    generator = torch.Generator().manual_seed(drawn)
    found = {}
    for name in sorted(tau):
        size = tau[name].detach().norm()
        noise = torch.randn(tau[name].shape, generator=generator, dtype=size.dtype).to(size.device)
        found[name] = partner_norm * size / noise.norm() * noise
    return found


def ends(tau: Parameters, step: int, seed: int, partner_norm: float) -> tuple[Parameters, Parameters, float]:
    """δ + τ, δ and 1."""
    delta = partner(tau, step, seed, partner_norm)
    return added(delta, tau), delta, 1.0


METHOD = moving(
    "taujp-partner",
    ends,
    prepare=seed_of,
    parameters={"partner_norm": Parameter(7**0.5)},
    words="the τJp penalty around a random partner",
)
