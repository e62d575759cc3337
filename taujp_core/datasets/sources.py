"""Where a data set lies: in a folder that people already have, or in a copy of a repository of the Hugging Face hub."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..files import cache_folder
from ..suites import Task
from . import folders, hub
from .pictures import Pictures


def data_folder() -> Path:
    """TAUJP_DATA, by default `data` in the cache folder: below it lie the data sets."""
    return Path(os.environ.get("TAUJP_DATA", cache_folder() / "data")).expanduser().absolute()


@dataclass(frozen=True)
class Place:
    """Where a data set was found: a folder, or a repository and its commit; `read` gives a split's sources and labels."""

    name: str
    read: Callable[[str], tuple[Sequence, list[int]]]


def find(task: Task, split: str) -> Pictures:
    """The published split `train` or `test`.

    Raises FileNotFoundError for a data set that is not there, in a sentence that tells how to get it, and for missing
    parts; ValueError for damaged files, and for labels or folders that are not the task's classes.
    """
    return pictures(task, locate(task), split)


def locate(task: Task) -> Place:
    """A folder wins over a copy from the hub. Both splits are from the same place: splits of two may overlap."""
    root = data_folder()
    if found := folders.locate(task, root):
        return Place(str(found[0]), found[1])
    if found := hub.locate(task, root):
        return Place(*found)
    names = dict.fromkeys(f"{name}/{mark}".removeprefix("./") for name, mark, _ in folders.layouts(task))
    raise FileNotFoundError(
        f"the data set {task.name} is not below {root}, neither as {', '.join(names)} nor as {task.hub.repo} from the "
        f"hub: get it by `python -m taujp_core.datasets download --suite NAME --tasks {task.name} --root {root}` "
        "with the suite's name"
    )


def pictures(task: Task, place: Place, split: str) -> Pictures:
    sources, labels = place.read(split)
    title = f"{task.name} {split} in {place.name}"
    if not labels:
        raise ValueError(f"{title} has no pictures")
    for index, label in enumerate(labels):
        if not 0 <= label < len(task.classes):
            raise ValueError(f"{title}: picture {index} has label {label}, accepted are 0 to {len(task.classes) - 1}")
    return Pictures(title, sources, torch.tensor(labels), task.image_size)
