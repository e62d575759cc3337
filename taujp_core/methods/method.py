"""What is a training method? What its file in this folder says, as plain data and one function."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from ..applications import Application
from ..datasets import Split
from ..evaluation import cross_entropy
from ..models import Clip
from ..parameters import Parameters

Gradient = Callable[..., tuple[Parameters, Float[Tensor, ""], Float[Tensor, ""]]]
OTHERS = ("none", "in turn", "all", "environments", "before")


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
    """What only this method has: a number with its default, whose type it keeps, and the least and the most that are
    accepted; or one of the `accepted` words."""

    default: int | float | str
    least: int | float = 0
    most: int | float = math.inf
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sight:
    """What a method may look at before the training, and no more: all of it is in the run's identity.

    head: [d, classes] of the task; train, validation: of the task; others: data sets of the others, whose images a method
    may use without their labels; seed: of whatever it draws; parameters: what the gradient is handed by name; steps: of the
    training.
    """

    clip: Clip
    head: Tensor
    train: Split
    validation: Split
    others: Sequence[Split]
    seed: int
    parameters: Mapping[str, int | float | str]
    steps: int


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
        labels, those that are `environments` of the same task; `before`: `prepare` alone sees them, no step does.
    prepare: (`Sight`) gives what the gradient is handed as `prepared`, once before the training. It must depend on nothing
        else, random numbers included: a killed training calls it again, and goes on with the same object, so that nothing
        of it is stored, and the run's identity, which names all that a Sight shows, names it too.
    mask: (prepared) gives by name the entries that may move, as booleans of θ₀'s shapes. The others keep their value
        whatever the optimiser does, weight decay included.
    beside: what the names of a second model's parameters begin with. It starts where τ does and is trained with it, by the same
        optimiser, and is no part of the vector; the gradient is handed both, and gives both.
    parameters: what the gradient takes by name. Those that RunConfig has as fields have their defaults in the suite's
        recipe, the others here.
    vector_of: the method whose vectors this one applies in its own way.
    version: raised when the method gives another vector from the same configuration.
    words: what sentences call it; by default its name, or that of the method whose `-linear` it is.
    """

    name: str
    application: Application
    gradient: Gradient | None
    moves: Callable[[str], bool] = everything
    others: str = "none"
    prepare: Callable[[Sight], object] | None = None
    mask: Callable[[Any], Parameters] | None = None
    beside: str = ""
    parameters: dict[str, Parameter] = field(default_factory=dict)
    vector_of: str = ""
    version: int = 1
    words: str = ""

    @property
    def penalised(self) -> bool:
        """Whether how far the vector moves other data sets' features is in its objective: lowered, but by `taujp-raise`."""
        return self.others in ("in turn", "all")

    def trained(self, tau: Parameters) -> Parameters:
        """All that a training moves, at its start: τ itself and, if there is one, the second model's copy."""
        return {**tau, **{self.beside + name: value.clone() for name, value in tau.items() if self.beside}}


def of_the_task(application: Application) -> Gradient:
    """The gradient of the task's cross-entropy alone, for a model that is applied like this."""

    def gradient(
        clip: Clip,
        head: Float[Tensor, "d classes"],
        tau: Parameters,
        batch: Batch,
        prepared: object = None,
        label_smoothing: float = 0.0,
    ) -> tuple[Parameters, Float[Tensor, ""], Float[Tensor, ""]]:
        """Gradient of CE(features under τ), the loss, and 0."""

        def objective(features: Float[Tensor, "n d"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
            loss = cross_entropy(features, head, batch.labels, label_smoothing)
            return loss, loss.detach()

        found, loss = application.gradient(clip, tau, batch.images, objective)
        return found, loss, torch.zeros_like(loss)

    return gradient
