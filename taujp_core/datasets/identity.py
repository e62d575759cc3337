"""Does a run see the same pictures as another?

What decides which pictures a run sees, as plain data that a run's digest covers.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

from ..tasks import ClassFolders, Hub, InMemory, Package, Published, Table, Task
from . import class_folders, tables
from .hub import commit
from .image_files import entries_below
from .places import below_data
from .published import validation_is_published
from .rendered import renderer_digest

TAIL = 4096  # bytes


def pictures_identity(tasks: Sequence[Task]) -> list:
    """Of these tasks, in this order; JSON-able.

    Of the package's and the benchmark's data sets: names, templates, image size, severity, the hub's revision, published
    counts, and the digest of the renderer if one of them is the package's. Of one's own: what they hold. Raises
    FileNotFoundError for data of one's own that are not there.
    """
    renderer = renderer_digest() if any(isinstance(task.source, Package) for task in tasks) else None
    return [[task_identity(task) for task in tasks], renderer]


def task_identity(task: Task) -> dict:
    """Keys and order are those of the first runs: later ones are added only where they say something."""
    source = task.source
    found = {
        "name": task.name,
        "classes": task.classes,
        "templates": task.templates,
        "image_size": task.image_size,
        "severity": source.severity if isinstance(source, Package) else None,
        "hub": hub_identity(source.hub) if isinstance(source, Published) else None,
        "train_images": task.train_images,
        "test_images": task.test_images,
    }
    if validation_is_published(task):  # then nothing of train is held out
        found["validation_images"] = task.validation_images
    if not isinstance(source, Package):
        found["order"] = "fair"
    if isinstance(source, Package | Published):
        return found if source.data == task.name else {**found, "data": source.data}
    return {**found, "source": own_identity(task)}


def hub_identity(hub: Hub) -> dict:
    fields = asdict(hub)
    del fields["validation"]  # the benchmark's copies are read without
    return fields


def own_identity(task: Task) -> dict:
    """What changes if the pictures do."""
    source = task.source
    match source:
        case InMemory():
            return {"digest": source.digest}
        case Hub():
            return {**asdict(source), "commit": commit(source)}
        case ClassFolders():
            place = class_folders.locate(task)
            paths = [path for part in place.parts for path in place.read(part)[0]]
            return {"folders": source.folders, "files": files_digest(below_data(source.path), paths)}
        case Table():
            folder = below_data(source.path)
            # `datasets` keeps a cache beside tables.
            paths = {Path(entry) for entry in entries_below(folder) if not entry.name.startswith((".", "cache-"))}
            paths |= tables.picture_files(task)
            return {"image": source.image, "label": source.label, "files": files_digest(folder, paths)}


def files_digest(folder: Path, paths: Iterable[Path]) -> str:
    """Of the files' names (from the folder on, if they are in it), sizes and last 4 KiB.

    That is cheap, and sees what changes a compressed picture: its size or its end. What it does not see is a change
    at the top of an uncompressed one.
    """
    digest = hashlib.sha256()
    for path in sorted(paths):
        try:
            status = path.stat()
        except FileNotFoundError:
            raise FileNotFoundError(f"the picture {path} does not exist") from None
        tail = end_of_file(path, status.st_size, status.st_mtime_ns)
        name = path.relative_to(folder) if path.is_relative_to(folder) else path
        digest.update(json.dumps([name.as_posix(), status.st_size, tail]).encode())
    return digest.hexdigest()[:16]


@cache
def end_of_file(path: Path, size: int, changed: int) -> str:
    """Digest of the last bytes; read once for a size and a time of change."""
    with path.open("rb") as file:
        file.seek(max(0, size - TAIL))
        return hashlib.sha256(file.read()).hexdigest()[:16]
