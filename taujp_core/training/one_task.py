"""How is one task trained without a suite? A data set, others' pictures, and a CLIP; the rest is the recipe."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..datasets.user_inputs import by_name, name_of, unlabelled_task
from ..files import from_home
from ..models import Clip
from ..suites import own_suite, own_task
from ..task_vectors import TaskVector
from ..tasks import Task
from .config import run_config
from .finetune import finetune
from .run_store import Run


def train(
    clip: Clip,
    dataset: Task | str | Path,
    others: object = None,
    method: str = "taujp-efficient",
    *,
    store: Path | str = "runs",
    seed: int = 0,
    start: TaskVector | None = None,
    **changes: Any,
) -> Run:
    """Train a task vector of one data set, with a penalty on what it does to other pictures.

    Args:
        clip: the pre-trained model, whose θ₀ stays as it is.
        dataset: class folders (`PATH/train/CLASS/picture`, or `PATH/CLASS/picture`), or a task of `own_task` or of a suite.
        others: pictures that the vector shall leave alone, without labels: a mapping of names to folders, tensors or
            tasks; a folder that holds a folder for each; or tasks. None, for a method without a penalty.
        method: one of `taujp.METHODS`.
        store: folder of finished runs. A repeated call loads the finished run, or resumes the stopped run.
        seed: of the order of the pictures.
        start: a finished vector that the training goes on from; zero without one.
        changes: to the recipe, such as `steps`, `batch_size`, `peak_lr` and `penalty_weight` (λ), and parameters of the
            method. By default the recipe of `mini`, and for other CLIPs that of the paper with 2000 steps.

    Returns:
        The run: `run.vector` is the task vector, `run.record` holds losses, accuracies, seconds and versions.

    Raises:
        ValueError or TypeError, in a sentence, for whatever is not accepted, FileNotFoundError for data that are not there,
        both before anything is trained; FloatingPointError if the loss stops being finite.

    >>> train(load_clip("mini"), load_suite("mini").task("street"), method="linear", steps=2).vector.task
    'street'

    Source: Yoshida et al., ICLR 2025, eq. 6 (strict) and sec. 4 (efficient), for the penalised methods.
    """
    task = dataset if isinstance(dataset, Task) else task_of_folder(dataset)
    given: Mapping = {} if others is None else by_name("others", others)
    rest = [unlabelled_task(name, one, clip.image_size) for name, one in given.items() if name != task.name]
    suite = own_suite(clip, [task, *rest])
    config = run_config(suite, task.name, method, seed, start=start.digest() if start else "", **changes)
    return finetune(config, store, clip, start=start)


def task_of_folder(folder: Path | str) -> Task:
    """Of class folders, whose names are those of the classes. Raises what `own_task` does."""
    path = from_home(folder, "dataset").absolute()
    return own_task(name_of(path), folder=str(path))
