"""Which unlabelled images does a merge look at? One's own, a folder a task, or the suite's training images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from taujp_core.checks import one_of
from taujp_core.datasets import load_split
from taujp_core.datasets.user_inputs import by_name, images_of
from taujp_core.models import Clip
from taujp_core.suites import Suite

CONTROL = "control"  # the folder of what must not be unlearnt


def pictures_of(
    folder: Path | None, suite: Suite, clip: Clip, tasks: Sequence[str], count: int
) -> tuple[dict[str, UInt8[Tensor, "_ 3 h w"]], UInt8[Tensor, "n 3 h w"] | None]:
    """At most `count` images of each task, by its name, and of the control; None if the folder has none.

    folder: holds a folder of pictures for each task, and one named `control` if there is a control; None: training images of
    the suite and its control. Raises FileNotFoundError for a folder that is not there, what `pictures_given` does, and
    ValueError for an unknown task.
    """
    if folder is None:
        for task in tasks:
            one_of("task without a folder of images", task, suite.tasks)
        found = {task: load_split(suite.task(task), "train").first(count).images for task in tasks}
        return found, load_split(suite.needed_control(), "train").first(count).images
    found = by_name("images", folder)
    control = found.pop(CONTROL, None)
    return pictures_given(found, control, clip, tasks, count)


def pictures_given(
    images: Mapping[str, object], control: object, clip: Clip, tasks: Sequence[str], count: int
) -> tuple[dict[str, UInt8[Tensor, "_ 3 h w"]], UInt8[Tensor, "n 3 h w"] | None]:
    """The same of pictures in any form (`taujp_core.datasets.user_inputs`), by the tasks' names; control None: there is none.

    Raises ValueError for a task without pictures and for pictures without a task, and what reading them raises.
    """
    if CONTROL in tasks:
        raise ValueError(f"a checkpoint is called {CONTROL}, which is the name of the pictures of no task: rename it")
    for task in tasks:
        if task not in images:
            raise ValueError(f"the checkpoint {task} has no pictures: there are {', '.join(images) or 'none'}")
    if alone := [name for name in images if name not in tasks]:
        raise ValueError(
            f"there are pictures of {', '.join(alone)} and no checkpoint of that name, but of {', '.join(tasks)}: give both "
            "the same name, or leave out what shall not be merged"
        )
    found = {task: images_of(f"images of {task}", images[task], clip.image_size, count) for task in tasks}
    return found, None if control is None else images_of("images of the control", control, clip.image_size, count)


def set_apart(
    pictures: Mapping[str, UInt8[Tensor, "_ 3 h w"]], most: int
) -> tuple[dict[str, UInt8[Tensor, "_ 3 h w"]], dict[str, UInt8[Tensor, "_ 3 h w"]]]:
    """Of each task the images to merge on, and its last ones, at most `most` and at most half, to judge by.

    A single image does both.
    """
    last = {task: min(most, len(own) // 2) for task, own in pictures.items()}
    solved = {task: own[: len(own) - last[task]] for task, own in pictures.items()}
    return solved, {task: own[len(own) - last[task] :] if last[task] else own for task, own in pictures.items()}
