"""What is a split, and how does whoever takes some of it get a fair sample?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms import functional as transforms

from ..optimisation import epoch_order
from .pictures import Pictures, in_chunks

RESERVOIR_SEED, FAIR_SEED = 1, 3


@dataclass(frozen=True, eq=False)
class Split:
    """Images with labels, `split[rows]` of them, and an order that is known or not.

    pictures: bytes [n, 3, s, s] in memory, or `Pictures`, which are decoded each time they are asked for;
    labels: [n];
    fair: they stand in random order or in `fair_order`, so that the first of them are a fair sample. Of any other order,
    sorted by class for one, nothing is known. Raises ValueError for images and labels of different length.
    """

    pictures: UInt8[Tensor, "n 3 s s"] | Pictures
    labels: Int[Tensor, "n"]
    fair: bool = False

    def __post_init__(self) -> None:
        if len(self.pictures) != len(self.labels):
            raise ValueError(f"a split has {len(self.pictures)} images and {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: int | Sequence[int] | slice) -> tuple[UInt8[Tensor, "*b 3 s s"], Int[Tensor, "*b"]]:
        if isinstance(rows, int):  # as torch's DataLoader asks
            return self.pictures[[rows]][0], self.labels[rows]
        return self.pictures[rows], self.labels[rows if isinstance(rows, slice) else list(rows)]

    def first(self, count: int) -> "Split":
        """A fair sample of so many, always the same; all for 0. Each class has its share of it, whatever the order."""
        if count == 0:
            return self
        order = torch.arange(len(self)) if self.fair else fair_order(self.labels)
        return self.subset(order[:count], fair=True)

    def in_fair_order(self) -> "Split":
        return self if self.fair else self.subset(fair_order(self.labels), fair=True)

    def subset(self, rows: Sequence[int] | Int[Tensor, "m"], fair: bool = False) -> "Split":
        """Those images and labels, in that order; `fair`, if it is a random one."""
        rows = torch.as_tensor(rows, dtype=torch.long)
        pictures = self.pictures
        chosen = pictures.subset(rows.tolist()) if isinstance(pictures, Pictures) else pictures[rows]
        return Split(chosen, self.labels[rows], fair)

    def batches(self) -> Iterator[tuple[UInt8[Tensor, "b 3 s s"], Int[Tensor, "b"]]]:
        """All images and labels, in pieces: those in memory at once, others decoded ahead by all processors."""
        if isinstance(self.pictures, Tensor):
            yield self.pictures, self.labels
        else:
            for rows, images in in_chunks(self.pictures, self.pictures.__getitem__):
                yield images, self.labels[rows]

    @property
    def images(self) -> UInt8[Tensor, "n 3 s s"]:
        """All of them, decoded."""
        if isinstance(self.pictures, Tensor):
            return self.pictures
        images = torch.empty(len(self), 3, self.pictures.size, self.pictures.size, dtype=torch.uint8)
        for rows, part in in_chunks(self.pictures, self.pictures.__getitem__):
            images[rows] = part
        return images

    @property
    def tensors(self) -> tuple[UInt8[Tensor, "n 3 s s"], Int[Tensor, "n"]]:
        return self.images, self.labels

    def decoded(self) -> "Split":
        """In memory, for whoever looks at the images more than once."""
        return replace(self, pictures=self.images)

    def training_batch(
        self, rows: Sequence[int], least_crop: float, seed: Sequence[int]
    ) -> tuple[UInt8[Tensor, "b 3 s s"], Int[Tensor, "b"]]:
        """Images and labels; each image a random part of its picture, of at least the share `least_crop` of its area.

        `least_crop` 1 leaves the pictures as they are. open_clip's transformation for training has 0.9.
        """
        if least_crop == 1:
            return self[rows]
        pictures, crops = self.pictures, []
        size = pictures.size if isinstance(pictures, Pictures) else pictures.shape[-1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
            for i in rows:
                picture = (
                    pictures.picture(i) if isinstance(pictures, Pictures) else transforms.to_pil_image(pictures[i])
                )
                box = RandomResizedCrop.get_params(picture, scale=[least_crop, 1.0], ratio=[3 / 4, 4 / 3])
                crop = transforms.resized_crop(picture, *box, [size, size], InterpolationMode.BICUBIC)
                crops.append(transforms.pil_to_tensor(crop))
        return torch.stack(crops), self.labels[list(rows)]


def fair_order(labels: Int[Tensor, "n"]) -> Int[Tensor, "n"]:
    """Indices in an order of which the first n hold each class in its proportion, as nearly as whole images can.

    Of a class of m images, in random order (seed 3), number j stands where the share (j + ½)/m of all has passed.
    """
    order = torch.from_numpy(epoch_order(len(labels), FAIR_SEED))
    _, of_class, sizes = labels[order].unique(return_inverse=True, return_counts=True)
    by_class = of_class.argsort(stable=True)
    starts = sizes.cumsum(0) - sizes
    rank = torch.empty_like(by_class)
    rank[by_class] = torch.arange(len(labels)) - starts.repeat_interleave(sizes)
    share = (rank + 0.5).double() / sizes[of_class]
    return order[share.argsort(stable=True)]


def reservoir(split: Split, images: int) -> Split:
    """What is kept of a past task: at most so many of its images, drawn once and for all (with seed 1)."""
    return split.subset(torch.from_numpy(epoch_order(len(split), RESERVOIR_SEED)[:images]), fair=True)
