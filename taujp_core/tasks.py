"""What is a task?

A task: a data set with the names and templates that make its head, and where its pictures are from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

TEMPLATES = ("a photo of a {}.",)  # CLIP's own, for a task that says nothing better


@dataclass(frozen=True)
class Package:
    """Pictures that ship with the package, or are rendered by it at a severity (how hard they are, 0 to 1)."""

    data: str
    severity: int | float | None = None


@dataclass(frozen=True)
class Hub:
    """A repository of the Hugging Face hub: parquet files with an image and a label column.

    `train`, `test` and `validation` are patterns of file names. A default that matches nothing is a split that the
    repository does not have; a pattern that was given has to match.
    """

    repo: str
    revision: str = "main"
    train: str = "*train*.parquet"
    test: str = "*test*.parquet"
    validation: str = "*validation*.parquet"
    image: str = "image"
    label: str = "label"


@dataclass(frozen=True)
class Published:
    """A data set of the benchmark, in a folder of a layout that people have, or else as a copy from the hub."""

    data: str
    hub: Hub


@dataclass(frozen=True)
class ClassFolders:
    """`path`/train/CLASS/picture, and `val` and `test` where they are. A relative path starts at TAUJP_DATA.

    `folders` are the class folders' names in the order of the task's classes; empty: not read yet.
    """

    path: str
    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A local folder that the library `datasets` reads: save_to_disk's, parquet files, an image folder."""

    path: str
    image: str = "image"
    label: str = "label"


@dataclass(frozen=True)
class InMemory:
    """Images and labels that were given in Python, by part (`train`, and `val` and `test` where they were given).

    Images are bytes [n, 3, h, w], or a sequence of PIL images and arrays. Two are equal if their digests are.
    """

    digest: str
    parts: dict[str, tuple[Sequence | Tensor, Sequence[int]]] = field(compare=False, repr=False)


Source = Package | Published | ClassFolders | Hub | Table | InMemory


@dataclass(frozen=True)
class Task:
    """A data set with the class names and prompt templates that make its zero-shot head."""

    name: str
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    image_size: int | None  # pixels; the suite's model decides it, and a task in no suite has none
    source: Source
    train_images: int | None = (
        None  # published counts; where no validation images are published, they are part of train
    )
    test_images: int | None = None
    validation_images: int | None = None


def one_of(kind: str, value: object, accepted) -> object:
    """`value` if it is accepted, else ValueError with a sentence that lists what is."""
    if value not in tuple(accepted):
        raise ValueError(f"unknown {kind} {value!r}: accepted are {', '.join(map(str, accepted))}")
    return value
