"""What does a vector do to other images' features, if the encoder itself moves? τJp of f(θ₀ + τ), in four forms.

    CE(f(x; θ₀ + τ)) + λ · mean over other images x' of ‖f(x'; θ₀ + τ₊) − f(x'; θ₀ + τ₋)‖₂ / w

τ₊ and τ₋ are two vectors that are w·τ apart:

    taujp-secant    τ₊ = τ          τ₋ = 0          w = 1     how far the features drift
    taujp-tangent   τ₊ = (1 + h)τ   τ₋ = (1 − h)τ   w = 2h    ‖J(x'; θ₀ + τ)τ‖₂, at the trained point
    taujp-path      τ₊ = uτ         τ₋ = 0          w = u     the drift at a random coefficient u, per coefficient
    taujp-partner   τ₊ = δ + τ      τ₋ = δ          w = 1     the drift where other vectors δ are in the weights, too

If f is affine in its parameters, all four are τJp, the penalty of `taujp-strict`. Otherwise that one is of the model linearised
at θ₀, and says nothing about the encoder at θ₀ + τ. The forms are related by

    f(θ₀ + τ) − f(θ₀) = ∫₀¹ J(θ₀ + ατ)τ dα.

The gradient is by reverse mode alone, the second derivatives of the tangent included: no derivative passes through a tangent.
At τ = 0 the norm has the gradient zero. With `features="normalised"` the difference is of f/‖f‖: a change of ‖f‖ alone, which
the head's normalisation undoes, is then free. The penalty is smaller by about ‖f‖ (18 for `mini`), and λ is to be larger by it.
In bf16 a feature is rounded by some 2⁻⁹ of its size, which blurs the direction of a drift of a few hundredths of it.

These forms are ours. The nearest published work is "resolving interference" (2603.13467), which tunes finished vectors to keep
other heads' answers (a KL divergence); here the vector is trained with the penalty from the start.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from ..applications.encoder import ENCODER
from ..models import Clip
from ..parameters import Parameters, added, device_of, leaves
from ..products.jacobian import full_precision, product_norms
from ..products.precision import precision
from .method import Batch, Method, Parameter, Sight
from .standard import METHOD as STANDARD

# (τ, number of the step, seed, **options) gives τ₊, τ₋ and w.
Ends = Callable[..., tuple[Parameters, Parameters, float]]
NARROW = 0.1  # over less of τ than this, the difference would drown in the rounding of bf16 and TF32


def seed_of(sight: Sight) -> int:
    """For ends that are drawn: by the seed and the step alone, so that a killed training draws them again."""
    return sight.seed


def norms(plus: Float[Tensor, "n d"], minus: Float[Tensor, "n d"], width: float, features: str) -> Float[Tensor, "n"]:
    """‖f₊ − f₋‖₂ / w per image, of raw or of normalised features."""
    if features == "normalised":
        plus, minus = F.normalize(plus, dim=-1), F.normalize(minus, dim=-1)
    return product_norms((plus - minus) / width)


def moving(
    name: str,
    ends: Ends,
    prepare: Callable[[Sight], object] | None = None,
    parameters: dict[str, Parameter] | None = None,
    words: str = "",
) -> Method:
    """The method of this name, whose penalty is the drift between these ends, on one other data set per step, in turn."""

    def gradient(
        clip: Clip,
        head: Float[Tensor, "d classes"],
        tau: Parameters,
        batch: Batch,
        prepared: object = None,
        penalty_weight: float = 0.0,
        features: str = "raw",
        **options: float,
    ) -> tuple[Parameters, Float[Tensor, ""], Float[Tensor, ""]]:
        """Gradient of CE(f(θ₀ + τ)) + λ·mean drift, the loss, and the mean drift; without other images that of `standard`.

        The two sets of images have a pass each, so that λ = 0 gives the numbers of `standard` to the last bit.
        """
        found, loss, penalty = STANDARD.gradient(clip, head, tau, batch)  # type: ignore[misc]
        if not len(batch.others):
            return found, loss, penalty
        variables, device = leaves(tau), device_of(tau)
        moved = torch.stack([value.any() for value in tau.values()]).any()
        with torch.enable_grad():
            upper, lower, width = ends(variables, batch.step, prepared, **options)
            with precision("float32", device) if width < NARROW else nullcontext():
                # An end that does not depend on τ leaves no graph.
                plus, minus = (
                    functional_call(clip.encoder, added(clip.theta0, end), (batch.others,)) for end in (upper, lower)
                )
                with full_precision(plus):
                    # At τ = 0 the ends may differ by rounding, where they go through other kernels: a direction of noise.
                    penalty = norms(plus.to(head.dtype), minus.to(head.dtype), width, features).mean() * moved
                    slopes = torch.autograd.grad(penalty, list(variables.values()), materialize_grads=True)
        for tensor, slope in zip(variables, slopes, strict=True):
            found[tensor] = found[tensor] + penalty_weight * slope
        return found, loss, penalty.detach()

    shared = {"penalty_weight": Parameter(0.1), "features": Parameter("raw", accepted=("raw", "normalised"))}
    parameters = {**shared, **(parameters or {})}
    return Method(
        name, ENCODER, gradient, others="in turn", prepare=prepare, parameters=parameters, version=2, words=words
    )


def scaled(tau: Parameters, coefficient: float) -> Parameters:
    return {name: coefficient * value for name, value in tau.items()}
