"""What is measured once for a data set, and answers for every coefficient?

A source is one data set under several vectors; it answers `edited_features(coefficients)`. That of the linearised model
(`Products`) holds f₀ and Jτₜ, so that features at any coefficients are a sum; that of the encoder (`Forward`) runs it.
"""

from collections.abc import Sequence
from typing import cast

from torch import Tensor

from taujp_core.applications import Application, EditedData
from taujp_core.applications.linearised import LINEARISED, Products
from taujp_core.datasets import Split, load_split
from taujp_core.evaluation import check_finite
from taujp_core.models import Clip, zero_shot_head
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector, applied_alike, check_theta0


def edited_source(
    clip: Clip,
    vectors: Sequence[TaskVector],
    split: Split,
    application: Application | None = None,
) -> EditedData:
    """A data set under these vectors, applied as their methods apply them, or all in one given way.

    Raises ValueError for vectors of another θ₀, and unless their methods apply them alike; FloatingPointError for vectors
    with NaN; TypeError or ValueError unless images are bytes [n, 3, s, s] of the Clip's size.
    """
    application = application or applied_alike(vectors)
    check_theta0(vectors, clip.theta0, clip.fingerprint)
    for vector in vectors:
        check_finite(f"the {vector.method} vector of {vector.task}", list(vector.tau.values()))
    return application.source(clip, [vector.tau for vector in vectors], split)


def measure_products(clip: Clip, vectors: Sequence[TaskVector], split: Split) -> Products:
    """f₀ and Jτₜ of a data set, whatever the vectors' methods. Raises what `edited_source` raises."""
    return cast(Products, edited_source(clip, vectors, split, LINEARISED))


def products_and_source(clip: Clip, vectors: Sequence[TaskVector], split: Split) -> tuple[Products, EditedData]:
    """f₀ and Jτₜ of a data set, and the data set under the vectors as they are applied: one pass where one answers both."""
    application = applied_alike(vectors)
    products = measure_products(clip, vectors, split)
    return products, as_applied(products, application) if application.affine else edited_source(clip, vectors, split)


def as_applied(products: Products, application: Application) -> Products:
    """The source of an affine application, from f₀ and Jτₜ of the encoder."""
    return Products(*application.from_encoder(products.features, products.products), products.labels)


def pair_sources(
    clip: Clip, suite: Suite, vectors: Sequence[TaskVector], images: int
) -> tuple[list[EditedData], list[Tensor]]:
    """For each vector's task: its first validation images with all vectors, as the method is applied, and its head."""
    tasks = [suite.task(vector.task) for vector in vectors]
    sources = [edited_source(clip, vectors, load_split(task, "validation").first(images)) for task in tasks]
    return sources, [zero_shot_head(clip, task.classes, task.templates) for task in tasks]
