"""How far is one model from each expert, on that expert's own images?

Set t holds unlabelled images D_t and an expert τ_t; the control's expert is the pre-trained model, τ = 0. The distance
of τ on a set is mean over x in D_t of ‖f(x; τ) − f(x; τ_t)‖², f(x; τ) the features under τ as the vectors are applied:
for the linearised model that is ‖J(x)(τ − τ_t)‖². The objective is the distances' sum, with weight 1 for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from taujp_core.applications import Application
from taujp_core.models import Clip
from taujp_core.optimisation import batch_indices
from taujp_core.parameters import Parameters
from taujp_core.products.jacobian import jacobian_products

from .kept_products import KeptProducts
from .solve import Residuals


@dataclass(frozen=True)
class Matching:
    """Sets of images with an expert each; application: that of the vectors."""

    clip: Clip
    application: Application
    experts: list[Parameters]
    images: list[UInt8[Tensor, "_ 3 h w"]]

    @cached_property
    def targets(self) -> list[Float[Tensor, "_ d"]]:
        """Each expert's features on its images; of affine ones Jτ_t, for f₀ is the same for all."""
        return [self.features(tau, images) for tau, images in zip(self.experts, self.images, strict=True)]

    @cached_property
    def weights(self) -> Float[Tensor, "n"]:
        """What each image counts, so that each set counts 1."""
        like = self.targets[0]
        return torch.cat([like.new_full((len(images),), 1 / len(images)) for images in self.images])

    def features(self, tau: Parameters, images: Tensor) -> Float[Tensor, "n d"]:
        if self.application.affine:
            f0, products = jacobian_products(self.clip.encoder, self.clip.theta0, [tau], images)
            return self.application.from_encoder(f0, products)[1][0]
        return self.application.features(self.clip, tau, images)

    def distances(self, tau: Parameters) -> Float[Tensor, "sets"]:
        """Mean squared distance of the features from the expert's, for each set."""
        found = self.features(tau, torch.cat(self.images)).split([len(images) for images in self.images])
        pairs = zip(found, self.targets, strict=True)
        return torch.stack([(ours - target).square().sum(-1).mean() for ours, target in pairs])

    def objective(self, tau: Parameters) -> float:
        return self.distances(tau).sum().item()

    def residuals(self, tau: Parameters) -> Residuals:
        """What is left to change, linearised where the encoder computes."""
        images = torch.cat(self.images)
        application = self.application
        products = KeptProducts(
            self.clip.encoder, application.point(self.clip, tau), images, from_encoder=application.from_encoder
        )
        if application.affine:
            found = products.forward(tau)
        else:
            found = products.features if application.in_weights else self.features(tau, images)
        return Residuals(products, torch.cat(self.targets) - found, self.weights)

    def part(self, number: int, count: int) -> "Matching":
        """The sets with `count` images each, those of round `number`: all of them come, in another order each time.

        This very object where no set has more.
        """
        if max(map(len, self.images)) <= count:
            return self
        images = []
        for k, own in enumerate(self.images):
            indices = batch_indices(len(own), min(count, len(own)), number, k)
            images.append(own[torch.as_tensor(indices)])
        return Matching(self.clip, self.application, self.experts, images)


def held_out(images: Sequence[Tensor], share: int, most: int) -> tuple[list[Tensor], list[Tensor]]:
    """Of each set the images to solve on, and every `share`-th one, held out; of a large set fewer, no more than `most`.

    They are spread over the whole set, so that of images in the order of their classes each class has its share. Of fewer
    than `share` images none is held out, and they judge themselves.
    """
    solved, held = [], []
    for own in images:
        every = max(share, len(own) // most)
        number = torch.arange(len(own))
        out = (number % every == every - 1) & (number < every * most)
        enough = bool(out.any())
        solved.append(own[~out] if enough else own)
        held.append(own[out] if enough else own)
    return solved, held
