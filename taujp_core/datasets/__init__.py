"""Images and labels of a task: train, validation and test splits.

The tasks of `mini` are shipped or rendered (`rendered`). Others are read from folders (`folders`) or from copies of
Hugging Face repositories (`hub`) below TAUJP_DATA, and decoded while they are used (`pictures`).
`python -m taujp_core.datasets` checks and downloads them.
"""

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from ..optimisation import epoch_order
from ..suites import Task, one_of
from .pictures import Pictures
from .rendered import load_images
from .sources import find

SPLITS = ("train", "validation", "test")
VALIDATION_SHARE, VALIDATION_MOST = 0.1, 5000


def load_split(task: Task, split: str) -> TensorDataset | Pictures:
    """`split[indices]` gives images, uint8 [n, 3, s, s], and labels, int64 [n]; `split.tensors` all of them.

    Validation is 10 % of the published training images, at most 5000, drawn with seed 0; train is the rest.
    Raises FileNotFoundError that tells how to get a data set that is not there.
    """
    one_of("split", split, SPLITS)
    published = "test" if split == "test" else "train"
    data = find(task, published) if task.hub else TensorDataset(*load_images(task, published))
    if split == "test":
        return data
    train, validation = held_out(len(data))
    return subset(data, validation if split == "validation" else train)


def subset(split: TensorDataset | Pictures, indices: Tensor) -> TensorDataset | Pictures:
    """Those images and labels, in that order."""
    return split.subset(indices) if isinstance(split, Pictures) else TensorDataset(*split[indices])


def reservoir(split: TensorDataset | Pictures, images: int) -> TensorDataset | Pictures:
    """What is kept of a past task: at most so many of its images, drawn once and for all (with seed 1)."""
    return subset(split, torch.from_numpy(epoch_order(len(split), 1)[:images]))


def held_out(count: int) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the validation images among `count` published training images."""
    order = torch.from_numpy(epoch_order(count, 0))
    validation = validation_images(count)
    return order[validation:], order[:validation]


def validation_images(count: int) -> int:
    return min(int(VALIDATION_SHARE * count), VALIDATION_MOST)
