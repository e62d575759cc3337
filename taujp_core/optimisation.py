"""What is the learning rate of a step, and which items does its batch hold? The same in every training loop here."""

import math
from functools import lru_cache

import numpy as np

# Of what a step of any training does: which images it sees, its learning rate, clipping and optimiser. It is raised when
# they give another vector from the same configuration.
VERSION = 1


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
