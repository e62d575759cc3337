"""What is measured once for a data set, and answers for every coefficient?

`Products` (linearised models) holds f₀ and Jτₜ: features at any coefficients are a sum. `Forward` (non-linear
models) runs the edited encoder over images that were moved to the device once. Both answer `edited_features`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from taujp_core.checks import check_images
from taujp_core.datasets import Split, load_split
from taujp_core.evaluation import check_finite, features
from taujp_core.models import Clip, zero_shot_head
from taujp_core.parameters import device_of
from taujp_core.products.jacobian import jacobian_products, product_norms
from taujp_core.products.memory import memory_budget, to_device
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector, applied_alike, check_theta0, edited


@dataclass(frozen=True)
class Products:
    """f₀ [n, d], Jτₜ [t, n, d] and labels [n] of one data set."""

    features: Float[Tensor, "n d"]
    products: Float[Tensor, "t n d"]
    labels: Int[Tensor, "n"]

    def edited_features(self, coefficients: Sequence[float] | Float[Tensor, "t"]) -> Float[Tensor, "n d"]:
        """f₀ + Σₜ αₜ·Jτₜ, exactly what the linearised encoder gives at these coefficients."""
        alpha = torch.as_tensor(coefficients, dtype=self.features.dtype, device=self.features.device)
        return self.features + torch.einsum("t,tnd->nd", alpha, self.products)

    def tau_jp(self) -> Float[Tensor, "t"]:
        """τJp of each vector on this data set: mean over images of ‖J(x)τₜ‖₂."""
        return product_norms(self.products).mean(-1)


@dataclass(frozen=True)
class Forward:
    """The same question put to the encoder itself, at θ₀ + Σₜ αₜτₜ; the images are decoded once, and on its device if they fit.

    One set of coefficients after the other: four at once by `vmap` over the parameters took 1.7 times as long
    (small CLIP, two CPU cores), for each has weights of its own and nothing is shared.
    """

    clip: Clip
    vectors: tuple[TaskVector, ...]
    images: UInt8[Tensor, "n 3 h w"]
    labels: Int[Tensor, "n"]

    def edited_features(self, coefficients: Sequence[float] | Float[Tensor, "t"]) -> Float[Tensor, "n d"]:
        return features(self.clip.encoder, edited(self.clip.theta0, self.vectors, coefficients), self.images)


def measure_products(clip: Clip, vectors: Sequence[TaskVector], split: Split) -> Products:
    """One pass over a data set with all vectors; pictures are decoded meanwhile.

    Raises ValueError for vectors of another θ₀, FloatingPointError for vectors with NaN, TypeError or ValueError unless
    images are bytes [n, 3, s, s] of the Clip's size.
    """
    check_theta0(vectors, clip.theta0, clip.fingerprint)
    for vector in vectors:
        check_finite(f"the {vector.method} vector of {vector.task}", list(vector.tau.values()))
    taus, parts, labels = [vector.tau for vector in vectors], [], []
    for images, part_labels in split.batches():
        check_images("images", images, clip.image_size)
        parts.append(jacobian_products(clip.encoder, clip.theta0, taus, images))
        labels.append(part_labels)
    features, products = (torch.cat(tensors, -2) for tensors in zip(*parts, strict=True))
    return Products(features, products, torch.cat(labels).to(features.device))


def forward_source(clip: Clip, vectors: Sequence[TaskVector], split: Split) -> Forward:
    """Images stay on the CPU if they would take more than a quarter of a GPU's free memory.

    Raises ValueError for vectors of another θ₀, TypeError or ValueError unless images are bytes [n, 3, s, s] of the Clip's
    size.
    """
    check_theta0(vectors, clip.theta0, clip.fingerprint)
    device = device_of(clip.theta0)
    images, labels = split.tensors
    check_images("images", images, clip.image_size)
    if images.nbytes < memory_budget(device) // 4:
        images = to_device(images, device)
    return Forward(clip, tuple(vectors), images, to_device(labels, device))


def edited_source(clip: Clip, vectors: Sequence[TaskVector], split: Split) -> Products | Forward:
    """The models that these vectors make, applied as their methods apply them. Raises ValueError unless that is one way."""
    measure = measure_products if applied_alike(vectors) == "linearised" else forward_source
    return measure(clip, vectors, split)


def pair_sources(
    clip: Clip, suite: Suite, vectors: Sequence[TaskVector], images: int
) -> tuple[list[Products | Forward], list[Tensor]]:
    """For each vector's task: its first validation images with all vectors, as the method is applied, and its head."""
    tasks = [suite.task(vector.task) for vector in vectors]
    sources = [edited_source(clip, vectors, load_split(task, "validation").first(images)) for task in tasks]
    return sources, [zero_shot_head(clip, task.classes, task.templates) for task in tasks]
