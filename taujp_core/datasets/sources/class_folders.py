"""How are class folders of one's own read?

Class folders of one's own: PATH/train/CLASS/picture, and PATH/val and PATH/test where they are, by any name that
`part_of` knows; or PATH/CLASS/picture, as DomainBed lays out a domain of PACS or VLCS, all of which is train.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...checks import text
from ...identity import fields_of
from ...tasks import Listing, Place, Source, Task
from ..classes import check_spellings, listed, spelling
from ..file_digest import files_digest
from ..folders import below_data, existing
from ..image_files import LOOSE, Folders, class_folders, part_folders


@dataclass(frozen=True)
class ClassFolders(Source):
    """A relative path starts at TAUJP_DATA. `folders` are the class folders' names in the order of the task's classes;
    empty: not read yet.
    """

    path: str
    folders: tuple[str, ...] = ()
    keys = ("folder",)
    mapped = True
    version = 1

    @classmethod
    def from_entry(cls, what: str, entry: Mapping) -> "ClassFolders":
        return cls(text(f"folder of {what}", entry["folder"]))

    def with_classes(self, task: Task, classes: Sequence[str] | Mapping[str, str] | None) -> tuple[Task, Place | None]:
        """`classes`: None, and they are named as the folders in train (`golden_retriever` is golden retriever), in the
        order of these; a list of the same names in another order; or a mapping from each folder to its class. Raises
        ValueError for a class without a folder with pictures, a folder without a class, and two spellings of one class.
        """
        parts = parts_of(task, below_data(self.path))
        train, images = parts["train"].folder, parts["train"].pictures
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
        for folder, name in named.items():
            if not images.get(folder):
                what = "has no pictures" if folder in images else "does not exist"
                if others := [other for other in images if other not in named]:
                    what += f", and {train / others[0]} is a folder without a class"
                raise ValueError(f"the class {name!r} of {task.name} is without a folder: {train / folder} {what}")
        check_spellings(task.name, list(named.values()))
        source = replace(self, folders=tuple(named))
        return replace(task, classes=tuple(named.values()), source=source), source.place(task, parts)

    def locate(self, task: Task) -> Place:
        """Raises FileNotFoundError without a folder or its `train`; ValueError for folders that are not its classes'."""
        return self.place(task, parts_of(task, below_data(self.path)))

    def place(self, task: Task, parts: Mapping[str, Folders]) -> Place:
        labels = {name: label for label, name in enumerate(self.folders)}
        spellings = {spelling(name): name for name in self.folders}

        def read(part: str) -> Listing:
            pairs = [(path, label) for name, label in labels.items() for path in parts[part].pictures.get(name, [])]
            return [path for path, _ in pairs], [label for _, label in pairs]

        for found in parts.values():
            for name in (name for name in found.pictures if name not in labels):
                path, near = found.folder / name, spellings.get(spelling(name))
                raise ValueError(
                    f"{path} is a second spelling of the class folder {near!r}: keep one"
                    if near
                    else f"{path} is a folder without a class: {task.name} has {listed(self.folders)}"
                )
        folder = below_data(self.path)
        return Place(str(folder), tuple(parts), read, not_read=lambda: passed_over(folder, parts))

    def identity(self, task: Task, place: Place) -> dict:
        paths = [path for part in place.parts for path in place.read(part)[0]]
        return {**fields_of(self, "path"), "files": files_digest(below_data(self.path), paths)}


def parts_of(task: Task, folder: Path) -> dict[str, Folders]:
    """What its parts hold, in one walk; where there are none, the folder itself is train, if it has pictures."""
    parts = part_folders(existing(folder, f"the folder {folder} of {task.name}"))
    if not parts:
        alone = class_folders(folder)
        if any(alone.pictures.values()):
            return {"train": alone}
    if "train" not in parts:
        existing(folder / "train", hint=": it should hold a folder for each class")
    return {part: class_folders(path) for part, path in parts.items()}


def passed_over(folder: Path, parts: Mapping[str, Folders]) -> list[str]:
    """What lies in the folder and is not read, a sentence each."""
    said, read = [], [folder, *(found.folder for found in parts.values())]
    beside = sorted(path.name for path in folder.iterdir() if path.is_dir() and path not in read)
    if beside and folder not in read[1:]:
        said.append(f"not read, for they are no parts: the folders {listed(beside)} of {folder}")
    for part, found in parts.items():
        others = dict(found.others)
        if loose := others.pop(LOOSE, 0):
            said.append(f"not read, for they are in no class folder: {loose} pictures in {found.folder}")
        if others:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
            said.append(f"not read, for they are no pictures or hidden: {kinds} in {part}")
    return said


SOURCE = ClassFolders
