"""Does a classifier that all environments agree on come out of a game? Ahuja et al. 2020.

A player an environment: the model's logits are the mean of the players', and player e minimises its own environment's
risk over its own weights only (Ahuja et al. 2020, the ensemble invariant risk minimisation game, by algorithm 1: best
responses of one step each, in turn). In the game with a *fixed* representation a player reads the image; with a
*variable* one it reads a shared representation, which takes its own turn on the pooled risk.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from .objective import Environment, Objective, Step, check_environments


def ensemble(players: Sequence[Float[Tensor, "n classes"]]) -> Float[Tensor, "n classes"]:
    """The mean of the players' logits. (Their sum, as in parts of the authors' code, is the same classification with
    another confidence.)"""
    return torch.stack(list(players)).mean(0)


def fixed_mover(number: int, environments: int) -> int:
    """Whose turn a step is: the players', one after the other."""
    return number % environments


def variable_mover(number: int, environments: int) -> int:
    """First the representation, which is called `environments`, then the players from the last one on (the authors'
    order)."""
    return environments - number % (environments + 1)


def fixed_value(environments: Sequence[Environment], step: Step) -> Float[Tensor, ""]:
    """CE_e + l2·‖θ‖² of the environment e whose player moves; logits are the ensemble's. The step is to move that
    player's weights alone. Raises ValueError for fewer than two environments or an empty one."""
    check_environments(environments)
    return turn(environments, fixed_mover(step.number, len(environments)), step)


def variable_value(environments: Sequence[Environment], step: Step) -> Float[Tensor, ""]:
    """As `fixed_value`; in the representation's turn the pooled risk, in which every image counts once."""
    check_environments(environments)
    return turn(environments, variable_mover(step.number, len(environments)), step)


def turn(environments: Sequence[Environment], who: int, step: Step) -> Float[Tensor, ""]:
    moving = environments if who == len(environments) else [environments[who]]
    logits, labels = (torch.cat([getattr(one, name) for one in moving]) for name in ("logits", "labels"))
    return F.cross_entropy(logits, labels) + step.decay


def is_over(number: int, training_accuracy: float, least: float, warm_up: int = 100) -> bool:
    """The authors' stopping rule: after `warm_up` steps, when the training accuracy falls below `least`.

    The game does not converge: the accuracies in the training environments and in the flipped one swing against each
    other, and the rule picks the moment. `least` was read off a plot of that swing by the authors (0.6 fixed, 0.55
    variable). Their network has a dropout of 0.75, but is called without `training=True`, so that none is applied.
    """
    return number >= warm_up and training_accuracy < least


FIXED = Objective("irm-game-fixed", fixed_value, {}, fixed_mover)
VARIABLE = Objective("irm-game-variable", variable_value, {}, variable_mover)
