"""Which entries win the competition within a vector and between the vectors?

PCB-Merging (Du et al. 2024, arXiv 2410.02396, sec. 3.2). Over the whole flattened vectors, each cut off at its
0.01 % smallest and largest magnitudes: intra-balancing exp(T·norm(|τ_t|)²), inter-balancing tanh(τ_t·Σ_s τ_s), their
product β_t. Of β_t the largest 5 % are kept and brought to [0, 1]; τ = Σ β_tτ_t / Σ β_t. `norm` is min-max within a
vector. The paper writes soft-max for both; this follows the authors' `pcb-merging.py`, as the paper's numbers do.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from taujp_core.parameters import Parameters

from .matrices import flattened, unflattened
from .rival import Rival

KEPT, CUT = 0.05, 0.0001


def pcb(taus: Sequence[Parameters]) -> Parameters:
    rows = flattened(taus)
    magnitudes = clamped(rows.abs(), CUT, CUT)
    intra = torch.exp(len(rows) * in_unit_interval(magnitudes) ** 2)
    inter = torch.tanh(rows * rows.sum(0))
    scale = in_unit_interval(clamped(intra * inter, 1 - KEPT, 0))
    merged = (rows.sign() * magnitudes * scale).sum(0) / scale.sum(0).clamp(min=1e-12)
    return unflattened(merged, taus[0])


def in_unit_interval(rows: Float[Tensor, "t n"]) -> Float[Tensor, "t n"]:
    """(x − min) / (max − min) within each row; zeros for a row of equal entries."""
    least, most = rows.aminmax(dim=1, keepdim=True)
    return (rows - least) / (most - least).where(most > least, 1.0)


def clamped(rows: Float[Tensor, "t n"], low: float, high: float) -> Float[Tensor, "t n"]:
    """Each row's entries cut off below and above these shares of them."""
    length = rows.shape[1]
    # kthvalue counts from 1
    least = rows.kthvalue(int(length * low) + 1, dim=1, keepdim=True).values
    most = rows.kthvalue(int(length * (1 - high)), dim=1, keepdim=True).values
    return rows.clamp(least, most)


RIVAL = Rival("PCB", pcb, "Du et al. 2024, arXiv 2410.02396")
