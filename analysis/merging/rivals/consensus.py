"""Which entries of the sum do at least two tasks want?

Consensus task arithmetic (Wang et al. 2024, arXiv 2405.07813, sec. 4) gives each task a mask of the entries where its own
vector outweighs the sum of the others, and keeps an entry of the sum that at least TASKS masks hold:

    m_t = 1 where |τ_t| > λ·|Σ_s τ_s − τ_t|, else 0
    τ   = Σ_t τ_t where Σ_t m_t ≥ TASKS, else 0

The authors choose λ per task among 0.2, 0.3, …, 0.6 on labelled validation images. No labels are used here: λ is 0.6.

Verified against: the authors' `generate_task_masks` with λ = 0.6 (nik-dim/tall_masks, commit d10af8b): equal in float64.
"""

from collections.abc import Sequence

from taujp_core.parameters import Parameters

from .rival import Rival
from .task_arithmetic import task_arithmetic

THRESHOLD = 0.6  # λ of the masks
TASKS = 2  # masks that must hold an entry


def consensus(taus: Sequence[Parameters]) -> Parameters:
    total = task_arithmetic(taus)

    def wanted(name: str) -> int:
        """By how many tasks, for each entry."""
        return sum((tau[name].abs() > THRESHOLD * (total[name] - tau[name]).abs()).int() for tau in taus)

    return {name: value * (wanted(name) >= TASKS) for name, value in total.items()}


RIVAL = Rival("Consensus TA", consensus, "Wang et al. 2024, arXiv 2405.07813")
