"""Is this the same as before? What decides a result, as one canonical record, and its digest.

A record has every field that decides, defaults written out, and the VERSION of whatever makes the result: a number that
is raised by hand when the same record gives something else from then on. Digests of source text are in no record, so
that a comment changes nothing; `tests/tools/golden.py` finds a behaviour that changed under the same version.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

DIGITS = 16  # hexadecimal ones of every digest: no name of a file gets too long, and no two of a project's are alike


def fields_of(thing: object, *without: str) -> dict[str, object]:
    """All fields of a dataclass, whether they are at their defaults or not, but for those that are named."""
    names = [field.name for field in fields(thing)]
    if unknown := set(without) - set(names):
        raise ValueError(f"{type(thing).__name__} has no field {', '.join(sorted(unknown))}")
    return {name: getattr(thing, name) for name in names if name not in without}


def plain(value: object) -> Any:
    """The value as JSON gives it back: lists for tuples, texts for keys; 1 for 1.0, for what is equal has one record.

    Dataclasses are records of all their fields. Raises TypeError for what is no plain data.
    """
    if is_dataclass(value) and not isinstance(value, type):
        value = fields_of(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{value!r} cannot be recorded: accepted are texts, numbers, None, lists, mappings and dataclasses")


def digest(record: object) -> str:
    """Of plain data, the same for the same data in whatever process, and whatever the order of its keys."""
    return bytes_digest([json.dumps(plain(record), sort_keys=True).encode()])


def bytes_digest(parts: Iterable[bytes]) -> str:
    """First digits of the SHA-256 of all parts, one after the other."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()[:DIGITS]


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Of names, dtypes, shapes and bytes."""

    def parts() -> Iterable[bytes]:
        for name in sorted(tensors):
            tensor = tensors[name].detach().cpu().contiguous()
            yield f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode()
            yield tensor.flatten().view(torch.uint8).numpy().tobytes()

    return bytes_digest(parts())
