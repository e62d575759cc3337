"""What if the normalised features are linearised, and not the encoder's? u + J_u τ, u = f/‖f‖ (TAK, 2602.17385).

J_u τ = (I − uuᵀ)·Jτ/‖f₀‖: all of it follows from f₀ and Jτ of the encoder. To first order in τ the cosines with a head are those of
f₀ + Jτ, which the head normalises; u + J_u τ, which it normalises again, leaves out what Jτ has along f₀.
"""

from jaxtyping import Float, Shaped
from torch import Tensor

from ..checks import check_images
from ..models import Clip
from ..parameters import Parameters
from ..products.jacobian import jacobian_products
from .linearised import Linearised


class LinearisedNormalised(Linearised):
    """u(x; θ₀) + J_u(x)τ. See `Application`."""

    name = "linearised-normalised"
    plain_method = "linear-normalised"

    def from_encoder(
        self, features: Float[Tensor, "n d"], changes: Float[Tensor, "*t n d"]
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "*t n d"]]:
        size = features.norm(dim=-1, keepdim=True)
        unit = features / size
        return unit, (changes - unit * (unit * changes).sum(-1, keepdim=True)) / size

    def features(self, clip: Clip, tau: Parameters, images: Shaped[Tensor, "n ..."]) -> Float[Tensor, "n d"]:
        check_images("images", images, clip.image_size)
        unit, products = self.from_encoder(*jacobian_products(clip.encoder, clip.theta0, [tau], images))
        return unit + products[0]


APPLICATION = LINEARISED_NORMALISED = LinearisedNormalised()
