"""Which entries win the competition within a vector and between the vectors?

PCB-Merging (Du et al. 2024, arXiv 2410.02396, sec. 3.2) takes each vector as one long row of numbers. Magnitudes beyond
the CUT smallest and largest are cut off. Each entry gets a weight from the vector's own magnitudes and from its agreement
with the sum, and the weights' largest KEPT count:

    β_t = exp(T·norm(|τ_t|)²) · tanh(τ_t·Σ_s τ_s)
    β̂_t = norm(β_t, cut off below its largest KEPT)
    τ   = Σ_t β̂_t τ_t / Σ_t β̂_t

`norm` brings a vector's entries to [0, 1] by their minimum and maximum. The paper writes a soft-max in its place; this
follows the authors' `pcb-merging.py`, from which the paper's numbers come.

Verified against: the authors' `PCB_merge` with ratio 0.05 (duguodong7/pcb-merging, commit 5897888): equal in float64. Their
file `vision_source_code/pcb.py` differs from it: it cuts off at 1 % and sums normalised vectors.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from taujp_core.parameters import Parameters

from .matrices import flattened, unflattened
from .rival import Rival

KEPT = 0.05  # share of the weights that count
CUT = 0.0001  # share of magnitudes that is cut off at either end


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
