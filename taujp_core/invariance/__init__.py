"""Which invariant objectives are there? One a file of this folder, each a function of the environments' logits.

    objective = find_objective("irmv1")
    loss = objective([Environment(logits, labels), …], Step(number), penalty_weight=1000.0)

They know no model. `fit` trains a small network by one of them; CLIP takes its logits at their scale.
"""

from ..registry import Registry
from . import bayesian_irm, erm, ib_irm, irm_games, irmv1, pair
from .objective import Environment, Objective, Step

__all__ = ["OBJECTIVES", "Environment", "Objective", "Step", "find_objective"]

OBJECTIVES: Registry[Objective] = Registry("objective")
find_objective = OBJECTIVES.find

for _objective in (  # in the order of tables
    *(erm.OBJECTIVE, irmv1.OBJECTIVE, ib_irm.OBJECTIVE, pair.OBJECTIVE),
    *(irm_games.FIXED, irm_games.VARIABLE, bayesian_irm.OBJECTIVE),
):
    OBJECTIVES.register(_objective)
