"""Which images does a step see? The task's, and for a penalised method those of other data sets."""

import torch
from torch import Tensor
from torch.utils.data import Dataset

from .config import RunConfig
from .datasets import load_split, reservoir
from .datasets.pictures import training_batch
from .methods import Batch, find_method
from .optimisation import batch_indices


def step_batches(
    config: RunConfig, train: Dataset, others: list[Dataset], step: int
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """What a step needs, by its number alone: images, labels, and this step's penalised images.

    Those are a batch of every other data set, or of one, in turn, as the method wants.
    """
    indices = batch_indices(len(train), config.batch_size, step, config.seed, 0)
    images, labels = training_batch(train, indices, config.least_crop, (config.seed, 0, step))
    if not others or step < config.penalty_start:
        return images, labels, []
    if find_method(config.method).others == "all":
        chosen, visit = range(len(others)), step
    else:
        chosen, visit = [step % len(others)], step // len(others)
    penalised = []
    for k in chosen:
        indices = batch_indices(len(others[k]), config.penalty_batch_size, visit, config.seed, 1, k)
        penalised.append(training_batch(others[k], indices, config.least_crop, (config.seed, 1, k, visit))[0])
    return images, labels, penalised


def penalised_splits(config: RunConfig) -> list[Dataset]:
    """The data sets that the penalty sees; of tasks no more than the reservoir, of the control all."""
    splits = []
    for name in config.penalty_tasks:
        split = load_split(config.suite.task(name), "train")
        kept = config.penalty_reservoir and name != config.suite.control.name
        splits.append(reservoir(split, config.penalty_reservoir) if kept else split)
    return splits


def penalty_images(config: RunConfig) -> int:
    """Penalised images a step."""
    sets = {"none": 0, "in turn": 1, "all": len(config.penalty_tasks)}[find_method(config.method).others]
    return sets * config.penalty_batch_size


def parts_of(images: Tensor, labels: Tensor, others: list[Tensor], parts: int) -> list[Batch]:
    """A step's images in equal parts, each with its part of every other data set's."""
    cut = [torch.cat(chunks) for chunks in zip(*(batch.chunk(parts) for batch in others), strict=True)]
    return [
        Batch(*part) for part in zip(images.chunk(parts), labels.chunk(parts), cut or [images[:0]] * parts, strict=True)
    ]
