"""Does a run see the same pictures as another?

What decides which pictures a run sees, as plain data that a run's digest covers.
"""

from collections.abc import Sequence

from ..tasks import Place, Task
from .load import validation_is_published
from .sources.published import Published
from .sources.rendered import Package, renderer_digest


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
        "hub": source.identity(task) if isinstance(source, Published) else None,
        "train_images": task.train_images,
        "test_images": task.test_images,
    }
    if validation_is_published(task):  # then nothing of train is held out
        found["validation_images"] = task.validation_images
    if not isinstance(source, Package):
        found["order"] = "fair"
    if isinstance(source, Package | Published):
        return found if source.data == task.name else {**found, "data": source.data}
    return {**found, "source": own_identity(task, task.locate())}


def own_identity(task: Task, place: Place) -> dict:
    """What changes if the pictures at this place do."""
    return task.source.identity(task, place)
