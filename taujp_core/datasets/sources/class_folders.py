"""How are class folders of one's own read?

Class folders of one's own: PATH/train/CLASS/picture, and PATH/val and PATH/test where they are, by any name that
`part_of` knows; or PATH/CLASS/picture, as DomainBed lays out a domain of PACS or VLCS, all of which is train.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...checks import text
from ...identity import fields_of
from ...tasks import Listing, Place, Task
from ..classes import check_spellings, listed, spelling
from ..file_digest import files_digest
from ..folders import below_data
from ..image_files import EXTENSIONS, class_images, not_read, part_folders


@dataclass(frozen=True)
class ClassFolders:
    """A relative path starts at TAUJP_DATA. `folders` are the class folders' names in the order of the task's classes;
    empty: not read yet.
    """

    path: str
    folders: tuple[str, ...] = ()
    key = "folder"
    own = True
    version = 1

    @classmethod
    def from_entry(cls, what: str, entry: Mapping) -> "ClassFolders":
        return cls(text(f"folder of {what}", entry["folder"]))

    def with_classes(self, task: Task, classes: Sequence[str] | Mapping[str, str] | None) -> Task:
        """`classes`: None, and they are named as the folders in train (`golden_retriever` is golden retriever), in the
        order of these; a list of the same names in another order; or a mapping from each folder to its class. Raises
        ValueError for a class without a folder with pictures, a folder without a class, and two spellings of one class.
        """
        train = parts_of(task, below_data(self.path))["train"]
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
        return replace(task, classes=tuple(named.values()), source=replace(self, folders=tuple(named)))

    def locate(self, task: Task) -> Place:
        """Raises FileNotFoundError without a folder or its `train`; ValueError for folders that are not its classes'."""
        folder = below_data(self.path)
        images = {part: class_images(path) for part, path in parts_of(task, folder).items()}
        known = set(self.folders)
        for part, classes in images.items():
            for name in classes:
                if name not in known:
                    path = parts_of(task, folder)[part] / name
                    near = [other for other in known if spelling(other) == spelling(name)]
                    raise ValueError(
                        f"{path} is a second spelling of the class folder {near[0]!r}: keep one"
                        if near
                        else f"{path} is a folder without a class: {task.name} has {listed(self.folders)}"
                    )
        return Place(
            str(folder),
            tuple(images),
            lambda part: labelled(task, images[part]),
            not_read=lambda: passed_over(task, folder),
        )

    def identity(self, task: Task, place: Place) -> dict:
        paths = [path for part in place.parts for path in place.read(part)[0]]
        return {**fields_of(self, "path"), "files": files_digest(below_data(self.path), paths)}


def labelled(task: Task, images: Mapping[str, Sequence[Path]]) -> Listing:
    pairs = [(path, label) for label, name in enumerate(task.source.folders) for path in images.get(name, [])]
    return [path for path, _ in pairs], [label for _, label in pairs]


def parts_of(task: Task, folder: Path) -> dict[str, Path]:
    """The folders of its parts; where there are none, the folder itself is train, if it has folders with pictures."""
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {folder} of {task.name} does not exist")
    parts = part_folders(folder)
    if not parts and any(class_images(folder).values()):
        return {"train": folder}
    if "train" not in parts:
        raise FileNotFoundError(f"{folder / 'train'} does not exist: it should hold a folder for each class")
    return parts


def passed_over(task: Task, folder: Path) -> list[str]:
    """What lies in the folder and is not read, a sentence each."""
    parts, said = parts_of(task, folder), []
    beside = sorted(path.name for path in folder.iterdir() if path.is_dir() and path not in (folder, *parts.values()))
    if beside and folder not in parts.values():
        said.append(f"not read, for they are no parts: the folders {listed(beside)} of {folder}")
    for part, path in parts.items():
        loose = [entry for entry in path.iterdir() if entry.is_file() and entry.suffix.lower() in EXTENSIONS]
        if loose:
            said.append(f"not read, for they are in no class folder: {len(loose)} pictures in {path}")
        if others := not_read(path):
            said.append(f"not read, for they are no pictures or hidden: {others} in {part}")
    return said
