"""How does one calculate with parameters? Arithmetic of named tensors: θ₀, τ, gradients and directions."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Parameters = dict[str, Tensor]


def zeros_like(theta: Parameters) -> Parameters:
    return {name: torch.zeros_like(value) for name, value in theta.items()}


def added(theta: Parameters, tau: Parameters) -> Parameters:
    """θ + τ, in the order of θ."""
    return {name: value + tau[name] for name, value in theta.items()}


def moved(theta: Parameters, taus: Sequence[Parameters], coefficients: Sequence[float]) -> Parameters:
    """θ + Σₜ αₜ·τₜ, in the order of θ. Raises ValueError unless there is a coefficient for each vector."""
    if len(taus) != len(coefficients):
        raise ValueError(f"there must be a coefficient for each vector, not {len(coefficients)} for {len(taus)}")
    result = {name: value.clone() for name, value in theta.items()}
    for tau, coefficient in zip(taus, coefficients, strict=True):
        if coefficient:  # a pass over all parameters that a zero would waste
            for name, value in result.items():
                value.add_(tau[name], alpha=float(coefficient))
    return result


def leaves(theta: Parameters) -> Parameters:
    """The same numbers as leaves of a graph, by which can be differentiated."""
    return {name: value.detach().requires_grad_() for name, value in theta.items()}


def placed_like(tau: Parameters, theta: Parameters) -> Parameters:
    """τ on θ's device and in θ's order."""
    return {name: tau[name].to(value.device) for name, value in theta.items()}


def flat(tau: Parameters) -> Float[Tensor, "p"]:
    """All numbers as one vector, in the order of the names."""
    return torch.cat([tau[name].flatten() for name in sorted(tau)])


def named(vector: Float[Tensor, "p"], like: Parameters) -> Parameters:
    """The inverse of `flat`, in the order of `like`, on its device."""
    names = sorted(like)
    parts = vector.to(device_of(like)).split([like[name].numel() for name in names])
    shaped = {name: part.view_as(like[name]) for name, part in zip(names, parts, strict=True)}
    return {name: shaped[name] for name in like}


def device_of(theta: Parameters) -> torch.device:
    return next(iter(theta.values())).device


def bytes_of(theta: Parameters) -> int:
    return sum(value.nbytes for value in theta.values())
