"""How much fits: chunk sizes from a memory budget, and a smaller budget when the device runs out."""

import warnings
from collections.abc import Callable
from typing import TypeVar

import psutil
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .models import Parameters

Result = TypeVar("Result")

# On a CPU more images at once are not faster (measured: flat from 100 MiB on), and memory has other users.
CPU_ACTIVATIONS = 2**28


def device_of(theta0: Parameters) -> torch.device:
    return next(iter(theta0.values())).device


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copies to a GPU go through pinned memory, so that the GPU's work is not waited for."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def memory_budget(device: torch.device) -> int:
    """Bytes that a computation may take: most of what is free on a GPU, half of what is free on a CPU."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(0.8 * (free + unused))
    return psutil.virtual_memory().available // 2


def within_memory(compute: Callable[[int], Result], device: torch.device) -> Result:
    """compute(budget in bytes); again with half the budget, and a warning, when the device runs out of memory."""
    budget = memory_budget(device)
    while True:
        try:
            return compute(budget)
        except RuntimeError as error:
            if not ran_out(error) or budget < 2**20:
                raise
        budget //= 2
        warnings.warn(f"{device} ran out of memory: trying again within {budget / 2**20:.0f} MiB", stacklevel=3)


def ran_out(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


class NewBytes(TorchDispatchMode):
    """Counts the memory that operations return, views and in-place results aside: the largest, and all together."""

    largest = total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        known = {storage_of(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and storage_of(leaf) not in known:
                self.largest = max(self.largest, leaf.nbytes)
                self.total += leaf.nbytes
        return out


def storage_of(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


@torch.no_grad()
def activation_bytes(encoder: nn.Module, theta0: Parameters, images: Tensor) -> tuple[int, int]:
    """Bytes an image: the largest tensor of a forward pass, and all of them (at most what a graph keeps).

    Two images against one, so that what does not grow with the batch, such as cast weights, is not counted.
    """
    counts = []
    for n in (1, 2):
        with NewBytes() as count:
            functional_call(encoder, theta0, (to_device(torch.cat([images[:1]] * n), device_of(theta0)),))
        counts.append(count)
    return max(1, counts[1].largest - counts[0].largest), max(1, counts[1].total - counts[0].total)
