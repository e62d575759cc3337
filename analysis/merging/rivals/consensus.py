"""Which entries of the sum do at least two tasks want?

Consensus task arithmetic (Wang et al. 2024, arXiv 2405.07813, sec. 4): task t's TALL mask is where
|τ_t| > λ·|Σ_s τ_s − τ_t|, the sum of the *other* vectors on the right; entries of the sum that fewer than two masks
hold (selfish and catastrophic weights) become zero. The authors choose λ a task among 0.2 … 0.6 by labelled
validation images; without labels it is the largest of these.
"""

from collections.abc import Sequence

from taujp_core.parameters import Parameters

from .rival import Rival
from .task_arithmetic import task_arithmetic

THRESHOLD, TASKS = 0.6, 2


def consensus(taus: Sequence[Parameters]) -> Parameters:
    total = task_arithmetic(taus)

    def wanted(name: str) -> int:
        """By how many tasks, for each entry."""
        return sum((tau[name].abs() > THRESHOLD * (total[name] - tau[name]).abs()).int() for tau in taus)

    return {name: value * (wanted(name) >= TASKS) for name, value in total.items()}


RIVAL = Rival("Consensus TA", consensus, "Wang et al. 2024, arXiv 2405.07813")
