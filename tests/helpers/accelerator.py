"""A stand-in for a GPU where there is none: tensors say that they lie on it, and refuse those that do not.

Everything is computed on the CPU. Inside `Accelerator` storages are marked: those that were moved to DEVICE, by `to` or
`device=`, and what is computed from them. `tensor.device` tells. What CUDA refuses is refused: operations on marked and
other tensors (but for numbers [] from the CPU, and indices), NumPy arrays of marked tensors, and random numbers on one
device by the other's generator. So code that makes a tensor on the CPU and lets it meet θ₀ fails here as it does there.
`looks` counts what makes CUDA's queue run empty: numbers, lists and copies that leave DEVICE, and masks whose size is asked.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest.mock import patch

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.utils import clip_grad
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from taujp_core.models import Clip

DEVICE = torch.device("cuda", 0)
aten = torch.ops.aten
INDEXED = (aten.index, aten._unsafe_index, aten.index_put, aten.index_put_, aten._index_put_impl_)
JOINED = (aten.cat, aten.stack)  # which take no number from the CPU
LOOKED = (aten._local_scalar_dense, aten.nonzero, aten.masked_select)


class Elsewhere(RuntimeError):
    """Tensors of two devices met."""


@contextmanager
def accelerator() -> Iterator["Accelerator"]:
    marks = Marks()
    fake = {"mem_get_info": lambda device: (2**34, 2**34), "memory_reserved": lambda device: 0}
    fake["memory_allocated"] = fake["memory_reserved"]
    with ExitStack() as stack:
        for name, function in fake.items():
            stack.enter_context(patch.object(torch.cuda, name, function))
        # In C++ it would see where tensors really lie.
        stack.enter_context(patch.object(clip_grad, "_group_tensors_by_device_and_dtype", grouped))
        stack.enter_context(Places(marks))
        stack.enter_context(Refusals(marks))
        yield Accelerator(marks)


def grouped(lists: list[list[Tensor]]) -> dict:
    groups = {}
    for tensor in lists[0]:
        groups.setdefault((tensor.device, tensor.dtype), ([[]], []))[0][0].append(tensor)
    return groups


class Accelerator:
    def __init__(self, marks: "Marks"):
        self.marks = marks

    @property
    def looks(self) -> int:
        return self.marks.looks

    def put(self, *tensors: Tensor) -> None:
        for tensor in tensors:
            self.marks.put(tensor, True)

    def holds(self, tensor: Tensor) -> bool:
        return self.marks.on(tensor)

    def clip(self, clip: Clip) -> Clip:
        """The same with all its tensors there."""
        with torch.utils._python_dispatch._disable_current_modes():
            theta0 = {name: value.clone() for name, value in clip.theta0.items()}
        for module in (clip.model, clip.encoder):
            for tensor in (*module.parameters(), *module.buffers()):
                self.marks.put(tensor, True)
        for value in theta0.values():
            self.marks.put(value, True)
        return replace(clip, theta0=theta0)


class Marks:
    """Which storages lie on DEVICE. A weak reference keeps a freed storage's address from being another's."""

    def __init__(self):
        self.references: dict[int, StorageWeakRef] = {}
        self.looks = 0
        self.working_there = False  # in a function of torch that was given tensors of DEVICE, and makes some of its own

    def on(self, tensor: Tensor) -> bool:
        return address(tensor) in self.references

    def put(self, tensor: Tensor, there: bool) -> None:
        if there:
            self.references.setdefault(address(tensor), StorageWeakRef(plain(tensor).untyped_storage()))
        else:
            self.references.pop(address(tensor), None)


def plain(tensor: Tensor) -> Tensor:
    """Without what `vmap` and `jvp` wrap around it."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def address(tensor: Tensor) -> int:
    return plain(tensor).untyped_storage()._cdata


