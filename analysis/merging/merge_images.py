"""Which unlabelled images does a merge look at? One's own, a folder a task, or the suite's training images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from taujp_core.checks import one_of
from taujp_core.datasets import load_images, load_split
from taujp_core.models import Clip
from taujp_core.suites import Suite

CONTROL = "control"  # the folder of what must not be unlearnt


def pictures_of(
    folder: Path | None, suite: Suite, clip: Clip, tasks: Sequence[str], count: int
) -> tuple[dict[str, UInt8[Tensor, "_ 3 h w"]], UInt8[Tensor, "n 3 h w"] | None]:
    """At most `count` images of each task, by its name, and of the control; None if the folder has none.

    folder: holds a folder of pictures for each task; None: training images of the suite and its control. Raises
    FileNotFoundError for a task without a folder, ValueError for a folder without a task, for one without pictures and
    for an unknown task.
    """
    if folder is None:
        for task in tasks:
            one_of("task without a folder of images", task, suite.tasks)
        found = {task: load_split(suite.task(task), "train").first(count).images for task in tasks}
        return found, load_split(suite.control, "train").first(count).images
    check_folders(folder, tasks)
    found = {task: load_images(folder / task, clip.image_size, count) for task in tasks}
    control = load_images(folder / CONTROL, clip.image_size, count) if (folder / CONTROL).is_dir() else None
    return found, control


def check_folders(folder: Path, tasks: Sequence[str]) -> None:
    """Raises ValueError or FileNotFoundError unless each task has a folder here, and each folder a task."""
    if CONTROL in tasks:
        raise ValueError(f"a checkpoint is called {CONTROL}, which is the name of the pictures of no task: rename it")
    for task in tasks:
        if not (folder / task).is_dir():
            raise FileNotFoundError(f"the checkpoint {task} has no folder of pictures: {folder / task} does not exist")
    there = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    alone = [name for name in there if name not in (*tasks, CONTROL)]
    if alone:
        raise ValueError(
            f"{folder} has pictures of {', '.join(alone)}, and there is no checkpoint of that name, but of "
            f"{', '.join(tasks)}: name checkpoints and folders alike, or move away what shall not be merged"
        )


def set_apart(
    pictures: Mapping[str, UInt8[Tensor, "_ 3 h w"]], most: int
) -> tuple[dict[str, UInt8[Tensor, "_ 3 h w"]], dict[str, UInt8[Tensor, "_ 3 h w"]]]:
    """Of each task the images to merge on, and its last ones, at most `most` and at most half, to judge by.

    A single image does both.
    """
    last = {task: min(most, len(own) // 2) for task, own in pictures.items()}
    solved = {task: own[: len(own) - last[task]] for task, own in pictures.items()}
    return solved, {task: own[len(own) - last[task] :] if last[task] else own for task, own in pictures.items()}
