"""How are class folders of one's own read?

Class folders of one's own: PATH/train/CLASS/picture, and PATH/val and PATH/test where they are; or PATH/CLASS/picture,
as DomainBed lays out a domain of PACS or VLCS, all of which is train.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..tasks import Task
from .classes import check_spellings, spelling
from .image_files import class_images
from .places import PARTS, Place, Split, below_data


def locate(task: Task) -> Place:
    """Raises FileNotFoundError without a folder or its `train`; ValueError for folders that are not its classes'."""
    folder = below_data(task.source.path)
    parts = part_folders(task, folder)
    known = set(task.source.folders)
    for path in parts.values():
        for name in class_images(path):
            if name not in known:
                near = [other for other in known if spelling(other) == spelling(name)]
                raise ValueError(
                    f"{path / name} is a second spelling of the class folder {near[0]!r}: keep one"
                    if near
                    else f"{path / name} is a folder without a class: {task.name} has {listed(task.source.folders)}"
                )
    return Place(str(folder), tuple(parts), lambda part: read(task, parts[part]))


def read(task: Task, folder: Path) -> Split:
    images = class_images(folder)
    pairs = [(path, label) for label, name in enumerate(task.source.folders) for path in images.get(name, [])]
    return [path for path, _ in pairs], [label for _, label in pairs]


def part_folders(task: Task, folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {folder} of {task.name} does not exist")
    parts = {part: folder / part for part in PARTS if (folder / part).is_dir()}
    if not parts and any(class_images(folder).values()):
        return {"train": folder}
    if "train" not in parts:
        raise FileNotFoundError(f"{folder / 'train'} does not exist: it should hold a folder for each class")
    return parts


def with_classes(task: Task, classes: Sequence[str] | Mapping[str, str] | None) -> Task:
    """The task with its classes, and with the folders that hold them.

    `classes`: None, and they are named as the folders in train (`golden_retriever` is golden retriever), in the order
    of these; a list of the same names in another order; or a mapping from each folder to its class. Raises ValueError
    for a class without a folder with pictures, a folder without a class, and two spellings of one class.
    """
    train = part_folders(task, below_data(task.source.path))["train"]
    images = class_images(train)
    if not images:
        raise ValueError(f"{train} holds no folders: it should hold one for each class")
    check_spellings(str(train), list(images))
    if classes is None:
        named = {folder: folder.replace("_", " ") for folder in images}
    elif isinstance(classes, Mapping):
        named = dict(classes)
    else:
        folders = {spelling(folder): folder for folder in images}
        named = {folders.get(spelling(name), name): name for name in classes}
    for folder in images.keys() - named.keys():
        raise ValueError(f"{train / folder} is a folder without a class: {task.name} has {listed(named)}")
    for folder, name in named.items():
        if not images.get(folder):
            what = "has no pictures" if folder in images else "does not exist"
            raise ValueError(f"the class {name!r} of {task.name} is without a folder: {train / folder} {what}")
    check_spellings(task.name, list(named.values()))
    return replace(task, classes=tuple(named.values()), source=replace(task.source, folders=tuple(named)))


def listed(names: Sequence[str] | Mapping) -> str:
    names = list(names)
    return f"{', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
