"""How does τ take a step? AdamW, along the mean gradient of the step's parts."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from ..methods import Batch, Method, find_method
from ..models import Clip
from ..optimisation import cosine_lr
from ..parameters import Parameters, device_of
from ..products.precision import precision
from .config import RunConfig

Part = TypeVar("Part")


def moving(tau: Parameters, method: Method) -> Parameters:
    """Of τ, and of a second model beside it, what the method moves."""
    return {name: value for name, value in tau.items() if method.moves(name.removeprefix(method.beside))}


def check_moves(method: Method, clip: Clip) -> None:
    """Raises ValueError for a model without a tensor that the method moves."""
    if not moving(clip.theta0, method):
        raise ValueError(
            f"{method.name} moves no tensor of {clip.name}, which has {', '.join(sorted(clip.theta0)[:3])} and others: "
            "a model that has what the method moves is accepted, such as open_clip's vision transformers"
        )


def take_step(
    clip: Clip,
    tau: Parameters,
    optimizer: torch.optim.Optimizer,
    parts: Sequence[tuple[Tensor, Batch]],
    config: RunConfig,
    number: int,
    prepared: object = None,
) -> dict[str, Tensor]:
    """The step of this number; its parts are a head [d, classes] and images. Gives the task's loss and the penalty."""
    method, parameters = find_method(config.method), config.method_parameters()

    def gradient(part: tuple[Tensor, Batch]) -> tuple[Parameters, Tensor, Tensor]:
        head, batch = part
        return method.gradient(clip, head, tau, batch, prepared, **parameters)

    with precision(config.precision, device_of(tau)):
        slope, loss, penalty = mean_gradient(gradient, parts)
    before = {name: value.clone() for name, value in moving(tau, method).items()} if method.mask else {}
    descend(optimizer, moving(tau, method), slope, config, number)
    if method.mask:
        mask = method.mask(prepared)
        for name, value in before.items():
            tau[name].copy_(torch.where(mask[name], tau[name], value))
    return {"loss": loss, "penalty": penalty}


def mean_gradient(
    gradient: Callable[[Part], tuple[Parameters, Tensor, Tensor]], parts: Sequence[Part]
) -> tuple[Parameters, Tensor, Tensor]:
    """Gradient with respect to τ, task loss and penalty, averaged over a step's equal parts: those of the whole."""
    share = 1 / len(parts)
    total, loss, penalty = gradient(parts[0])
    total = {name: value * share for name, value in total.items()}
    loss, penalty = loss * share, penalty * share
    for part in parts[1:]:
        more, more_loss, more_penalty = gradient(part)
        for name, value in more.items():
            total[name].add_(value, alpha=share)
        loss, penalty = loss + more_loss * share, penalty + more_penalty * share
    return total, loss, penalty


def descend(
    optimizer: torch.optim.Optimizer, moving: Parameters, gradient: Parameters, config: RunConfig, step: int
) -> None:
    """One step of the optimiser, at its learning rate, along the gradient cut to the configuration's norm."""
    for name, value in moving.items():
        value.grad = gradient[name]
    torch.nn.utils.clip_grad_norm_(moving.values(), config.clip_norm)
    for group in optimizer.param_groups:
        group["lr"] = cosine_lr(step, config.steps, config.peak_lr, config.warmup_steps)
    optimizer.step()