def tensors_in(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


class Refusals(TorchDispatchMode):
    """Below autograd: what every operation takes and gives."""

    def __init__(self, marks: Marks):
        super().__init__()
        self.marks = marks

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        # Of shapes alone, and zeros that forward mode never makes: they have no place.
        given = [tensor for tensor in tensors_in((args, kwargs)) if not (tensor.is_meta or tensor._is_zerotensor())]
        there = [tensor for tensor in given if self.marks.on(tensor)]
        if there:
            self.check(func.overloadpacket, args, given)
            if kwargs.get("generator") is not None:
                raise Elsewhere(f"{func}: a generator of the CPU for a tensor of {DEVICE}")
        result = func(*args, **kwargs)
        if there or (not given and self.marks.working_there):
            known = {address(tensor) for tensor in given}
            for tensor in tensors_in(result):
                if address(tensor) not in known:
                    self.marks.put(tensor, True)
        return result

    def check(self, operation, args, given: list[Tensor]) -> None:
        self.marks.looks += operation in LOOKED
        if operation is aten.copy_:
            self.marks.looks += self.marks.on(args[1]) and not self.marks.on(args[0])
            return
        if operation in INDEXED:
            indices = tensors_in(args[1])
            self.marks.looks += any(index.dtype == torch.bool for index in indices)
            if not self.marks.on(args[0]) and any(map(self.marks.on, indices)):
                raise Elsewhere(f"{operation}: a tensor of the CPU is indexed by one of {DEVICE}")
            given = [args[0], *tensors_in(args[2:])]
        there = [tensor for tensor in given if self.marks.on(tensor)]
        here = [tensor for tensor in given if not self.marks.on(tensor) and (tensor.ndim or operation in JOINED)]
        if there and here:
            shapes = [[*tensor.shape] for tensor in (there[0], here[0])]
            raise Elsewhere(f"{operation}: a tensor {shapes[0]} of {DEVICE} meets one {shapes[1]} of the CPU")


class Moved(torch.autograd.Function):
    """A copy on another device, whose gradient comes back."""

    @staticmethod
    def forward(ctx, tensor: Tensor, marks: Marks, there: bool) -> Tensor:
        ctx.marks, ctx.there = marks, marks.on(tensor)
        copy = tensor.clone()
        marks.put(copy, there)
        return copy

    @staticmethod
    def backward(ctx, gradient: Tensor):
        copy = gradient.clone()
        ctx.marks.put(copy, ctx.there)
        return copy, None, None


class Places(TorchFunctionMode):
    """As code calls torch: `device`, and everything that moves or makes tensors."""

    def __init__(self, marks: Marks):
        super().__init__()
        self.marks = marks

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func == Tensor.device.__get__:
            return DEVICE if self.marks.on(args[0]) else func(*args)
        if func == Tensor.is_cuda.__get__:
            return self.marks.on(args[0])
        if func == Tensor.is_cpu.__get__:
            return not self.marks.on(args[0])
        if func in (Tensor.numpy, Tensor.__array__) and self.marks.on(args[0]):
            raise TypeError(f"can't convert {DEVICE} device type tensor to numpy")
        if func is Tensor.tolist and args[0].ndim:
            self.marks.looks += self.marks.on(args[0])
        if func is Tensor.pin_memory:
            return args[0]
        if func is Tensor.cpu:
            return self.moved(args[0], False)
        if func is Tensor.to:
            return self.to(*args, **kwargs)
        if func in (torch.as_tensor, torch.asarray) and isinstance(args[0], Tensor):
            return self.to(*args, **kwargs)
        device = kwargs.pop("device", None)
        if device is not None and is_there(device) and kwargs.get("generator") is not None:
            raise Elsewhere(f"{func.__name__}: a generator of the CPU for a tensor of {DEVICE}")
        before, self.marks.working_there = self.marks.working_there, any(map(self.marks.on, tensors_in((args, kwargs))))
        try:
            result = func(*args, **kwargs)
        finally:
            self.marks.working_there = before
        if device is not None:
            for tensor in tensors_in(result):
                self.marks.put(tensor, is_there(device))
        return result

    def to(self, tensor: Tensor, *args: object, **kwargs: object) -> Tensor:
        rest, there = [], self.marks.on(tensor)
        for value in args:
            if isinstance(value, Tensor):
                there = self.marks.on(value)
                rest.append(value.dtype)
            elif isinstance(value, torch.device | str):
                there = is_there(value)
            else:
                rest.append(value)
        if kwargs.get("device") is not None:
            there = is_there(kwargs["device"])
        kwargs.pop("device", None)
        kwargs.pop("non_blocking", None)
        return self.moved(tensor.to(*rest, **kwargs) if rest or kwargs else tensor, there)

    def moved(self, tensor: Tensor, there: bool) -> Tensor:
        if self.marks.on(tensor) == there:
            return tensor
        if tensor.requires_grad and plain(tensor) is tensor:
            return Moved.apply(tensor, self.marks, there)
        self.marks.looks += not there
        copy = tensor.clone()
        self.marks.put(copy, there)
        return copy


def is_there(device: torch.device | str) -> bool:
    return torch.device(device).type == DEVICE.type
