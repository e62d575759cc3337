"""What may be given in a call as pictures, or as a labelled test set?

Pictures, which need no labels: a folder of them; bytes [n, 3, h, w] of any size; a list of PIL images; a torch Dataset; a
`Split`; a task. Test sets, which do: class folders; a task; a torch Dataset with `classes`; (images, labels, classes).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ..files import from_home
from ..optimisation import epoch_order
from ..tasks import TEMPLATES, Listing, Place, Source, Task
from .classes import check_spellings
from .file_digest import files_digest
from .folders import existing
from .image_files import class_folders, load_images, part_folders, part_of, walked
from .load import check_labels, load_split
from .pictures import Pictures
from .sources.in_memory import from_dataset, in_memory, tensors
from .split import Split

PICTURES = "a folder, bytes (uint8) [n, 3, h, w], a list of PIL images, a torch Dataset, a Split or a task"
TEST_SETS = "class folders, a task, a torch Dataset with `classes`, or (images, labels, classes)"


@dataclass(frozen=True)
class TestSet:
    """Pictures with labels, and the class names and templates of their zero-shot head."""

    classes: tuple[str, ...]
    templates: tuple[str, ...]
    split: Split


@dataclass(frozen=True)
class PictureFolder(Source):
    """Pictures of a folder without labels. All of them are training images: they keep features from moving."""

    path: str
    keys = ("pictures",)

    def locate(self, task: Task) -> Place:
        paths = self.paths()
        return Place(self.path, ("train", "val", "test"), lambda part: (paths, [0] * len(paths)))

    def identity(self, task: Task, place: Place | None) -> dict:
        return {"files": files_digest(Path(self.path), self.paths())}

    def paths(self) -> list[Path]:
        paths, _ = walked(existing(Path(self.path), f"the folder {self.path}"))
        if not paths:
            raise ValueError(f"{self.path} has no pictures")
        return paths


def by_name(what: str, given: object) -> dict[str, object]:
    """Data sets by name: of a mapping; of a folder that holds a folder for each; of a list of tasks; of a single one.

    Raises TypeError for something else, FileNotFoundError and ValueError for a folder that is not there or has none.
    """
    if isinstance(given, Mapping):
        return {str(name): one for name, one in given.items()}
    if isinstance(given, Task):
        return {given.name: given}
    if isinstance(given, str | Path):
        folder = from_home(given, what)
        existing(folder, f"the folder {folder}")
        found = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and path.name[0] != "."}
        if not found:
            raise ValueError(f"{what}: {folder} should hold a folder for each data set, and holds none")
        return dict(found)
    if isinstance(given, list | tuple) and given and all(isinstance(one, Task) for one in given):
        return {task.name: task for task in given}
    raise TypeError(
        f"{what} must be a mapping of names to data sets, a folder that holds one for each, or tasks, not "
        f"{type(given).__name__}"
    )


def name_of(given: object) -> str:
    """Of a data set that is given alone: the task's name or the folder's, and of a folder `test` that of the folder above."""
    if isinstance(given, Task):
        return given.name
    if isinstance(given, str | Path):
        path = Path(given).absolute()
        return path.parent.name if part_of(path.name) else path.name
    return "data"


def images_of(what: str, given: object, size: int, most: int = 0, split: str = "train") -> UInt8[Tensor, "n 3 s s"]:
    """Pictures in any of the forms PICTURES, brought to `size` pixels; at most `most`, a fair sample of them (0: all).

    split: of a task. Raises TypeError or ValueError, in a sentence that begins with `what`, for something else, and what
    reading them raises.
    """
    if isinstance(given, str | Path):
        return load_images(given, size, most or None)
    if isinstance(given, Task):
        return load_split(given.sized(size), split).first(most).images
    if isinstance(given, Split):
        return resized(what, given.first(most).pictures, size)
    if isinstance(given, Dataset):
        given, labels = from_dataset(what, given)
        return resized(what, Split(Pictures(what, given, size), torch.tensor(labels)).first(most).pictures, size)
    if isinstance(given, Tensor):
        given = tensors(what, (given, [0] * len(given)))[0]
    elif not (isinstance(given, Sequence) and all(isinstance(one, Image.Image) for one in given)):
        raise TypeError(f"{what} must be {PICTURES}, not {type(given).__name__}")
    if not len(given):
        raise ValueError(f"{what} must be at least one picture, and there is none")
    if 0 < most < len(given):
        rows = epoch_order(len(given), 0)[:most]
        given = given[torch.from_numpy(rows)] if isinstance(given, Tensor) else [given[row] for row in rows]
    return resized(what, given, size)


def resized(what: str, pictures: Tensor | Sequence, size: int) -> UInt8[Tensor, "n 3 s s"]:
    """Bytes of the size as they are, others by CLIP's resizing and central crop."""
    if isinstance(pictures, Tensor) and pictures.shape[-2:] == (size, size):
        return pictures
    if isinstance(pictures, Pictures):
        what, pictures = pictures.title, pictures.sources
    return Split(Pictures(what, pictures, size), torch.zeros(len(pictures), dtype=torch.long)).images


