"""What is a task, and what is a source of pictures?"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

TEMPLATES = ("a photo of a {}.",)  # CLIP's own, for a task that says nothing better


Listing = tuple[Sequence | Tensor, Sequence[int] | Tensor]  # sources of pictures as `Pictures` takes them, and labels


@dataclass(frozen=True)
class Place:
    """Where a data set was found; `read(part)` gives the pictures of one of its `parts`, `train` among them.

    A part that is not there is made of train: see `load_split`. `shuffled` parts stand in random order already;
    `sound` ones have been read through.
    """

    name: str  # a folder, or a repository and its commit
    parts: tuple[str, ...]
    read: Callable[[str], Listing]
    shuffled: bool = False
    sound: bool = False
    not_read: Callable[[], list[str]] = list  # sentences about what lies there and is passed over


class Source(ABC):
    """Where a task's pictures are from. Each kind is one file of `datasets/sources/`, with a SOURCE if suite files name it.

    Two sources are equal if they give the same pictures. `own` ones are the user's: every picture is decoded before
    anything is trained, and a run is bound to what they hold. `mapped` ones take a mapping from the data's names of the
    classes to the task's. `version` is raised by hand when the source gives other pictures of the same data, or the same
    ones in another order. `keys` are those of an entry of a suite file: the first says that the pictures are from here.
    `from_entry(what, entry)`, a class method, reads them all; it raises ValueError or TypeError in a sentence that names
    `what`.
    """

    keys: ClassVar[tuple[str, ...]] = ()
    own: ClassVar[bool] = True
    mapped: ClassVar[bool] = False
    version: ClassVar[int] = 1

    def with_classes(
        self, task: "Task", classes: Sequence[str] | Mapping[str, str] | None
    ) -> tuple["Task", Place | None]:
        """The task with these classes, or with those that the data name (None); its place, if they were looked at.

        Raises ValueError where classes do not fit, and where nothing names them, what `locate` does of data.
        """
        if classes is None:
            raise ValueError(f"the task {task.name} is without classes")
        return task, None

    @abstractmethod
    def locate(self, task: "Task") -> Place:
        """Raises FileNotFoundError for data that are not there, in a sentence that tells how to get them, and ValueError
        for damaged files, and for folders or tables that do not have the task's classes.
        """

    @abstractmethod
    def identity(self, task: "Task", place: Place | None) -> dict:
        """Plain data, others if the pictures are others: the source's fields, but for those that only say where these are.
        `place` is None for pictures of the benchmark that are not there yet.
        """


@dataclass(frozen=True)
class Task:
    """A data set with the class names and prompt templates that make its zero-shot head."""

    name: str
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    image_size: int | None  # pixels of a side, which the model decides; None: not yet known
    source: Source
    train_images: int | None = (
        None  # published counts; where no validation images are published, they are part of train
    )
    test_images: int | None = None
    validation_images: int | None = None

    def sized(self, size: int) -> "Task":
        """The same task, for a model that takes pictures of this size."""
        return replace(self, image_size=size)

    def locate(self) -> Place:
        """Where its pictures are now. Raises what its source's `locate` does."""
        return self.source.locate(self)
