"""What does a sum of vectors do at any coefficients, answered in milliseconds and from little enough for a browser?

Logits are f·h/‖f‖ with f = f₀ + Σₜ αₜ·Jτₜ. The numerators are affine in α, and ‖f‖² is a quadratic form in it. So the
products of f₀ and of each Jτₜ with the head, and their Gram matrix, answer every α exactly, without the features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..coefficients import COEFFICIENTS
from ..expected_accuracy import compared, shipped
from ..products import Products

# Where sliders go; a coefficient is never looked up between two of these.
LOWEST, HIGHEST, STEP = -1.0, 2.0, 0.05
CURVE = tuple(round(LOWEST + k * STEP, 2) for k in range(round((HIGHEST - LOWEST) / STEP) + 1))
MAP = tuple(LOWEST + k / 4 for k in range(13))  # coefficients of a map of two vectors


@dataclass(frozen=True)
class Projected:
    """Of one data set: v₀ = f₀ and vₜ = Jτₜ by way of `numerators` vᵢ·h and `gram` vᵢ·vⱼ, for each image; labels."""

    numerators: Float[Tensor, "v n classes"]
    gram: Float[Tensor, "n v v"]
    labels: Int[Tensor, "n"]

    def logits(self, coefficients: Sequence[float]) -> Float[Tensor, "n classes"]:
        """Cosine logits at these coefficients, in float64."""
        alpha = torch.tensor([1.0, *coefficients], dtype=torch.float64)
        square = torch.einsum("i,nij,j->n", alpha, self.gram.double(), alpha)
        return torch.einsum("i,inc->nc", alpha, self.numerators.double()) / square.clamp(min=1e-24).sqrt()[:, None]

    def predictions(self, coefficients: Sequence[float]) -> Int[Tensor, "n"]:
        return self.logits(coefficients).argmax(-1)

    def accuracy(self, coefficients: Sequence[float]) -> float:
        return (self.predictions(coefficients) == self.labels).double().mean().item()

    def first(self, images: int) -> "Projected":
        return Projected(self.numerators[:, :images], self.gram[:images], self.labels[:images])


@dataclass(frozen=True)
class Answers:
    """One method's vectors, one a task, on the images of each of these tasks.

    tuned: the one coefficient for all that the protocol of addition chooses; optimum: those of one a task.
    """

    method: str
    tasks: tuple[str, ...]
    images: tuple[Projected, ...]
    tuned: float
    optimum: tuple[float, ...]

    def accuracies(self, coefficients: Sequence[float]) -> "pd.Series[float]":
        """By task. Raises ValueError for coefficients that are not one a task, or out of range."""
        check_coefficients(self.tasks, coefficients)
        return pd.Series(
            {task: images.accuracy(coefficients) for task, images in zip(self.tasks, self.images, strict=True)}
        )

    def marks(self) -> pd.DataFrame:
        """A row a task: accuracies zero_shot (α = 0), single_task (its own vector alone) and one_shot (all at 1)."""
        rows = len(self.tasks)
        return pd.DataFrame(
            {
                "zero_shot": self.accuracies([0.0] * rows),
                "single_task": [
                    images.accuracy(own) for images, own in zip(self.images, np.eye(rows).tolist(), strict=True)
                ],
                "one_shot": self.accuracies([1.0] * rows),
            }
        )

    def curve(self) -> pd.DataFrame:
        """Accuracy of each task (a column) over one coefficient for all vectors (the index, CURVE)."""
        return pd.DataFrame({alpha: self.accuracies([alpha] * len(self.tasks)) for alpha in CURVE}).T

    def expected(self, coefficients: Sequence[float], elsewhere: bool = False) -> pd.DataFrame:
        """By task: expected, low and high, the forecast of the accuracy over the expert's, of which no label is read.

        elsewhere: the model is another than the forecast's calibration is of (see `Expectation.expect`).
        """
        rows = [
            compared(images.logits(own), images.logits(coefficients))
            for images, own in zip(self.images, np.eye(len(self.tasks)).tolist(), strict=True)
        ]
        calibration, _ = shipped()
        return calibration.expect(pd.DataFrame(rows, index=list(self.tasks)), elsewhere)

    def first(self, images: int) -> "Answers":
        """The first images of each task alone; the chosen coefficients stay those of all."""
        return replace(self, images=tuple(projected.first(images) for projected in self.images))

    def changing(self, count: int) -> list[tuple[int, int]]:
        """(task, image) of images whose answer changes most often as one coefficient goes over COEFFICIENTS.

        The tasks take turns; of equals the first image. Fewer where fewer change.
        """
        queues = []
        for task, images in enumerate(self.images):
            path = torch.stack([images.predictions([alpha] * len(self.tasks)) for alpha in COEFFICIENTS])
            changes = (path[1:] != path[:-1]).sum(0).tolist()
            order = sorted(range(len(changes)), key=lambda image: -changes[image])
            queues.append([(task, image) for image in order if changes[image]])
        turns = [queue[turn] for turn in range(max(map(len, queues))) for queue in queues if turn < len(queue)]
        return turns[:count]


def summary_table(answers: Sequence[Answers]) -> pd.DataFrame:
    """A row a method: mean accuracies at α = 0, of the single tasks, at 1, at the tuned α and at the per-task optimum;
    the tuned α. Both were chosen on these images."""
    rows = {}
    for each in answers:
        found = each.marks().mean().to_dict()
        for name, point in (("tuned", [each.tuned] * len(each.tasks)), ("per_task", each.optimum)):
            found[name] = float(np.mean([images.accuracy(point) for images in each.images]))
        rows[each.method] = found | {"tuned_coefficient": each.tuned}
    return pd.DataFrame.from_dict(rows, orient="index")


def project(products: Products, head: Float[Tensor, "d classes"]) -> Projected:
    """What of a data set's products the logits need, on the CPU."""
    parts = torch.cat([products.features[None], products.products])
    gram = torch.einsum("ind,jnd->nij", parts, parts)
    return Projected((parts @ head).float().cpu(), gram.float().cpu(), products.labels.cpu())


def check_coefficients(tasks: Sequence[str], coefficients: Sequence[float]) -> None:
    """Raises ValueError, in a sentence, unless there is one a task, each within LOWEST and HIGHEST."""
    if len(coefficients) != len(tasks):
        raise ValueError(f"one coefficient for each of {', '.join(tasks)} is needed, not {len(coefficients)}")
    for task, alpha in zip(tasks, coefficients, strict=True):
        if not LOWEST <= alpha <= HIGHEST:
            raise ValueError(f"the coefficient of {task} must be from {LOWEST:g} to {HIGHEST:g}, not {alpha:g}")
