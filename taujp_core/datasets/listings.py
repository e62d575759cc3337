"""Which pictures with which labels are in class folders, lists, and files of bytes of a published data set?"""

import gzip
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.io

from ..tasks import Listing, Task
from .classes import class_labels
from .folders import existing
from .image_files import class_folders, part_folders

# Takes a task, a folder and a part, and gives the sources of `Pictures` and their labels; pictures are not opened.
Reader = Callable[[Task, Path, str], Listing]


def two_parts(task: Task, folder: Path, part: str) -> Listing:
    """Class folders whose `val` is of train, or the test split where there is no other."""
    parts = parts_of(folder)
    if part == "test":
        return from_parts(task, folder, parts, ["test"] if "test" in parts else ["val"])
    return from_parts(task, folder, parts, ["train"] + (["val"] if {"val", "test"} <= set(parts) else []))


def three_parts(task: Task, folder: Path, part: str) -> Listing:
    """Class folders whose `val` is the validation split."""
    return from_parts(task, folder, parts_of(folder), [part])


def parts_of(folder: Path) -> dict[str, dict[str, list[Path]]]:
    return {part: class_folders(path).pictures for part, path in part_folders(folder).items()}


def from_parts(task: Task, folder: Path, parts: dict[str, dict[str, list[Path]]], chosen: list[str]) -> Listing:
    """Pictures of the chosen parts; the classes are those of all parts, one may be without pictures in this one."""
    for part in chosen:
        if part not in parts:
            existing(folder / part, hint=": it should hold a folder for each class")
    names = {name for classes in parts.values() for name in classes}
    if len(names) != len(task.classes):
        raise ValueError(f"{folder} has {len(names)} class folders, {task.name} has {len(task.classes)} classes")
    labels = class_labels(task, names, folder)
    pairs = [(path, labels[name]) for part in chosen for name, files in parts[part].items() for path in files]
    return unzip(pairs)


def unzip(pairs: list[tuple[Path, int]]) -> Listing:
    return [source for source, _ in pairs], [label for _, label in pairs]


def lines_of(path: Path) -> list[str]:
    return [line.strip() for line in existing(path).read_text(encoding="utf-8").splitlines() if line.strip()]


def matlab(path: Path, *names: str) -> list[np.ndarray]:
    """Variables of a .mat file. Raises ValueError for a damaged file, and for a missing variable."""
    try:
        content = scipy.io.loadmat(existing(path), squeeze_me=True)
        return [content[name] for name in names]
    except FileNotFoundError:
        raise
    except Exception as error:  # scipy documents none: zlib.error, TypeError, KeyError, … are met
        raise ValueError(f"{path} is damaged or not the file that it should be: {error!r}") from None


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Bytes in MNIST's format: two zeros, 8 for bytes, the number of dimensions, sizes as big-endian 32 bits, data."""
    packed = path.with_name(f"{path.name}.gz")
    if not path.is_file():
        if not packed.is_file():
            raise FileNotFoundError(f"neither {path} nor {packed.name} beside it exists")
        path = packed
    try:
        content = gzip.decompress(path.read_bytes()) if path == packed else path.read_bytes()
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    start = 4 + 4 * dimensions
    shape = np.frombuffer(content[4:start], ">u4").tolist() if len(content) >= start else []
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) != start + math.prod(shape):
        raise ValueError(f"{path} is truncated or not an IDX file of {dimensions} dimensions")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
