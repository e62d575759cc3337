"""How are pictures read that somebody has in Python, as tensors or as a torch Dataset of images and labels?"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ...identity import DIGITS, fields_of
from ...progress import Progress
from ...tasks import Listing, Place, Source, Task
from ..load import check_labels
from ..pictures import in_bytes

IMAGE = "a PIL image or a tensor of bytes (uint8, 0 to 255) [3, h, w] or [1, h, w]"


class Items(Sequence):
    """The images of a Dataset of pairs, looked up when they are asked for."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Image.Image | Tensor:
        return in_three_channels(self.dataset[index][0])


@dataclass(frozen=True)
class InMemory(Source):
    """Images and labels that were given in Python, by part (`train`, and `val` and `test` where they were given).

    Images are bytes [n, 3, h, w], or a sequence of PIL images and arrays. Two are equal if their digests are.
    """

    digest: str
    parts: dict[str, Listing] = field(compare=False, repr=False)
    version = 1

    def locate(self, task: Task) -> Place:
        return Place("memory", tuple(self.parts), self.parts.__getitem__, sound=True)

    def identity(self, task: Task, place: Place) -> dict:
        return fields_of(self, "parts")


def in_memory(name: str, classes: int, parts: dict[str, object]) -> InMemory:
    """A source of pictures of parts (`train`, `val`, `test`): each (images, labels) or a Dataset of pairs.

    Images are bytes [n, 3, h, w] or [n, 1, h, w], labels whole numbers from 0 [n]; an item of a Dataset is a PIL image
    or a tensor of bytes, and a label. A Dataset is read through once, so that what is wrong with it is found here.
    Raises TypeError for other types, ValueError for labels outside the classes, for images and labels of different
    length, for a part without images and for a Dataset that gives another image each time.
    """
    digest, read = hashlib.sha256(), {}
    for part, given in parts.items():
        title = f"{part} of {name}"
        read[part] = from_dataset(title, given, digest) if isinstance(given, Dataset) else tensors(title, given, digest)
        check_labels(title, read[part][1], classes)
        digest.update(f"{part} {list(read[part][1])}".encode())
    return InMemory(digest.hexdigest()[:DIGITS], read)


def tensors(title: str, given: object, digest: "hashlib._Hash | None" = None) -> Listing:
    """Images in three channels, and labels; digest: takes in the images."""
    if not (isinstance(given, tuple | list) and len(given) == 2):
        raise TypeError(f"{title} must be (images, labels) or a torch Dataset, not {type(given).__name__}")
    images, labels = given
    if not isinstance(images, Tensor) or images.dtype != torch.uint8:
        what = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"images of {title} must be a tensor of bytes (uint8, 0 to 255), not {what}")
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape[2:]:
        raise ValueError(f"images of {title} must have the shape [n, 3, h, w] or [n, 1, h, w], not {[*images.shape]}")
    try:
        labels = torch.as_tensor(labels, dtype=None if len(labels) else torch.long)
    except (OverflowError, RuntimeError, TypeError, ValueError):
        raise TypeError(f"labels of {title} must be whole numbers [n], not {type(labels).__name__}") from None
    if labels.dtype.is_floating_point or labels.dtype.is_complex or labels.dtype == torch.bool or labels.ndim != 1:
        raise TypeError(f"labels of {title} must be whole numbers [n], not {labels.dtype} {[*labels.shape]}")
    if len(images) != len(labels):
        raise ValueError(f"{title} has {len(images)} images and {len(labels)} labels")
    images = images.cpu().expand(-1, 3, -1, -1).contiguous()
    if digest is not None:
        digest.update(str(images.shape).encode() + images.numpy().tobytes())
    return images, labels.long().tolist()


def from_dataset(title: str, dataset: Dataset, digest: "hashlib._Hash | None" = None) -> Listing:
    """The same of a Dataset, whose images are looked up when they are asked for."""
    if not hasattr(dataset, "__len__"):
        raise TypeError(f"{title} must be a Dataset with a length, whose items are looked up by number")
    images, labels = Items(dataset), []
    progress = Progress(f"reading {title}", len(images))
    for index in range(len(images)):
        pair = dataset[index]
        if not (isinstance(pair, tuple | list) and len(pair) == 2):
            raise TypeError(f"item {index} of {title} must be (image, label), not {type(pair).__name__}")
        image, label = pair
        if not is_image(image):
            what = image.dtype if isinstance(image, Tensor) else type(image).__name__
            raise TypeError(f"image {index} of {title} must be {IMAGE}, not {what}: leave out ToTensor and Normalize")
        labels.append(whole_number(f"label {index} of {title}", label))
        if digest is not None:
            digest.update(pixels(image))
        progress.advance(1)
    progress.close()
    if labels and pixels(dataset[0][0]) != pixels(dataset[0][0]):
        raise ValueError(f"{title} gives another image each time: leave out random transformations")
    return images, labels


def whole_number(what: str, label: object) -> int:
    if isinstance(label, Tensor | np.ndarray) and label.ndim:
        raise TypeError(
            f"{what} must be a whole number, not {type(label).__name__} {[*label.shape]}: the number of the class"
        )
    number = label.item() if isinstance(label, Tensor | np.ndarray | np.generic) else label
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{what} must be a whole number, not {number!r}")
    return number


def is_image(image: object) -> bool:
    tensor = isinstance(image, Tensor) and image.dtype == torch.uint8 and image.ndim == 3 and image.shape[0] in (1, 3)
    return tensor or isinstance(image, Image.Image)


def in_three_channels(image: Image.Image | Tensor) -> Image.Image | Tensor:
    return image.cpu().expand(3, -1, -1) if isinstance(image, Tensor) else image


def pixels(image: Image.Image | Tensor) -> bytes:
    """Shape and values as they are used: in three channels."""
    array = in_three_channels(image).numpy() if isinstance(image, Tensor) else np.asarray(in_bytes(image))
    return f"{array.shape}".encode() + array.tobytes()
