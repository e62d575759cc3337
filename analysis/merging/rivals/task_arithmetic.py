"""What does plain addition merge?

Task arithmetic (Ilharco et al. 2023, arXiv 2212.04089, sec. 4): τ = Σ τ_t. As published, its coefficient is tuned on
validation data; α = 1 is the plain sum.
"""

from collections.abc import Sequence

import torch

from taujp_core.parameters import Parameters

from .rival import Rival


def task_arithmetic(taus: Sequence[Parameters]) -> Parameters:
    return {name: torch.stack([tau[name] for tau in taus]).sum(0) for name in taus[0]}


RIVAL = Rival("task arithmetic", task_arithmetic, "Ilharco et al. 2023, arXiv 2212.04089")
