"""Are data of one's own whole, before anything is trained on them?

Data of one's own at the door: whole before anything is trained on them.
"""

import hashlib
import json

from ..cache import is_noted, note
from ..tasks import InMemory, Package, Published, Task
from . import SPLITS, load_split
from .check import digests
from .identity import task_identity
from .sources import locate, pictures


def check_own(task: Task) -> None:
    """Raises ValueError for a split without images and for the first picture that cannot be decoded, by its name.

    Each picture is decoded, once for as long as the data stay what they are: a note in the cache folder says so. The
    package's and the benchmark's data sets are left to `python -m taujp_core.datasets check`.
    """
    if isinstance(task.source, Package | Published):
        return
    for split in SPLITS:
        load_split(task, split)
    if isinstance(task.source, InMemory):  # read through when it was given
        return
    place = locate(task)
    what = json.dumps([place.name, task_identity(task)["source"]])
    name = f"decoded/{hashlib.sha256(what.encode()).hexdigest()[:16]}"
    if is_noted(name):
        return
    for part in place.parts:
        for found in digests(pictures(task, place, part)):
            if isinstance(found, str):
                raise ValueError(found)
    note(name, place.name)
