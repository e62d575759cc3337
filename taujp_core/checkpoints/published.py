"""Which families of fine-tuned CLIPs are published, what is known of them, and how is one loaded?"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from ..checks import one_of
from ..files import from_home
from ..models import Clip
from ..task_vectors import TaskVector
from .hub import is_address, local, look
from .reading import load_checkpoint

TABLE = Path(__file__).with_name("published.yaml")


@dataclass(frozen=True)
class Family:
    """What `published.yaml` says; there stands what the fields are."""

    model: str
    address: str
    source: str
    split: str
    licence: str
    known: str
    tasks: dict[str, str]
    revisions: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    leaked: Sequence[str] = ()

    @property
    def on_the_hub(self) -> bool:
        return is_address(self.address)

    def place(self, task: str, root: Path | str | None = None) -> str:
        """The address of a task's checkpoint on the hub, or its path below `root`."""
        place = self.address.format(self.tasks[task])
        if self.on_the_hub:
            return f"{place}@{self.revisions[task]}" if task in self.revisions else place
        return str(from_home(root or "", "the root of a family") / place)


@cache
def families() -> dict[str, Family]:
    """The published families by name.

    >>> families()["fusion-bench-b32"].place("sun397")
    'hub:tanganke/clip-vit-base-patch32_sun397@4628de7'
    """
    return {name: Family(**said) for name, said in yaml.safe_load(TABLE.read_text(encoding="utf-8")).items()}


def load_family(
    name: str,
    clip: Clip,
    tasks: Sequence[str] = (),
    root: Path | str | None = None,
    without_gone: bool = False,
) -> list[TaskVector]:
    """The task vectors of a published family, named as the suites' tasks, in the order of `tasks`; by default all.

    root: the folder that holds a family which is not on the hub. A checkpoint is gone if its repository, commit or file
    is. One that is gone is refused with the names of all that are, before anything is downloaded or read;
    `without_gone` leaves them out, and a warning names them. Another warning says what is known to be wrong.

    Raises ValueError for an unknown family or task, for another model, for a missing or needless `root`, and for gone
    checkpoints; what `load_checkpoint` raises for the others.

    Source: each family's, in `published.yaml`.
    """
    family = families()[one_of("family", name, families())]
    chosen = [one_of(f"task of {name}", task, family.tasks) for task in tasks or family.tasks]
    if clip.name != family.model:
        raise ValueError(f"{name} is fine-tuned from {family.model}, and this Clip is {clip.name}")
    if family.on_the_hub == (root is not None):
        needs = f"is on the hub ({family.address}): leave out" if root else f"is not on the hub ({family.source}): give"
        raise ValueError(f"{name} {needs} `root`, the folder that its checkpoints lie in")
    kept = there(name, chosen, root, without_gone)
    if wrong := [f"{task}: {family.wrong[task]}" for task in kept if task in family.wrong]:
        warnings.warn(f"known of {name}: {'; '.join(wrong)}", stacklevel=2)
    paths = [local(family.place(task, root)) for task in kept]
    return [load_checkpoint(path, clip, task=task) for task, path in zip(kept, paths, strict=True)]


def there(name: str, tasks: Sequence[str], root: Path | str | None = None, without_gone: bool = False) -> list[str]:
    """The tasks whose checkpoints of this family can be had; nothing is downloaded or read.

    Raises ValueError for gone ones, with the names of all that are, unless they may be left out: then a warning names them.
    """
    family = families()[name]
    gone = {task: reason for task in tasks if (reason := missing(family.place(task, root)))}
    if gone:
        listed = "; ".join(f"{task} ({reason})" for task, reason in gone.items())
        said = f"{len(gone)} of {len(tasks)} checkpoints of {name} are gone: {listed}"
        if not without_gone or len(gone) == len(tasks):
            raise ValueError(said if len(gone) == len(tasks) else f"{said}; `without_gone=True` loads the others")
        warnings.warn(said, stacklevel=3)
    return [task for task in tasks if task not in gone]


def missing(place: str) -> str:
    """Why a checkpoint cannot be had; empty if it can. Raises ConnectionError without a network: nothing is gone then."""
    if not is_address(place):
        return "" if Path(place).exists() else f"{place} does not exist"
    try:
        look(place)
    except (ValueError, PermissionError) as error:
        return str(error)
    return ""
