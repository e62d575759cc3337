"""What does plain addition merge?

Task arithmetic (Ilharco et al. 2023, arXiv 2212.04089, sec. 4) adds the vectors:

    τ = Σ_t τ_t.

The paper tunes one coefficient α for the sum on labelled validation images. At α = 1 this is the plain sum.

Verified against: the paper's equation.
"""

from collections.abc import Sequence

import torch

from taujp_core.parameters import Parameters

from .rival import Rival


def task_arithmetic(taus: Sequence[Parameters]) -> Parameters:
    return {name: torch.stack([tau[name] for tau in taus]).sum(0) for name in taus[0]}


RIVAL = Rival("task arithmetic", task_arithmetic, "Ilharco et al. 2023, arXiv 2212.04089")
