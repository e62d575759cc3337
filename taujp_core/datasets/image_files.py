"""Which picture files are in a folder?

One rule for every folder that is read: all picture files below it, folders inside included and links followed. Hidden
files and folders, whose names begin with a dot, are not read, nor are files of other kinds; `python -m
taujp_core.datasets check` counts them.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS

from ..files import from_home
from ..optimisation import epoch_order
from .folders import existing
from .pictures import Pictures
from .split import Split

PARTS = ("train", "val", "test")
PICTURE, LOOSE = "picture", "picture beside"
EXTENSIONS = (*IMG_EXTENSIONS, ".gif", ".jfif")
PARTS_BY_NAME = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def part_of(name: str) -> str | None:
    """The part (`train`, `val` or `test`) that a folder or a table of this name is, in any case: Valid, TEST."""
    return PARTS_BY_NAME.get(name.lower())


def parts_by_name(where: str, names: Sequence[str]) -> dict[str, str]:
    """The names that are parts, by part, in the order train, val, test. Raises ValueError for two of one part."""
    found: dict[str, str] = {}
    for name in sorted(names):
        part = part_of(name)
        if part and found.setdefault(part, name) != name:
            raise ValueError(f"{where} has two {part} parts, {found[part]!r} and {name!r}: keep one")
    return {part: found[part] for part in PARTS if part in found}


def part_folders(folder: Path) -> dict[str, Path]:
    """The folders of train, val and test in it, as far as they are there."""
    names = [entry.name for entry in folder.iterdir() if entry.is_dir()]
    return {part: folder / name for part, name in parts_by_name(str(folder), names).items()}


@dataclass(frozen=True)
class Folders:
    """What one walk finds in a folder of class folders.

    pictures: files by class folder, both sorted; others: how many files are not read, by kind, pictures beside the
    class folders among them.
    """

    folder: Path
    pictures: dict[str, list[Path]]
    others: Counter[str]


def class_folders(folder: Path) -> Folders:
    """Raises ValueError for a link to nowhere that is named as a picture."""
    found = Folders(folder, {}, Counter())
    with os.scandir(folder) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir() and not entry.name.startswith("."):
            found.pictures[entry.name], others = walked(entry.path)
            found.others.update(others)
        else:
            kind = kind_of(entry)
            found.others[LOOSE if kind == PICTURE else kind] += 1
    return found


def walked(folder: Path | str) -> tuple[list[Path], Counter[str]]:
    """The picture files below this folder, sorted, and how many others of each kind."""
    kinds = [(entry.path, kind_of(entry)) for entry in entries_below(folder)]
    return [Path(path) for path, kind in kinds if kind == PICTURE], Counter(k for _, k in kinds if k != PICTURE)


def kind_of(entry: os.DirEntry) -> str:
    if entry.name.startswith("."):
        return "hidden"
    suffix = Path(entry.name).suffix.lower()
    if suffix not in EXTENSIONS:
        return suffix or "without a suffix"
    if not entry.is_file():
        what = "a link to a file that does not exist" if entry.is_symlink() else "no file"
        raise ValueError(f"{entry.path} is {what}: mend it or take it away")
    return PICTURE


def entries_below(folder: str | Path, above: frozenset[str] = frozenset()) -> Iterator[os.DirEntry]:
    """Files below a folder, in the order of their paths, and what is hidden, unopened.

    Links are followed, but for those to a folder that they lie in themselves.
    """
    above |= {os.path.realpath(folder)}
    with os.scandir(folder) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith(".") or not entry.is_dir():
            yield entry
        elif not (entry.is_symlink() and os.path.realpath(entry) in above):
            yield from entries_below(entry.path, above)


def load_images(folder: Path | str, size: int, most: int | None = None) -> UInt8[Tensor, "n 3 s s"]:
    """Pictures of a folder and the folders in it, without labels: for τJp, `reduce_tau_jp` and merging.

    They are brought to `size` pixels (`clip.image_size`) by CLIP's resizing. At most `most` of them, drawn once and for
    all with seed 0 from the sorted paths. Raises FileNotFoundError for a folder that does not exist, ValueError for one
    without pictures and for a picture that cannot be decoded, by its name.
    """
    folder = from_home(folder, "the folder of pictures")
    existing(folder, f"the folder {folder}")
    if most is not None and most < 1:
        raise ValueError(f"most must be at least 1 image, not {most}")
    paths, _ = walked(folder)
    if not paths:
        raise ValueError(f"{folder} has no pictures: accepted are files that end in {', '.join(EXTENSIONS)}")
    chosen = [paths[index] for index in epoch_order(len(paths), 0)[:most]]
    return Split(Pictures(str(folder), chosen, size), torch.zeros(len(chosen), dtype=torch.long)).images
