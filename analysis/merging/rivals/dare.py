"""What is left of the sum when most entries are dropped at random?

DARE with task arithmetic (Yu et al. 2024, arXiv 2311.03099, sec. 3): every entry of every vector is dropped with
probability p = 0.9, and what stays is divided by 1 − p, so that the expectation is the vector; τ is the sum. The
random numbers are always the same, and drawn on the CPU.
"""

from collections.abc import Sequence

import torch

from taujp_core.parameters import Parameters

from .rival import Rival
from .task_arithmetic import task_arithmetic

DROPPED = 0.9


def dare(taus: Sequence[Parameters]) -> Parameters:
    generator = torch.Generator().manual_seed(0)

    def thinned(tau: Parameters) -> Parameters:
        kept = {name: torch.rand(value.shape, generator=generator) >= DROPPED for name, value in tau.items()}
        return {name: value * kept[name].to(value.device) / (1 - DROPPED) for name, value in tau.items()}

    return task_arithmetic([thinned(tau) for tau in taus])


RIVAL = Rival("DARE", dare, "Yu et al. 2024, arXiv 2311.03099")
