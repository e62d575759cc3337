"""Which pictures carry a nuisance? Grey ones, tinted by a colour that goes with the class more or less often.

Arjovsky et al. 2019's Colored MNIST for any number of classes: labels are noisy, and the colour agrees with the noisy
label more often than the shape does, in each training environment to another extent. In the flipped environment it is the
colour of another class instead. One draw for each image, always the same.
"""

import colorsys
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from taujp_core.datasets import load_split
from taujp_core.suites import Suite, own_suite, own_task
from taujp_core.tasks import Task

NOISE = 0.25  # share of labels that are another class
FLIPPED = 0.9  # share of the flipped environment's images that have the next class's colour


def colours(classes: int) -> Float[Tensor, "classes 3"]:
    """A hue for each class."""
    return torch.tensor([colorsys.hsv_to_rgb(k / classes, 0.85, 1.0) for k in range(classes)])


def tinted(images: UInt8[Tensor, "n 3 h w"], shown: Int[Tensor, "n"], classes: int) -> UInt8[Tensor, "n 3 h w"]:
    """Each image in the colour of class `shown`: black stays black."""
    return (images * colours(classes)[shown][:, :, None, None]).round().to(torch.uint8)


def drawn(
    labels: Int[Tensor, "n"], classes: int, agreement: float, seed: Sequence[int], shift: int = 0
) -> tuple[Int[Tensor, "n"], Int[Tensor, "n"]]:
    """Noisy labels, and the class whose colour is shown: with probability `agreement` the noisy label + shift, otherwise
    any other one."""
    random = np.random.default_rng(seed)

    def others(of: np.ndarray) -> np.ndarray:
        return (of + random.integers(1, classes, len(of))) % classes

    truth = labels.numpy()
    noisy = np.where(random.random(len(truth)) < NOISE, others(truth), truth)
    told = (noisy + shift) % classes
    shown = np.where(random.random(len(truth)) < agreement, told, others(told))
    return torch.from_numpy(noisy), torch.from_numpy(shown)


def environment(
    images: UInt8[Tensor, "n 3 h w"],
    labels: Int[Tensor, "n"],
    classes: int,
    agreement: float,
    seed: Sequence[int],
    shift: int = 0,
) -> tuple[UInt8[Tensor, "n 3 h w"], Int[Tensor, "n"]]:
    """The images tinted, and their noisy labels."""
    noisy, shown = drawn(labels, classes, agreement, seed, shift)
    return tinted(images, shown, classes), noisy


def coloured_suite(suite: Suite, tasks: Sequence[str], agreements: Sequence[float]) -> Suite:
    """For each task its training images in equal parts, one an environment e:

    NAME-e tinted with its agreement; NAME-grey-e as they were, with the same noisy labels, which is what the oracle sees;
    NAME-shuffled-e the tinted images dealt anew, so that environments do not differ; NAME-pooled all tinted ones. And the
    suite's own tasks. Raises ValueError for fewer than two agreements or for one outside 0 to 1.
    """
    if len(agreements) < 2 or not all(0 <= agreement <= 1 for agreement in agreements):
        raise ValueError(f"agreements must be at least two shares from 0 to 1, one an environment, not {agreements}")
    made = [one for name in tasks for one in environments_of(suite.task(name), agreements)]
    every = [*made, *suite.tasks.values()]
    return own_suite(suite.model, every, suite.control, suite.pretrained, suite.recipe, f"{suite.name}-coloured")


def environments_of(task: Task, agreements: Sequence[float]) -> list[Task]:
    images, labels = load_split(task, "train").tensors
    random = np.random.default_rng([len(agreements)])
    tinted_parts, found = [], []

    def add(name: str, pictures: Tensor, theirs: Tensor) -> None:
        found.append(own_task(f"{task.name}-{name}", task.classes, task.templates, train=(pictures, theirs)))

    for e, (agreement, rows) in enumerate(
        zip(agreements, torch.arange(len(labels)).chunk(len(agreements)), strict=True)
    ):
        pictures, noisy = environment(images[rows], labels[rows], len(task.classes), agreement, (0, e))
        tinted_parts.append((pictures, noisy))
        add(str(e), pictures, noisy)
        add(f"grey-{e}", images[rows], noisy)
    pooled = [torch.cat(parts) for parts in zip(*tinted_parts, strict=True)]
    for e, rows in enumerate(torch.from_numpy(random.permutation(len(labels))).chunk(len(agreements))):
        add(f"shuffled-{e}", *(part[rows] for part in pooled))
    add("pooled", *pooled)
    return found
