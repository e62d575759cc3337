"""What is left of the sum when most entries are dropped at random?

DARE with task arithmetic (Yu et al. 2024, arXiv 2311.03099, sec. 3) drops entries of every vector at random, scales up
what stays so that the expectation is the vector, and adds:

    τ = Σ_t m_t ∘ τ_t / (1 − p),   m_t = 0 with probability p = DROPPED, else 1.

The random numbers are the same in every call, and are drawn on the CPU.

Verified against: the definition, by its statistics: the share of dropped entries, the scale, and independent masks. The
authors' `mask_input_with_mask_rate` (yule-BUAA/MergeLM, commit 6d49ad9) was read; its random numbers are others.
"""

from collections.abc import Sequence

import torch

from taujp_core.parameters import Parameters, zeros_like

from .rival import Rival

DROPPED = 0.9  # share of the entries that are dropped, p


def dare(taus: Sequence[Parameters]) -> Parameters:
    generator = torch.Generator().manual_seed(0)
    merged = zeros_like(taus[0])
    for tau in taus:
        for name, value in tau.items():
            kept = torch.rand(value.shape, generator=generator) >= DROPPED
            merged[name] += value * kept.to(value.device) / (1 - DROPPED)
    return merged


RIVAL = Rival("DARE", dare, "Yu et al. 2024, arXiv 2311.03099")
