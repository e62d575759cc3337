"""What does a vector do in the encoder's weights? f(x; θ₀ + τ), the model that a merged checkpoint is."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor
from torch.func import functional_call

from ..checks import check_images
from ..datasets import Split
from ..evaluation import features
from ..models import Clip
from ..parameters import Parameters, added, device_of, leaves, moved
from ..products.jacobian import full_precision
from ..products.memory import memory_budget, to_device
from .application import Application, Details, Loss


@dataclass(frozen=True)
class Forward:
    """The encoder at θ₀ + Σₜ αₜτₜ, over images that are decoded once, and on its device if they fit.

    One set of coefficients after the other: four at once by `vmap` over the parameters took 1.7 times as long
    (small CLIP, two CPU cores), for each has weights of its own and nothing is shared.
    """

    clip: Clip
    taus: Sequence[Parameters]
    images: UInt8[Tensor, "n 3 h w"]
    labels: Int[Tensor, "n"]

    def edited_features(self, coefficients: Sequence[float] | Float[Tensor, "t"]) -> Float[Tensor, "n d"]:
        return features(self.clip.encoder, moved(self.clip.theta0, self.taus, coefficients), self.images)


class Encoder(Application):
    """f(x; θ₀ + τ). See `Application`."""

    name = "encoder"
    plain_method = "standard"
    in_weights = True

    def features(self, clip: Clip, tau: Parameters, images: Shaped[Tensor, "n ..."]) -> Float[Tensor, "n d"]:
        check_images("images", images, clip.image_size)
        return features(clip.encoder, self.point(clip, tau), images)

    def gradient(
        self, clip: Clip, tau: Parameters, images: Shaped[Tensor, "n ..."], loss: Loss
    ) -> tuple[Parameters, Details]:
        theta = leaves(self.point(clip, tau))
        with torch.enable_grad():
            found = functional_call(clip.encoder, theta, (images,))
            with full_precision(found):
                objective, details = loss(found)
                gradients = torch.autograd.grad(objective, list(theta.values()), materialize_grads=True)
        return dict(zip(theta, gradients, strict=True)), details

    def source(self, clip: Clip, taus: Sequence[Parameters], split: Split) -> Forward:
        """Images stay on the CPU if they would take more than a quarter of a GPU's free memory."""
        device = device_of(clip.theta0)
        images, labels = split.tensors
        check_images("images", images, clip.image_size)
        if images.nbytes < memory_budget(device) // 4:
            images = to_device(images, device)
        return Forward(clip, taus, images, to_device(labels, device))

    def point(self, clip: Clip, tau: Parameters) -> Parameters:
        return added(clip.theta0, tau)


APPLICATION = ENCODER = Encoder()
