"""What every training loop here shares: the learning-rate schedule, batch order, and a state that can be saved."""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def cosine_lr(step: int, steps: int, peak_lr: float, warmup_steps: int) -> float:
    """Learning rate of step 0 … steps-1: linear warm-up to `peak_lr`, then half a cosine down to 0."""
    if step < warmup_steps:
        return peak_lr * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return peak_lr * 0.5 * (1.0 + math.cos(math.pi * progress))


def batch_indices(size: int, batch_size: int, step: int, *seed: int) -> list[int]:
    """Indices of batch number `step` in an endless sequence of shuffled epochs over `size` items.

    The sequence runs over the ends of epochs, so every batch is full, and it depends on nothing but the
    arguments: a training that resumes at a step sees what it would have seen.
    """
    start, indices = step * batch_size, []
    while len(indices) < batch_size:
        epoch, offset = divmod(start + len(indices), size)
        indices += epoch_order(size, epoch, *seed)[offset : offset + batch_size - len(indices)].tolist()
    return indices


@lru_cache(maxsize=16)
def epoch_order(size: int, *seed: int) -> np.ndarray:
    return np.random.RandomState(np.array(seed, dtype=np.uint32)).permutation(size)


def optimizer_tensors(optimizer: torch.optim.Optimizer, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """The optimiser's state as named tensors, "slot/parameter name"."""
    return {
        f"{slot}/{name}": value
        for name, parameter in parameters.items()
        for slot, value in optimizer.state[parameter].items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, parameters: dict[str, Tensor], tensors: dict[str, Tensor]
) -> None:
    """Inverse of `optimizer_tensors`; other names in `tensors` are left alone."""
    for key, value in tensors.items():
        slot, _, name = key.partition("/")
        if name in parameters:
            # Adam counts its steps on the CPU whatever the device.
            value = value.clone() if slot == "step" else value.to(parameters[name].device)
            optimizer.state[parameters[name]][slot] = value
