"""How do encoded pictures become batches in time?

Pictures that are decoded when they are asked for, and batches of them made ahead by worker processes.

A split is a `TensorDataset` of images that are in memory, or `Pictures`. Both know their length, give
`split[indices]` (images as bytes [b, 3, s, s], labels [b]), and hold `split.tensors`, all of them.
"""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms import functional as transforms

from ..progress import Progress

Batch = TypeVar("Batch")

VERSION = 1  # of what is made of a picture: bytes, size, crops
MOST_WORKERS = 16
SIXTEEN_BITS = ("PNG", "PPM")  # formats that PIL reads as 32 bits, though they hold 16
BITS_PER_SAMPLE = 258  # TIFF's tag
CHUNK = 512  # pictures that are decoded together where the order is that of the data set


class Pictures(Dataset):
    """Encoded pictures with labels [n]; as bytes [3, size, size] by CLIP's resizing and central crop.

    An item of `sources` is the path of an image file, its bytes, an array of bytes [h, w] or [h, w, 3], a PIL image, or
    a tensor of bytes [3, h, w].
    `title` says where they are from. A picture that cannot be decoded is a ValueError that names it.
    """

    def __init__(self, title: str, sources: Sequence | Tensor, labels: Int[Tensor, "n"], size: int):
        self.title, self.sources, self.labels, self.size = title, sources, labels, size

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: Sequence[int] | slice) -> tuple[UInt8[Tensor, "b 3 s s"], Int[Tensor, "b"]]:
        if isinstance(indices, slice):
            indices = range(len(self))[indices]
        images = [transforms.pil_to_tensor(resized(self.picture(i), self.size)) for i in indices]
        empty = torch.empty(0, 3, self.size, self.size, dtype=torch.uint8)
        return torch.stack(images) if images else empty, self.labels[list(indices)]

    @property
    def tensors(self) -> tuple[UInt8[Tensor, "n 3 s s"], Int[Tensor, "n"]]:
        """All images and labels; every picture is decoded, by all processors."""
        images = torch.empty(len(self), 3, self.size, self.size, dtype=torch.uint8)
        done = 0
        for part, _ in in_order(self):
            images[done : done + len(part)] = part
            done += len(part)
        return images, self.labels

    def subset(self, indices: Int[Tensor, "m"]) -> "Pictures":
        """Those pictures, in that order."""
        sources = Chosen(self.sources, indices.tolist())
        return Pictures(self.title, sources, self.labels[indices], self.size)

    def picture(self, index: int) -> Image.Image:
        """As RGB, in its own size."""
        source = self.sources[index]
        if source is None:
            raise ValueError(f"{self.name(index)} is missing: its place in the table is empty")
        try:
            if isinstance(source, Tensor):
                return in_bytes(transforms.to_pil_image(source))
            if isinstance(source, Image.Image):
                return in_bytes(source)
            if isinstance(source, np.ndarray):
                return in_bytes(Image.fromarray(source))
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
                return in_bytes(image)
        except FileNotFoundError:
            raise ValueError(f"{source} does not exist") from None
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"{self.name(index)} cannot be decoded: {error}") from None

    def name(self, index: int) -> str:
        """The file, or what tells where the picture stands in the data set, whatever was chosen of it."""
        source, sources = self.sources[index], self.sources
        while isinstance(sources, Chosen):
            index, sources = sources.indices[index], sources.items
        return str(source) if isinstance(source, Path) else f"picture {index} of {self.title}"


class Chosen(Sequence):
    """Some items of a sequence that are looked up when they are asked for."""

    def __init__(self, items: Sequence | Tensor, indices: list[int]):
        self.items, self.indices = items, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> object:
        return self.items[self.indices[index]]


def in_bytes(image: Image.Image) -> Image.Image:
    """As RGB of 8 bits a channel. Grey of more bits is scaled to them: PIL's own conversion cuts it off at 255.

    Orientation in EXIF is not applied, as open_clip does not. Raises ValueError for numbers whose range no format
    tells: 32 bits, and floating point.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in SIXTEEN_BITS):
        bits = image.tag_v2.get(BITS_PER_SAMPLE, (16,))[0] if image.format == "TIFF" else 16
        grey = np.asarray(image).astype(np.float64) * (255 / (2**bits - 1))
        return Image.fromarray(grey.round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        kind = "whole numbers of 32 bits" if image.mode == "I" else "floating-point numbers"
        raise ValueError(f"it holds {kind}, and nothing says which is white: save it with 8 or 16 bits")
    return image.convert("RGB")


def resized(picture: Image.Image, size: int) -> Image.Image:
    """The shorter side brought to `size` by bicubic interpolation, then the centre: what CLIP was trained with."""
    return transforms.center_crop(transforms.resize(picture, size, InterpolationMode.BICUBIC), size)


def training_batch(
    split: Dataset, indices: Sequence[int], least_crop: float, seed: Sequence[int]
) -> tuple[UInt8[Tensor, "b 3 s s"], Int[Tensor, "b"]]:
    """Images and labels; each image a random part of its picture, of at least the share `least_crop` of its area.

    `least_crop` 1 leaves the pictures as they are. open_clip's transformation for training has 0.9.
    """
    if least_crop == 1:
        return split[indices]
    if isinstance(split, Pictures):
        size, labels, picture = split.size, split.labels, split.picture
    else:
        images, labels = split.tensors
        size, picture = images.shape[-1], lambda i: transforms.to_pil_image(images[i])
    crops = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        for i in indices:
            whole = picture(i)
            box = RandomResizedCrop.get_params(whole, scale=[least_crop, 1.0], ratio=[3 / 4, 4 / 3])
            crop = transforms.resized_crop(whole, *box, [size, size], InterpolationMode.BICUBIC)
            crops.append(transforms.pil_to_tensor(crop))
    return torch.stack(crops), labels[list(indices)]


def in_order(split: Dataset) -> Iterator[tuple[Tensor, Tensor]]:
    """All images and labels, in pieces: those in memory at once, others decoded ahead, CHUNK by CHUNK."""
    if isinstance(split, TensorDataset):
        yield split.tensors
        return
    starts = range(0, len(split), CHUNK)
    progress = Progress(split.title, len(split))
    for images, labels in made_ahead(lambda k: split[starts[k] : starts[k] + CHUNK], range(len(starts)), split):
        yield images, labels
        progress.advance(len(labels))
    progress.close()


def made_ahead(make: Callable[[int], Batch], numbers: Sequence[int], *splits: Dataset) -> Iterator[Batch]:
    """make(number) for each number, in order; by worker processes if one of the splits has pictures to decode.

    A single number is one worker's work at most: it is made here.
    """
    decoding = any(isinstance(split, Pictures) for split in splits)
    if not decoding or len(numbers) == 1:
        yield from map(make, numbers)
        return
    loader = DataLoader(
        Made(make),
        batch_size=None,
        sampler=numbers,
        num_workers=min(MOST_WORKERS, os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()),
        multiprocessing_context="fork",
        pin_memory=torch.cuda.is_available(),
    )
    for made in loader:
        if isinstance(made, ValueError):
            raise made
        yield made


class Made(Dataset):
    """What `make` makes of a number; its ValueError is handed on, for a worker process would wrap it in a traceback."""

    def __init__(self, make: Callable[[int], object]):
        self.make = make

    def __getitem__(self, number: int) -> object:
        try:
            return self.make(number)
        except ValueError as error:
            return error
