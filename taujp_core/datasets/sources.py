"""Who reads a task's pictures?

From a task to its pictures, whatever its source.
"""

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from ..tasks import ClassFolders, Hub, InMemory, Package, Published, Table, Task
from . import class_folders, given, hub, published, rendered, tables
from .pictures import Pictures
from .places import Place, check_labels

READERS = {
    Package: rendered.locate,
    Published: published.locate,
    ClassFolders: class_folders.locate,
    Hub: hub.locate,
    Table: tables.locate,
    InMemory: given.locate,
}


def locate(task: Task) -> Place:
    """Raises FileNotFoundError for a data set that is not there, in a sentence that tells how to get it, and for missing
    parts; ValueError for damaged files, and for folders or tables that do not have the task's classes.
    """
    return READERS[type(task.source)](task)


def find(task: Task, part: str) -> TensorDataset | Pictures:
    """A part of the data set as it was published: `train`, or `val` or `test` where they are.

    Raises what `locate` and `pictures` do.
    """
    data = pictures(task, locate(task), part)
    if isinstance(data.sources, Tensor) and data.sources.shape[-2:] == (task.image_size, task.image_size):
        return TensorDataset(data.sources, data.labels)
    return data


def pictures(task: Task, place: Place, part: str) -> Pictures:
    """Raises ValueError for a part without pictures, for labels that are not the task's, and for a task in no suite."""
    if task.image_size is None:
        raise ValueError(f"the task {task.name} is in no suite yet: own_suite decides the size of its pictures")
    sources, labels = place.read(part)
    title = f"{task.name} {part} in {place.name}"
    check_labels(title, labels, len(task.classes))
    return Pictures(title, sources, torch.as_tensor(labels), task.image_size)
