"""What is a training method? What its file in this folder says, as plain data and one function."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from ..applications import Application
from ..evaluation import cross_entropy
from ..models import Clip
from ..parameters import Parameters

Gradient = Callable[..., tuple[Parameters, Float[Tensor, ""], Float[Tensor, ""]]]
OTHERS = ("none", "in turn", "all", "environments")


@dataclass(frozen=True)
class Batch:
    """The images of one step, or of a part of it.

    others: of other data sets, without labels (m may be 0); environments: the other environments of the task, images and
    labels of each, for methods over environments; step: its number, for weights that start late and for draws.
    """

    images: Shaped[Tensor, "n ..."]
    labels: Int[Tensor, "n"]
    others: Shaped[Tensor, "m ..."]
    environments: tuple[tuple[Tensor, Tensor], ...] = ()
    step: int = 0


@dataclass(frozen=True)
class Parameter:
    """A number that only this method has: its default, whose type it keeps, and the least that is accepted."""

    default: int | float
    least: int | float = 0


def everything(name: str) -> bool:
    return True


@dataclass(frozen=True)
class Method:
    """How task vectors are trained, and how the trained vector is applied.

    application: the model that the vector makes, and by which it is trained.
    gradient: (clip, head [d, classes], tau, batch, prepared, **parameters) gives the objective's gradient with respect
        to τ, the task's loss and the penalty without its weight. None if nothing is trained: see vector_of.
    moves: for the name of a parameter of θ₀, whether it moves; τ stays zero elsewhere.
    others: images of which other data sets a step wants: `none`, one data set a step `in turn`, `all`, or, with their
        labels, those that are `environments` of the same task.
    prepare: (clip, data sets of the others) gives what the gradient is handed as `prepared`, once before the training.
    parameters: what the gradient takes by name. Those that RunConfig has as fields have their defaults in the suite's
        recipe, the others here.
    vector_of: the method whose vectors this one applies in its own way.
    version: raised when the method gives another vector from the same configuration.
    """

    name: str
    application: Application
    gradient: Gradient | None
    moves: Callable[[str], bool] = everything
    others: str = "none"
    prepare: Callable | None = None
    parameters: dict[str, Parameter] = field(default_factory=dict)
    vector_of: str = ""
    version: int = 1

    @property
    def penalised(self) -> bool:
        """Whether the vector is kept from moving other data sets' features."""
        return self.others in ("in turn", "all")


def of_the_task(application: Application) -> Gradient:
    """The gradient of the task's cross-entropy alone, for a model that is applied like this."""

    def gradient(
        clip: Clip, head: Float[Tensor, "d classes"], tau: Parameters, batch: Batch, prepared: object = None
    ) -> tuple[Parameters, Float[Tensor, ""], Float[Tensor, ""]]:
        """Gradient of CE(features under τ), the loss, and 0."""

        def objective(features: Float[Tensor, "n d"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
            loss = cross_entropy(features, head, batch.labels)
            return loss, loss.detach()

        found, loss = application.gradient(clip, tau, batch.images, objective)
        return found, loss, torch.zeros_like(loss)

    return gradient
