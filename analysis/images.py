"""Which images is something measured on, or solved on? The first ones of a split, always the same."""

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from taujp_core.datasets import load_split, subset
from taujp_core.datasets.pictures import Pictures
from taujp_core.optimisation import epoch_order
from taujp_core.suites import Suite


def first_images(suite: Suite, task: str, split: str, count: int) -> TensorDataset | Pictures:
    """The first `count` of a split, all for 0.

    Training and validation images are in random order already, test pictures as published, often by class.
    """
    images = load_split(suite.task(task), split)
    if not count:
        return images
    if split == "test" and isinstance(images, Pictures):
        images = subset(images, torch.from_numpy(epoch_order(len(images), 0)[:count]))
    return TensorDataset(*images[:count])


def unlabelled(suite: Suite, task: str, count: int) -> Tensor:
    """Training images: the edits never see what they are measured on."""
    return load_split(suite.task(task), "train")[:count][0]
