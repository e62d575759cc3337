"""How does an encoded picture become bytes of the model's size, and a million of them in time?

Pictures are decoded when they are asked for, and many of them ahead of time, by worker processes.
"""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from ..progress import Progress

Batch = TypeVar("Batch")

VERSION = 1  # of what is made of a picture: bytes, size, crops
MOST_WORKERS = 16
SIXTEEN_BITS = ("PNG", "PPM")  # formats that PIL reads as 32 bits, though they hold 16
BITS_PER_SAMPLE = 258  # TIFF's tag
CHUNK = 512  # pictures that are decoded together where the order is that of the data set


class Pictures(Sequence):
    """Encoded pictures; `pictures[rows]` are bytes [b, 3, size, size] by CLIP's resizing and central crop.

    An item of `sources` is the path of an image file, its bytes, an array of bytes [h, w] or [h, w, 3], a PIL image, or
    a tensor of bytes [3, h, w].
    `title` says where they are from. A picture that cannot be decoded is a ValueError that names it.
    """

    def __init__(self, title: str, sources: Sequence | Tensor, size: int):
        self.title, self.sources, self.size = title, sources, size

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, rows: Sequence[int] | slice) -> UInt8[Tensor, "b 3 s s"]:
        rows = range(len(self))[rows] if isinstance(rows, slice) else rows
        images = [transforms.pil_to_tensor(resized(self.picture(int(i)), self.size)) for i in rows]
        return torch.stack(images) if images else torch.empty(0, 3, self.size, self.size, dtype=torch.uint8)

    def subset(self, rows: Sequence[int]) -> "Pictures":
        """Those pictures, in that order."""
        return Pictures(self.title, Chosen(self.sources, rows), self.size)

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

    def __init__(self, items: Sequence | Tensor, indices: Sequence[int]):
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


def in_chunks(pictures: Pictures, make: Callable[[range], Batch]) -> Iterator[tuple[slice, Batch]]:
    """Rows and make(rows), CHUNK by CHUNK, all in order; by worker processes."""
    chunks = [range(len(pictures))[start : start + CHUNK] for start in range(0, len(pictures), CHUNK)]
    progress = Progress(pictures.title, len(pictures))
    for rows, made in zip(chunks, by_workers(lambda k: make(chunks[k]), range(len(chunks))), strict=True):
        yield slice(rows.start, rows.stop), made
        progress.advance(len(rows))
    progress.close()


def made_ahead(make: Callable[[int], Batch], numbers: Sequence[int], *splits: object) -> Iterator[Batch]:
    """make(number) for each number, in order; by worker processes if one of the splits has pictures to decode."""
    decoding = any(isinstance(split.pictures, Pictures) for split in splits)
    return by_workers(make, numbers) if decoding else map(make, numbers)


def by_workers(make: Callable[[int], Batch], numbers: Sequence[int]) -> Iterator[Batch]:
    """A single number is one worker's work at most: it is made here."""
    if len(numbers) == 1:
        yield make(numbers[0])
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
