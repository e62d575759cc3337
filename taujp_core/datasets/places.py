"""Where do data sets lie?

Where data sets lie, and what a reader of one gives.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..files import cache_folder

PARTS = ("train", "val", "test")
Split = tuple[Sequence | Tensor, Sequence[int] | Tensor]  # sources of pictures as `Pictures` takes them, and labels


def data_folder() -> Path:
    """TAUJP_DATA, by default `data` in the cache folder: below it lie the data sets."""
    return Path(os.environ.get("TAUJP_DATA", cache_folder() / "data")).expanduser().absolute()


def below_data(path: str) -> Path:
    """An absolute path as it is, `~` for the user's folder; a relative one starts at the data folder."""
    return data_folder() / Path(path).expanduser()


@dataclass(frozen=True)
class Place:
    """Where a data set was found; `read(part)` gives the pictures of one of its `parts`, `train` among them.

    A part that is not there is made of train: see `load_split`. `shuffled` parts stand in random order already.
    """

    name: str  # a folder, or a repository and its commit
    parts: tuple[str, ...]
    read: Callable[[str], Split]
    shuffled: bool = False
    not_read: Callable[[], list[str]] = list  # sentences about what lies there and is passed over


def check_labels(title: str, labels: Sequence[int] | Tensor, classes: int) -> None:
    if not len(labels):
        raise ValueError(f"{title} has no pictures")
    values = torch.as_tensor(labels)
    wrong = ((values < 0) | (values >= classes)).nonzero().flatten()
    if len(wrong):
        index = int(wrong[0])
        raise ValueError(f"{title}: picture {index} has label {int(values[index])}, accepted are 0 to {classes - 1}")
