"""What is a task vector, τ = θ − θ₀, and does it belong to this θ₀?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from .applications import Application
from .files import Damaged, read_tensors, write_tensors
from .identity import fingerprint
from .mapped import mapped
from .methods import find_method
from .models import Clip
from .parameters import Parameters, moved, placed_like, zeros_like


@dataclass(frozen=True, repr=False)
class TaskVector:
    """τ as named tensors, with the fingerprint of the θ₀ that it belongs to.

    Vectors of one θ₀ add, subtract and scale: `0.4 * cars + dtd - pets`.
    """

    tau: Parameters
    theta0_fingerprint: str
    task: str
    method: str

    @property
    def application(self) -> Application:
        """How the vector is applied: as its method says."""
        return find_method(self.method).application

    def __repr__(self) -> str:
        return f"TaskVector({self.task!r} by {self.method}, ‖τ‖ = {self.norm():.3g}, θ₀ {self.theta0_fingerprint})"

    def __add__(self, other: "TaskVector") -> "TaskVector":
        return total([self, other]) if isinstance(other, TaskVector) else NotImplemented

    def __radd__(self, other: object) -> "TaskVector":
        return self if type(other) is int and other == 0 else NotImplemented  # where `sum` begins

    def __sub__(self, other: "TaskVector") -> "TaskVector":
        return self + -other if isinstance(other, TaskVector) else NotImplemented

    def __mul__(self, coefficient: float) -> "TaskVector":
        return total([self], [coefficient]) if isinstance(coefficient, int | float) else NotImplemented

    __rmul__ = __mul__

    def __neg__(self) -> "TaskVector":
        return replace(-1 * self, task=f"-{self.task}")

    def norm(self) -> float:
        """‖τ‖₂ over all parameters."""
        return torch.stack([tensor.double().norm() for tensor in self.tau.values()]).norm().item()

    def is_zero(self) -> bool:
        return not any(value.any() for value in self.tau.values())

    def like(self, theta0: Parameters) -> "TaskVector":
        """The same vector on θ₀'s device and with its parameters in θ₀'s order, as files do not keep them."""
        return replace(self, tau=placed_like(self.tau, theta0))

    def digest(self) -> str:
        """Of τ's names and numbers."""
        return fingerprint(self.tau)

    def metadata(self) -> dict[str, str]:
        """What a file says of the vector beside its tensors."""
        named = {"theta0": self.theta0_fingerprint, "task": self.task, "method": self.method}
        return {**named, "digest": self.digest()}

    def save(self, path: Path, **more: object) -> None:
        """more: plain data that is stored beside the vector, by names that `load` does not look at."""
        write_tensors(path, self.tau, {**self.metadata(), **more})

    @classmethod
    def load(cls, path: Path, clip: Clip) -> "TaskVector":
        """The vector of a file, on the device of the Clip's θ₀ and in its order.

        Raises Damaged for a file that is damaged or not a task vector, ValueError for one of another θ₀, and what
        `read_tensors` raises.
        """
        tau, metadata = read_tensors(path)
        if not all(isinstance(metadata.get(name), str) for name in ("theta0", "task", "method", "digest")):
            raise Damaged(f"{path} is not a task vector of this project: its metadata lack theta0, task or method")
        if fingerprint(tau) != metadata["digest"]:
            raise Damaged(f"{path} is altered: its tensors do not have the digest that was stored with them")
        vector = cls(tau, *(str(metadata[name]) for name in ("theta0", "task", "method")))
        check_theta0([vector], clip.theta0, clip.fingerprint)
        placed = vector.like(clip.theta0)
        return replace(placed, tau=mapped(placed.tau))


def as_vectors(given: object) -> list[TaskVector]:
    """The vectors of one or several that are given: task vectors, or runs and merges, which have one.

    Raises TypeError for something else, ValueError for none at all.
    """
    several = given if isinstance(given, list | tuple) else [given]
    found: list[TaskVector] = []
    for one in several:
        vector = one if isinstance(one, TaskVector) else getattr(one, "vector", None)
        if not isinstance(vector, TaskVector):
            raise TypeError(f"a task vector, a run or a merge is needed, not {type(one).__name__}")
        found.append(vector)
    if not found:
        raise ValueError("at least one task vector is needed, and none is given")
    return found


def check_theta0(vectors: Sequence[TaskVector], theta0: Parameters, theta0_fingerprint: str) -> None:
    """Raises ValueError unless every vector was made from this θ₀."""
    for vector in vectors:
        if vector.theta0_fingerprint != theta0_fingerprint:
            raise ValueError(
                f"the {vector.method} vector of {vector.task} belongs to θ₀ {vector.theta0_fingerprint}, "
                f"not to this model's {theta0_fingerprint}"
            )
        if vector.tau.keys() != theta0.keys():
            raise ValueError(f"the {vector.method} vector of {vector.task} names other parameters than the model")


def check_moves(vector: TaskVector) -> None:
    """Raises ValueError if τ = 0. Such a model is θ₀ itself: it has nothing to merge or to compare."""
    if vector.is_zero():
        raise ValueError(
            f"the {vector.method} vector of {vector.task} is zero, so that its model is θ₀ again: perhaps it is the "
            "pre-trained model, or an adapter was never merged into it, or its training moved nothing"
        )


def applied_alike(vectors: Sequence[TaskVector]) -> Application:
    """How these vectors are applied. Raises ValueError without vectors and unless it is one way."""
    if not vectors:
        raise ValueError("at least one task vector is needed, and none is given")
    first = vectors[0]
    for vector in vectors:
        if vector.application is not first.application:
            raise ValueError(
                f"vectors that are used together must have one application: the {first.method} vector of {first.task} is "
                f"applied as {first.application.name}, the {vector.method} vector of {vector.task} as "
                f"{vector.application.name}"
            )
    return first.application


def total(vectors: Sequence[TaskVector], coefficients: Sequence[float] | None = None) -> TaskVector:
    """Σₜ αₜτₜ (α = 1 if none are given), named after all its tasks.

    Raises ValueError without vectors, for vectors of different θ₀, and for vectors that are applied differently: the sum
    would be applied as the first one is.
    """
    applied_alike(vectors)
    first = vectors[0]
    for other in vectors[1:]:
        check_theta0([other], first.tau, first.theta0_fingerprint)
    zeros = zeros_like(first.tau)
    tau = edited(zeros, vectors, [1.0] * len(vectors) if coefficients is None else coefficients)
    return replace(first, tau=tau, task="+".join(vector.task for vector in vectors))


def edited(theta0: Parameters, vectors: Sequence[TaskVector], coefficients: Sequence[float]) -> Parameters:
    """θ₀ + Σₜ αₜ·τₜ. Raises ValueError unless there is a coefficient for each vector."""
    return moved(theta0, [vector.tau for vector in vectors], coefficients)
