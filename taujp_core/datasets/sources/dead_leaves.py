"""Which pictures belong to no task, and need no data? Dead leaves: discs and rectangles of random colours that cover each other.

Leaves fall one upon the other until a picture is full. Their places, turns and colours are uniform; a radius r has the density
r⁻³, by which the pictures have the spectrum and the edges of photographs, though nothing is on them (Lee, Mumford and Huang,
"Occlusion models for natural images", IJCV 2001). Baradad et al., "Learning to see by looking at noise" (NeurIPS 2021), train
encoders on them. They are rendered at the model's size and cached in TAUJP_CACHE.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import UInt8
from torch import Tensor

from ...cache import read_cached, write_cached
from ...identity import fields_of
from ...mini.canvas import Random
from ...tasks import Place, Source, Task

LEAVES = 200  # per picture: about 1 % of the picture stays bare
LEAST, MOST = 0.08, 1.0  # radius of a leaf, where the picture goes from -1 to 1
TOGETHER = 100  # pictures that are rendered at once


@dataclass(frozen=True)
class DeadLeaves(Source):
    """So many pictures of the model's size, without classes."""

    pictures: int
    keys = ("dead_leaves",)
    own = False
    version = 1

    @classmethod
    def from_entry(cls, what: str, entry: Mapping) -> "DeadLeaves":
        count = entry["dead_leaves"]
        if isinstance(count, bool) or not isinstance(count, int) or count < 10:
            raise ValueError(f"dead_leaves of {what} must be a number of pictures, at least 10, not {count!r}")
        return cls(count)

    def with_classes(self, task: Task, classes: Sequence[str] | Mapping[str, str] | None) -> tuple[Task, Place | None]:
        if classes is not None:
            raise ValueError(f"dead leaves have no classes, and {task.name} is given some")
        return replace(task, classes=("picture",)), None

    def locate(self, task: Task) -> Place:
        def read(part: str) -> tuple[Tensor, Tensor]:
            return self.images(task.image_size), torch.zeros(self.pictures, dtype=torch.long)

        return Place("the package", ("train",), read, shuffled=True)

    def identity(self, task: Task, place: Place | None = None) -> dict:
        return fields_of(self)

    def images(self, size: int) -> UInt8[Tensor, "n 3 s s"]:
        name = f"dead-leaves-{self.pictures}-size{size}-version{self.version}.safetensors"
        if (tensors := read_cached(name)) is None:
            starts = range(0, self.pictures, TOGETHER)
            parts = [render(Random(min(TOGETHER, self.pictures - start), start), size) for start in starts]
            tensors = {"images": torch.cat(parts)}
            write_cached(name, tensors)
        return tensors["images"]


def render(rng: Random, size: int) -> UInt8[Tensor, "n 3 s s"]:
    """LEAVES leaves on each of `rng.n` pictures of `size` pixels a side; a leaf's edge is one pixel wide.

    A radius with the density r⁻³ between LEAST and MOST is (LEAST⁻² − u·(LEAST⁻² − MOST⁻²))^−½ of a uniform u.
    """
    axis = (torch.arange(size, dtype=torch.float64) + 0.5) * (2 / size) - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    image = rng.uniform(shape=(3, 1, 1)).expand(-1, -1, size, size)
    for _ in range(LEAVES):
        radius = (LEAST**-2 - rng.uniform() * (LEAST**-2 - MOST**-2)) ** -0.5
        dx, dy, angle = x - rng.uniform(-1, 1), y - rng.uniform(-1, 1), rng.uniform(0, torch.pi)
        u, v = dx * angle.cos() + dy * angle.sin(), dy * angle.cos() - dx * angle.sin()
        disc = (u * u + v * v).sqrt() - radius
        rectangle = torch.maximum(u.abs() - radius, v.abs() - radius * rng.uniform(0.3, 1))
        outside = torch.where(rng.chance(0.5) > 0, disc, rectangle)  # distance from the edge, negative inside
        covered = (0.5 - outside * size / 2).clamp(0, 1)[:, None]
        image = image + covered * (rng.uniform(shape=(3, 1, 1)) - image)
    return (image * 255).round().to(torch.uint8)


SOURCE = DeadLeaves
