"""Which images does a step see? The task's, and as the method wants those of other data sets."""

import torch
from torch import Tensor

from ..datasets import Split, load_split, reservoir
from ..methods import Batch, find_method
from ..optimisation import batch_indices
from .config import RunConfig


def step_batches(
    config: RunConfig, train: Split, others: list[Split], step: int
) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
    """What a step needs, by its number alone: images, labels, and images and labels of other data sets.

    Those are a batch of every other data set, or of one, in turn, as the method wants; a penalty has none before its start, and
    none between two of its steps.
    """
    indices = batch_indices(len(train), config.batch_size, step, config.seed, 0)
    images, labels = train.training_batch(indices, config.least_crop, (config.seed, 0, step))
    wanted = find_method(config.method).others
    if not others or not sees_others(config, step):
        return images, labels, []
    turn = step // penalty_every(config)
    if wanted == "in turn":
        chosen, visit = [turn % len(others)], turn // len(others)
    else:
        chosen, visit = range(len(others)), turn
    batches = []
    for k in chosen:
        indices = batch_indices(len(others[k]), config.penalty_batch_size, visit, config.seed, 1, k)
        batches.append(others[k].training_batch(indices, config.least_crop, (config.seed, 1, k, visit)))
    return images, labels, batches


def penalty_every(config: RunConfig) -> int:
    """k, where each k-th step has a penalty."""
    return int(config.options.get("penalty_every", 1))


def sees_others(config: RunConfig, step: int) -> bool:
    """Whether the step of this number sees images of other data sets."""
    wanted = find_method(config.method).others
    return wanted not in ("none", "before") and step >= config.penalty_start and step % penalty_every(config) == 0


def images_seen(config: RunConfig) -> tuple[int, int]:
    """By all steps together, each as often as it is seen: the task's own, and those of other data sets."""
    with_others = sum(sees_others(config, step) for step in range(config.steps))
    return config.steps * config.batch_size, with_others * penalty_images(config)


def penalised_splits(config: RunConfig) -> list[Split]:
    """The data sets that the penalty sees; of tasks no more than the reservoir, of control and auxiliary pictures all."""
    splits = []
    for name in config.penalty_tasks:
        split = load_split(config.suite.task(name), "train")
        kept = config.penalty_reservoir and name in config.suite.tasks
        splits.append(reservoir(split, config.penalty_reservoir) if kept else split)
    return splits


def penalty_images(config: RunConfig) -> int:
    """Images of other data sets, of a step that sees some."""
    every = len(config.penalty_tasks)
    sets = {"none": 0, "before": 0, "in turn": 1, "all": every, "environments": every}[
        find_method(config.method).others
    ]
    return sets * config.penalty_batch_size


def parts_of(
    images: Tensor, labels: Tensor, others: list[tuple[Tensor, Tensor]], config: RunConfig, step: int
) -> list[Batch]:
    """A step's images in equal parts, each with its part of every other data set's; environments are not cut."""
    if find_method(config.method).others == "environments":
        return [Batch(images, labels, images[:0], tuple(others), step)]
    parts = config.accumulation
    cut = [torch.cat(chunks) for chunks in zip(*(batch.chunk(parts) for batch, _ in others), strict=True)]
    return [
        Batch(*part, step=step)
        for part in zip(images.chunk(parts), labels.chunk(parts), cut or [images[:0]] * parts, strict=True)
    ]
