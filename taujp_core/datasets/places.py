"""Where do data sets lie?

Where data sets lie, and what a reader of one gives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..files import cache_folder, from_home, named_folder

PARTS = ("train", "val", "test")
Split = tuple[Sequence | Tensor, Sequence[int] | Tensor]  # sources of pictures as `Pictures` takes them, and labels


def data_folder() -> Path:
    """TAUJP_DATA, by default `data` in the cache folder: below it lie the data sets."""
    return (named_folder("TAUJP_DATA") or cache_folder() / "data").absolute()


def below_data(path: str) -> Path:
    """An absolute path as it is, `~` for the user's folder; a relative one starts at the data folder."""
    path = from_home(path, "a data set's path")
    return path if path.is_absolute() else data_folder() / path


@dataclass(frozen=True)
class Place:
    """Where a data set was found; `read(part)` gives the pictures of one of its `parts`, `train` among them.

    A part that is not there is made of train: see `load_split`.
    """

    name: str  # a folder, or a repository and its commit
    parts: tuple[str, ...]
    read: Callable[[str], Split]


def check_labels(title: str, labels: Sequence[int] | Tensor, classes: int) -> None:
    if not len(labels):
        raise ValueError(f"{title} has no pictures")
    values = torch.as_tensor(labels)
    wrong = ((values < 0) | (values >= classes)).nonzero().flatten()
    if len(wrong):
        index = int(wrong[0])
        raise ValueError(f"{title}: picture {index} has label {int(values[index])}, accepted are 0 to {classes - 1}")
