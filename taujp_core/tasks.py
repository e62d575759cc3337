"""What is a task, and what is a source of pictures?

A task: a data set with the names and templates that make its head, and where its pictures are from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor

TEMPLATES = ("a photo of a {}.",)  # CLIP's own, for a task that says nothing better


Listing = tuple[Sequence | Tensor, Sequence[int] | Tensor]  # sources of pictures as `Pictures` takes them, and labels


@dataclass(frozen=True)
class Place:
    """Where a data set was found; `read(part)` gives the pictures of one of its `parts`, `train` among them.

    A part that is not there is made of train: see `load_split`. `shuffled` parts stand in random order already.
    """

    name: str  # a folder, or a repository and its commit
    parts: tuple[str, ...]
    read: Callable[[str], Listing]
    shuffled: bool = False
    not_read: Callable[[], list[str]] = list  # sentences about what lies there and is passed over


@runtime_checkable
class Source(Protocol):
    """Where a task's pictures are from. Each source is one file of `datasets/sources/`.

    Two sources are equal if they give the same pictures. `own` ones are the user's: every picture is decoded before
    anything is trained, and a run is bound to what they hold. `version` is raised by hand when the source gives other
    pictures of the same data, or the same ones in another order. Those that a suite file can name have its `key` there,
    and `from_entry(what, entry)`, which raises ValueError or TypeError in a sentence that begins with `what`.
    """

    key: ClassVar[str]
    own: ClassVar[bool]
    version: ClassVar[int]

    def with_classes(self, task: "Task", classes: Sequence[str] | Mapping[str, str] | None) -> "Task":
        """The task with these classes, or with those that the data name; ValueError where they do not fit."""
        ...

    def locate(self, task: "Task") -> Place:
        """Raises FileNotFoundError for data that are not there, in a sentence that tells how to get them, and ValueError
        for damaged files, and for folders or tables that do not have the task's classes.
        """
        ...

    def identity(self, task: "Task", place: Place | None) -> dict:
        """Plain data, others if the pictures are others: the source's fields, but for those that only say where these are.
        `place` is None for pictures of the benchmark that are not there yet.
        """
        ...


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

    def locate(self) -> Place:
        """Where its pictures are now. Raises what its source's `locate` does."""
        return self.source.locate(self)
