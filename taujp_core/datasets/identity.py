"""Does a run see the same pictures as another? What decides a task's pictures, their order and its head, as a record."""

from ..identity import fields_of, plain
from ..tasks import Place, Task
from . import load, pictures


def task_identity(task: Task) -> dict:
    """All fields of the task, its source's record, and the versions of how pictures are decoded and split; plain data.

    The package's and the benchmark's data sets are what their names say; of one's own it is what they hold. Raises
    FileNotFoundError for data of one's own that are not there.
    """
    try:
        place = task.locate()
    except FileNotFoundError:
        if task.source.own:
            raise
        place = None
    versions = {"decoding": pictures.VERSION, "split": load.VERSION}
    return plain({**fields_of(task), "source": source_identity(task, place), "versions": versions})


def source_identity(task: Task, place: Place | None) -> dict:
    """What changes if the pictures at this place do, or how they are read."""
    source = task.source
    return {
        "kind": source.keys[0] if source.keys else "memory",
        "version": source.version,
        **source.identity(task, place),
    }
