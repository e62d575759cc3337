"""What does an invariant objective see of a model? Each environment's logits, and what a step tells beside them.

Notation of this folder: environments e with logits z_e [n, classes] and labels y_e; CE_e the mean cross-entropy (nats);

    g_e(w) = ∂/∂w CE(w·z_e, y_e) = mean over images of Σ_k softmax(w·z)_k·z_k − z_y,    g_e = g_e(1),

the derivative with respect to a scale w on the logits, Arjovsky et al. 2019's dummy classifier (eq. IRMv1). It stands
in closed form, so that an objective's gradient is an ordinary one and no graph of a gradient is kept.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ..checks import check_not_negative

ZERO = torch.zeros(())


@dataclass(frozen=True)
class Environment:
    """A step's images of one environment, as the model answers them; any model: an MLP, CLIP with its head.

    logits: what softmax is taken of, CLIP's with their scale; features: what the last layer reads, for objectives that
    look at them.
    """

    logits: Float[Tensor, "n classes"]
    labels: Int[Tensor, "n"]
    features: Float[Tensor, "n d"] | None = None


@dataclass(frozen=True)
class Step:
    """What some objectives need beside the environments.

    number: of the step, from 0, for weights that start late;
    decay: l2·‖θ‖², which is part of the loss and is rescaled with it; 0 where the optimiser decays the weights;
    last_layer: tensors in the graph of the logits, whose gradients PAIR compares: the last layer's weights, or the
        features where these are what a gradient is taken of;
    generator: of the draws of Bayesian IRM.
    """

    number: int = 0
    decay: Float[Tensor, ""] = ZERO
    last_layer: tuple[Tensor, ...] = ()
    generator: torch.Generator | None = None


def one_part(number: int, environments: int) -> int:
    return 0


@dataclass(frozen=True)
class Objective:
    """value(environments, step, **parameters) is what is minimised, a scalar with a graph; `parameters` are defaults.

    moves(number, environments): which part of the model moves at a step, where not all of it does (a game's players).
    """

    name: str
    value: Callable[..., Float[Tensor, ""]]
    parameters: dict[str, float | int | tuple[float, ...]]
    moves: Callable[[int, int], int] = one_part

    def __call__(self, environments: Sequence[Environment], step: Step, **changes: object) -> Float[Tensor, ""]:
        """The value, with changes to the parameters. Raises ValueError for an unknown one, for labels that are no classes
        and for what `value` refuses. Labels are looked at: a training, whose data were checked, takes `value` itself."""
        for number, environment in enumerate(environments):
            check_labels(number, environment)
        return self.value(environments, step, **self.with_changes(changes))

    def with_changes(self, changes: Mapping[str, object]) -> dict[str, object]:
        """The parameters, with changes. Raises ValueError for an unknown one."""
        for name in changes.keys() - self.parameters.keys():
            accepted = ", ".join(self.parameters) or "none"
            raise ValueError(f"unknown parameter {name!r} of {self.name}: accepted are {accepted}")
        return {**self.parameters, **changes}


def check_labels(number: int, environment: Environment) -> None:
    """Raises ValueError for labels that are no classes."""
    labels, classes = environment.labels.tolist(), environment.logits.shape[1]
    low, high = min(labels, default=0), max(labels, default=0)
    if low < 0 or high >= classes:
        raise ValueError(f"environment {number} has labels {low} to {high}: accepted are 0 to {classes - 1}")


def check_environments(environments: Sequence[Environment], least: int = 2) -> None:
    """Raises ValueError for too few environments, an empty one, and numbers of classes that differ."""
    if len(environments) < least:
        raise ValueError(f"an objective over environments needs at least {least} of them, not {len(environments)}")
    classes = environments[0].logits.shape[1]
    for number, environment in enumerate(environments):
        if not len(environment.labels):
            raise ValueError(f"environment {number} is without images: each needs at least one")
        if environment.logits.shape[1] != classes:
            raise ValueError(f"environment {number} has {environment.logits.shape[1]} classes, environment 0 {classes}")


def losses(environments: Sequence[Environment]) -> Float[Tensor, "environments"]:
    """CE_e of each environment."""
    return torch.stack([F.cross_entropy(one.logits, one.labels) for one in environments])


def scale_gradient(environment: Environment, scale: float | Float[Tensor, ""] = 1.0) -> Float[Tensor, ""]:
    """g_e(w), the derivative of CE(w·z_e, y_e) with respect to w, at w = `scale`."""
    logits = environment.logits
    expected = ((scale * logits).softmax(-1) * logits).sum(-1)
    return (expected - logits.gather(-1, environment.labels[:, None])[:, 0]).mean()


def invariance_penalty(environments: Sequence[Environment]) -> Float[Tensor, ""]:
    """mean over environments of g_e² (Arjovsky et al. 2019, IRMv1)."""
    return torch.stack([scale_gradient(one) ** 2 for one in environments]).mean()


def annealed(
    environments: Sequence[Environment],
    step: Step,
    penalty_weight: float,
    anneal_steps: int,
    penalty: Callable[[Sequence[Environment]], Float[Tensor, ""]] = invariance_penalty,
    more: Callable[[Sequence[Environment]], Float[Tensor, ""] | float] = lambda environments: 0.0,
) -> Float[Tensor, ""]:
    """mean_e CE_e + l2·‖θ‖² + `more` + λ·penalty, by the schedule of the authors of IRMv1.

    Before step `anneal_steps` λ is 1, then the penalty's weight; the whole is divided by λ once λ > 1, so that its
    gradient stays of one size. Raises ValueError for fewer than two environments, an empty one, λ < 0.
    """
    check_environments(environments)
    check_not_negative(penalty_weight=penalty_weight)
    weight = penalty_weight if step.number >= anneal_steps else min(1.0, penalty_weight)
    loss = losses(environments).mean() + step.decay + more(environments) + weight * penalty(environments)
    return loss / weight if weight > 1 else loss
