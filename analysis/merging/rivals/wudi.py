"""What does WUDI do as published, with Adam at a fixed learning rate?

Cheng et al. 2025 (arXiv 2503.08099, alg. 1): per linear map, STEPS steps of Adam from Σ_t τ_t on

    Σ_t ‖(τ − τ_t) τ_tᵀ‖² / ‖τ_t‖².

Linear maps are those of attention and MLPs; queries, keys and values are one. As in the authors' code everything else stays
that of θ₀. The learning rate is absolute: from vectors of another scale than the authors' the 300 steps, at most 0.003 per
weight, do not arrive. `wudi_closed.py` is where they go.

Verified against: the authors' `decompose_task_vectors` (nathanielyvo/WUDI-Merging, commit dc3cd12): equal in float64 to 2e-16.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from taujp_core.parameters import Parameters

from .matrices import is_linear_map
from .rival import Rival
from .wudi_closed import grams

STEPS = 300  # of Adam
LEARNING_RATE = 1e-5  # of Adam


def wudi(taus: Sequence[Parameters]) -> Parameters:
    merged = {}
    for name, first in taus[0].items():
        stacked = torch.stack([tau[name] for tau in taus])
        merged[name] = one_map(stacked) if is_linear_map(name, first) else torch.zeros_like(first)
    return merged


def one_map(stacked: Float[Tensor, "t out in"]) -> Float[Tensor, "out in"]:
    """The loss's gradient is 2·(τ·ΣC_t − Στ_tC_t): two products that need no loop over the tasks."""
    weights = grams(stacked)
    whole, target = weights.sum(0), (stacked @ weights).sum(0)
    tau = stacked.sum(0)
    optimizer = torch.optim.Adam([tau], lr=LEARNING_RATE)
    for _ in range(STEPS):
        tau.grad = 2 * (tau @ whole - target)
        optimizer.step()
    return tau


RIVAL = Rival("WUDI", wudi, "Cheng et al. 2025, arXiv 2503.08099")