def test_set(what: str, given: object, size: int, templates: Sequence[str] | None = None) -> TestSet:
    """A labelled data set in any of the forms TEST_SETS, its pictures brought to `size` pixels.

    Of class folders the part `test` is read, or all where there are no parts; folders name the classes. templates: CLIP's
    `a photo of a {}.` where the task has none. Raises TypeError or ValueError, in a sentence, for something else, and
    what reading them raises.
    """
    if isinstance(given, Task):
        task = given.sized(size)
        return TestSet(task.classes, tuple(templates or task.templates), load_split(task, "test"))
    if isinstance(given, str | Path):
        classes, listing = of_class_folders(from_home(given, what))
    elif isinstance(given, Dataset) and hasattr(given, "classes"):
        classes, listing = list(given.classes), from_dataset(what, given)
    elif isinstance(given, tuple) and len(given) == 3:
        classes, listing = list(given[2]), tensors(what, given[:2])
    else:
        raise TypeError(f"{what} must be {TEST_SETS}, not {type(given).__name__}")
    check_labels(what, listing[1], len(classes))
    pictures = Pictures(what, listing[0], size)
    return TestSet(tuple(classes), tuple(templates or TEMPLATES), Split(pictures, torch.as_tensor(listing[1])))


def of_class_folders(folder: Path) -> tuple[list[str], Listing]:
    """Classes, named as their folders, and the paths and labels. Raises FileNotFoundError or ValueError."""
    parts = part_folders(existing(folder, f"the folder {folder}"))
    if parts and "test" not in parts:
        raise ValueError(
            f"{folder} has {', '.join(parts)} and no test: give the folder whose pictures are to be tested"
        )
    found = class_folders(parts.get("test", folder))
    pictures = {name: paths for name, paths in found.pictures.items() if paths}
    if not pictures:
        raise ValueError(f"{found.folder} should hold a folder of pictures for each class, and holds none")
    check_spellings(str(found.folder), list(pictures))
    labels = [label for label, paths in enumerate(pictures.values()) for _ in paths]
    return [name.replace("_", " ") for name in pictures], (
        [path for paths in pictures.values() for path in paths],
        labels,
    )


def unlabelled_task(name: str, given: object, size: int) -> Task:
    """A task of one class, which is no task to train but one whose features a penalty keeps; a task stays what it is."""
    if isinstance(given, Task):
        return replace(given.sized(size), name=name)
    source: Source
    if isinstance(given, str | Path):
        source = PictureFolder(str(from_home(given, f"pictures of {name}")))
    else:
        images = images_of(f"pictures of {name}", given, size)
        every = (images, torch.zeros(len(images), dtype=torch.long))
        source = in_memory(name, 1, dict.fromkeys(("train", "val", "test"), every))
    return Task(name, ("picture",), TEMPLATES, size, source)
