"""Is a value, or an image, what it should be? Checks that know nothing of the domain; each answers in one sentence."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def one_of(kind: str, value: T, accepted: Iterable[T]) -> T:
    """`value` if it is accepted, else ValueError with a sentence that lists what is."""
    if value not in tuple(accepted):
        raise ValueError(f"unknown {kind} {value!r}: accepted are {', '.join(map(str, accepted))}")
    return value


def check_keys(what: str, entry: Mapping, accepted: Iterable[str]) -> None:
    unknown = [key for key in entry if key not in accepted]
    if unknown:
        raise ValueError(f"{what} has the unknown key {unknown[0]!r}: accepted are {', '.join(accepted)}")


def options(what: str, value: object, kind: type, first: str) -> dict[str, str]:
    """Fields of `kind` from a mapping, or the first of them alone."""
    if not isinstance(value, Mapping):
        return {first: text(what, value)}
    check_keys(what, value, [field.name for field in fields(kind)])
    if first not in value:
        raise ValueError(f"{what} is without {first}")
    return {key: text(f"{key} of {what}", item) for key, item in value.items()}


def text(what: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{what} must be a text, not {value!r}")
    return value


def check_not_negative(**values: float) -> None:
    """Raises ValueError for the first number that is negative or not finite."""
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be finite and not negative, not {value}")


def check_images(title: str, images: object, size: int) -> None:
    """Raises TypeError unless `images` are bytes, ValueError unless they are [n, 3, size, size]."""
    if not isinstance(images, Tensor):
        raise TypeError(f"{title} must be a tensor of bytes [n, 3, {size}, {size}], not {type(images).__name__}")
    check_bytes(title, images)
    if images.shape[1:] != (3, size, size):
        hint = ": channels come first" if images.shape[1:] == (size, size, 3) else ""
        raise ValueError(f"{title} must have the shape [n, 3, {size}, {size}], not {[*images.shape]}{hint}")


def check_bytes(title: str, images: Tensor) -> None:
    """Floats from 0 to 1 would be taken for nearly black bytes: CLIP's mean and scale are part of the encoder."""
    if images.dtype != torch.uint8:
        hint = ": leave out ToTensor and Normalize" if images.is_floating_point() else ""
        raise TypeError(f"{title} must be bytes (uint8, 0 to 255), not {images.dtype}{hint}")


def first_line(error: Exception) -> str:
    """What an error of another library says first; its class where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
