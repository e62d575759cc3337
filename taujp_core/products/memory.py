"""How much fits? Chunk sizes from a memory budget, and a smaller budget when the device runs out."""

import warnings
from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

import psutil
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..parameters import Parameters, bytes_of, device_of, leaves
from .forward_mode import forward_mode

Result = TypeVar("Result")

KNOWN: WeakKeyDictionary[nn.Module, dict[tuple, object]] = WeakKeyDictionary()  # what was measured of an encoder

# Enough at once on a CPU. Larger tensors come from the system anew each time and cost page faults: on the small CLIP
# 128 MiB were 6 % faster than 256. But weights are read for every chunk, so that large models may take more, below.
CPU_ACTIVATIONS = 2**27


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
        budget = (min(budget, CPU_ACTIVATIONS) if device.type == "cpu" else budget) // 2
        warnings.warn(f"{device} ran out of memory: trying again within {budget / 2**20:.0f} MiB", stacklevel=3)


def total_memory(device: torch.device) -> int:
    """Bytes that the device has, free or not."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return psutil.virtual_memory().total


def ran_out(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def chunk_size(budget: int, image_bytes: int, theta0: Parameters) -> int:
    """Images at once, at least one; on a CPU no more activations than CPU_ACTIVATIONS or the weights, if larger."""
    if device_of(theta0).type == "cpu":
        budget = min(budget, max(CPU_ACTIVATIONS, bytes_of(theta0)))
    return max(1, budget // image_bytes)


class NewBytes(TorchDispatchMode):
    """Lists the bytes of every tensor that operations return, but for views and in-place results."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        known = {storage_of(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        out = func(*args, **(kwargs or {}))
        new = (leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor) and storage_of(leaf) not in known)
        self.sizes.extend(tensor.nbytes for tensor in new)
        return out


def storage_of(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def measured_once(measure: Callable[..., Result]) -> Callable[..., Result]:
    """What an image takes depends on the encoder, the image's size and the number formats alone.

    Before a few images are computed with, measuring takes as long as the computation.
    """

    @wraps(measure)
    def known(encoder: nn.Module, theta0: Parameters, images: Tensor) -> Result:
        value = next(iter(theta0.values()))
        device = value.device.type
        autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        key = (measure.__name__, images.shape[1:], images.dtype, value.dtype, device, autocast)
        of_encoder = KNOWN.setdefault(encoder, {})
        if key not in of_encoder:
            of_encoder[key] = measure(encoder, theta0, images)
        return of_encoder[key]

    return known


@measured_once
@torch.no_grad()
def activation_bytes(encoder: nn.Module, theta0: Parameters, images: Tensor) -> tuple[int, int]:
    """Bytes an image of a forward pass: its largest tensor, and all of them together (a graph keeps at most these).

    What three images take beyond two, operation by operation: casts of weights, say, are the same for both.
    (One image takes other operations, for its batch can be dropped without a copy.)
    """
    theta0 = {name: value.detach() for name, value in theta0.items()}
    two, three = [], []
    for sizes, n in ((two, 2), (three, 3)):
        with forward_mode(), NewBytes() as count:
            functional_call(encoder, theta0, (to_device(torch.cat([images[:1]] * n), device_of(theta0)),))
        sizes.extend(count.sizes)
    more = [b - a for a, b in zip(two, three, strict=False)]
    return max(1, *more), max(1, sum(more))


@measured_once
def graph_bytes(encoder: nn.Module, theta0: Parameters, images: Tensor) -> int:
    """Bytes an image that a training step keeps from its forward to its backward pass: it takes at least so much.

    What three images keep beyond two.
    """
    moving = leaves(theta0)
    found = []
    for n in (2, 3):
        kept: dict[int, int] = {}

        def keep(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            kept[storage_of(tensor)] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            # The graph lives as long as its result, and no two tensors of it share an address.
            features = functional_call(encoder, moving, (to_device(torch.cat([images[:1]] * n), device_of(theta0)),))
        del features
        found.append(sum(kept.values()))
    return max(1, found[1] - found[0])
