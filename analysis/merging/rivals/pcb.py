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

from taujp_core.parameters import Parameters, flat

from .rival import Rival
from .task_arithmetic import task_arithmetic

KEPT = 0.05  # share of the weights that count
CUT = 0.0001  # share of magnitudes that is cut off at either end


Bounds = tuple[Float[Tensor, ""], Float[Tensor, ""]]


def pcb(taus: Sequence[Parameters]) -> Parameters:
    """Tensor by tensor: of whole vectors are only the bounds, of magnitudes first and then of weights."""
    total = task_arithmetic(taus)
    of_magnitudes = [bounds({name: value.abs() for name, value in tau.items()}, CUT, CUT) for tau in taus]

    def weight(place: int, name: str) -> Tensor:
        """β_t of one tensor."""
        tau = taus[place][name]
        intra = torch.exp(len(taus) * in_unit_interval(tau.abs(), of_magnitudes[place]) ** 2)
        return intra * torch.tanh(tau * total[name])

    of_weights = [bounds({name: weight(place, name) for name in total}, 1 - KEPT, 0) for place in range(len(taus))]
    merged = {}
    for name in total:
        scale = [in_unit_interval(weight(place, name), of_weights[place]) for place in range(len(taus))]
        parts = zip(taus, of_magnitudes, scale, strict=True)
        found = [tau[name].sign() * tau[name].abs().clamp(*ends) * one for tau, ends, one in parts]
        merged[name] = torch.stack(found).sum(0) / torch.stack(scale).sum(0).clamp(min=1e-12)
    return merged


def bounds(tau: Parameters, low: float, high: float) -> Bounds:
    """Between which a vector's entries lie, but for these shares of them at either end."""
    row = flat(tau)
    # kthvalue counts from 1
    return row.kthvalue(int(len(row) * low) + 1).values, row.kthvalue(int(len(row) * (1 - high))).values


def in_unit_interval(entries: Tensor, ends: Bounds) -> Tensor:
    """(x − min) / (max − min) of entries that are cut off at these ends; zeros where both ends are one."""
    least, most = ends
    return (entries.clamp(least, most) - least) / (most - least).where(most > least, 1.0)


RIVAL = Rival("PCB", pcb, "Du et al. 2024, arXiv 2410.02396")
