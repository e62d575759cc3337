"""What does a vector do to the model linearised at θ₀? f₀ + Jτ, at any coefficients from one pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from ..checks import check_images
from ..datasets import Split
from ..evaluation import linearised_features
from ..models import Clip
from ..parameters import Parameters
from ..products.jacobian import jacobian_products, linearised_gradient, product_norms
from .application import Application, Details, Loss


@dataclass(frozen=True)
class Products:
    """f₀ [n, d], Jτₜ [t, n, d] and labels [n] of one data set."""

    features: Float[Tensor, "n d"]
    products: Float[Tensor, "t n d"]
    labels: Int[Tensor, "n"]

    def product(self, coefficients: Sequence[float] | Float[Tensor, "t"]) -> Float[Tensor, "n d"]:
        """J of the vectors' sum: Σₜ αₜ·Jτₜ."""
        alpha = torch.as_tensor(coefficients, dtype=self.features.dtype, device=self.features.device)
        return torch.einsum("t,tnd->nd", alpha, self.products)

    def edited_features(self, coefficients: Sequence[float] | Float[Tensor, "t"]) -> Float[Tensor, "n d"]:
        """f₀ + Σₜ αₜ·Jτₜ, exactly what the linearised encoder gives at these coefficients."""
        return self.features + self.product(coefficients)

    def tau_jp(self) -> Float[Tensor, "t"]:
        """τJp of each vector on this data set: mean over images of ‖J(x)τₜ‖₂."""
        return product_norms(self.products).mean(-1)


class Linearised(Application):
    """f(x; θ₀) + J(x)τ. See `Application`."""

    name = "linearised"
    plain_method = "linear"
    affine = True

    def features(self, clip: Clip, tau: Parameters, images: Shaped[Tensor, "n ..."]) -> Float[Tensor, "n d"]:
        check_images("images", images, clip.image_size)
        return linearised_features(clip.encoder, clip.theta0, tau, images)

    def gradient(
        self, clip: Clip, tau: Parameters, images: Shaped[Tensor, "n ..."], loss: Loss
    ) -> tuple[Parameters, Details]:
        return linearised_gradient(
            clip.encoder, clip.theta0, tau, images, lambda f0, products: loss(sum(self.from_encoder(f0, products)))
        )

    def source(self, clip: Clip, taus: Sequence[Parameters], split: Split) -> Products:
        """One pass with all vectors; pictures are decoded meanwhile."""
        parts, labels = [], []
        for images, part_labels in split.batches():
            check_images("images", images, clip.image_size)
            parts.append(self.from_encoder(*jacobian_products(clip.encoder, clip.theta0, taus, images)))
            labels.append(part_labels)
        features, products = (torch.cat(tensors, -2) for tensors in zip(*parts, strict=True))
        return Products(features, products, torch.cat(labels).to(features.device))

    def point(self, clip: Clip, tau: Parameters) -> Parameters:
        return clip.theta0


APPLICATION = LINEARISED = Linearised()
