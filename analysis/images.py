"""Which images is something measured on, or solved on? The first ones of a split, which are a fair sample of it."""

from torch import Tensor
from torch.utils.data import TensorDataset

from taujp_core.datasets import load_split
from taujp_core.datasets.pictures import Pictures
from taujp_core.suites import Suite


def first_images(suite: Suite, task: str, split: str, count: int) -> TensorDataset | Pictures:
    """The first `count` of a split, all for 0: always the same, and every class in its proportion (`load_split`)."""
    images = load_split(suite.task(task), split)
    return TensorDataset(*images[:count]) if count else images


def unlabelled(suite: Suite, task: str, count: int) -> Tensor:
    """Training images: the edits never see what they are measured on."""
    return load_split(suite.task(task), "train")[:count][0]
