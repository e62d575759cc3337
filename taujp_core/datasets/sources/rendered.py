"""Where are the pictures of `mini`? Scans that ship, the same inverted, and tasks that are rendered.

What is rendered is cached in TAUJP_CACHE (by default the user's cache folder), under a name that has the version of
the renderer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from ...cache import read_cached, write_cached
from ...checks import one_of
from ...identity import fields_of
from ...mini import characters, shapes, signs, terrain, textures
from ...mini.canvas import Random
from ...models import ASSETS
from ...optimisation import epoch_order
from ...tasks import Place, Source, Task

RENDERED_TRAIN, RENDERED_TEST = 3000, 1000
SEEDS = {"train": 0, "test": 2}  # part of the seed of a split's pictures

SCANS = {"mnist": "mnist", "fashion": "fashion_mnist", "uci": "uci_digits"}
INVERTED = "-inverted"  # ends the names of the same scans with 255 - value for each value: another domain
RENDERERS: dict[str, Callable] = {
    "street": characters.render_street,
    "letters": characters.render_letters,
    "textures": textures.render,
    "signs": signs.render,
    "terrain": terrain.render,
    "shapes": shapes.render,
}
VERSIONS = {
    "street": characters.VERSION,
    "letters": characters.VERSION,
    "textures": textures.VERSION,
    "signs": signs.VERSION,
    "terrain": terrain.VERSION,
    "shapes": shapes.VERSION,
}


@dataclass(frozen=True)
class Package(Source):
    """Pictures that ship with the package, or are rendered by it at a severity (how hard they are, 0 to 1)."""

    data: str
    severity: int | float | None = None
    keys = ("package", "severity")
    own = False
    version = 1  # of how scans are read, and of which pictures a renderer is asked for

    @classmethod
    def from_entry(cls, what: str, entry: Mapping) -> "Package":
        check_package(entry["package"], entry.get("severity"))
        return cls(entry["package"], entry.get("severity"))

    def locate(self, task: Task) -> Place:
        return Place("the package", ("train", "test"), lambda part: package_images(task, part), shuffled=True)

    def identity(self, task: Task, place: Place | None = None) -> dict:
        return {**fields_of(self), "renderer": VERSIONS.get(self.data)}


def check_package(data: object, severity: object) -> None:
    """Raises ValueError for pictures that the package does not have, or at no severity."""
    one_of("pictures of the package", data, [*SCANS, *(name + INVERTED for name in SCANS), *RENDERERS])
    if data in RENDERERS and not (isinstance(severity, int | float) and 0 <= severity <= 1):
        raise ValueError(f"severity of {data} must be a number from 0 to 1, not {severity!r}")


def package_images(task: Task, split: str) -> tuple[UInt8[Tensor, "n 3 32 32"], Tensor]:
    """All images and labels of the split `train` or `test`."""
    data, severity = task.source.data, task.source.severity
    check_package(data, severity)
    plain = data.removesuffix(INVERTED)
    if plain in SCANS:
        images, labels = load_scans(SCANS[plain], split)
        return (images if plain == data else 255 - images), labels
    version = f"{task.source.version}.{VERSIONS[data]}"
    name = f"{data}-{split}-{len(task.classes)}classes-severity{severity}-version{version}.safetensors"
    if (tensors := read_cached(name)) is None:
        images, labels = render_task(task, split)
        tensors = {"images": images, "labels": labels}
        write_cached(name, tensors)
    return tensors["images"], tensors["labels"]


@cache
def load_scans(name: str, split: str) -> tuple[Tensor, Tensor]:
    """Grey scans, brought to 32 pixels (28 by a black border, 8 by bilinear interpolation) and three channels."""
    with np.load(ASSETS / f"{name}.npz") as file:
        images = torch.from_numpy(file[f"{split}_images"])[:, None]
        labels = torch.from_numpy(file[f"{split}_labels"]).long()
    if images.shape[-1] == 8:  # values 0..16
        wide = F.interpolate(images.double() * (255 / 16), size=32, mode="bilinear", align_corners=False)
        images = wide.clamp(0, 255).round().to(torch.uint8)
    else:
        border = (32 - images.shape[-1]) // 2
        images = F.pad(images, (border,) * 4)
    return images.expand(-1, 3, -1, -1).contiguous(), labels


def render_task(task: Task, split: str) -> tuple[UInt8[Tensor, "n 3 32 32"], Tensor]:
    """Render a split: classes in equal numbers, in random order, always the same bytes."""
    number = list(RENDERERS).index(task.source.data)
    count = RENDERED_TEST if split == "test" else RENDERED_TRAIN
    seed = (number, SEEDS[split])
    labels = torch.from_numpy(epoch_order(count, *seed)) % len(task.classes)
    images = []
    for start in range(0, count, 500):
        part = labels[start : start + 500]
        severity = torch.full((len(part),), task.source.severity, dtype=torch.float64)
        images.append(RENDERERS[task.source.data](Random(len(part), *seed, start), part, severity))
    return torch.cat(images), labels


SOURCE = Package
