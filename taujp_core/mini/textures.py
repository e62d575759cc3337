"""What do textures look like that adjectives name? Two colours and a pattern between them, as in DTD."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from .canvas import SIZE, Random, colour_pair, grid, noise, over, photographed, placed, wave
from .shapes import pick

VERSION = 1  # of these pictures: raised when they become others


def cell_distances(u: Tensor, v: Tensor, jitter: Tensor) -> tuple[Tensor, Tensor]:
    """Distances to the nearest and second nearest of jittered lattice points (Worley noise).

    u, v: [B, 32, 32]; jitter: [B, 2, 16, 16] in [0, 1].
    """
    distances = []
    column, row = torch.floor(u), torch.floor(v)
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            cx, cy = column + dx, row + dy
            index = (torch.remainder(cy, 16) * 16 + torch.remainder(cx, 16)).long().flatten(1)
            px = torch.gather(jitter[:, 0].flatten(1), 1, index).view_as(u)
            py = torch.gather(jitter[:, 1].flatten(1), 1, index).view_as(v)
            distances.append(torch.hypot(cx + px - u, cy + py - v))
    nearest = torch.stack(distances).topk(2, dim=0, largest=False).values
    return nearest[0], nearest[1]


def sharpened(value, steepness=4.0):
    return ((value - 0.5) * steepness + 0.5).clamp(0, 1)


# Each takes coordinates u, v (one unit is one period), fields [B, 6, 32, 32] of rising frequency and
# jitter, and gives the mixture of the two colours, [B, 32, 32] in [0, 1].
def striped(u, v, fields, jitter):
    return sharpened(wave(u))


def checkered(u, v, fields, jitter):
    return torch.remainder(torch.floor(u) + torch.floor(v), 2.0)


def dotted(u, v, fields, jitter):
    offset = 0.5 * torch.remainder(torch.floor(v), 2.0)
    return sharpened(
        1.4 * (0.75 - torch.hypot(torch.remainder(u + offset, 1.0) - 0.5, torch.remainder(v, 1.0) - 0.5) * 2)
    )


def wavy(u, v, fields, jitter):
    return sharpened(wave(u + 0.35 * torch.sin(2 * math.pi * v / 2)))


def zigzagged(u, v, fields, jitter):
    return sharpened(wave(u + 1.2 * (torch.remainder(v / 2, 1.0) - 0.5).abs()))


def gridded(u, v, fields, jitter):
    lines = torch.minimum((torch.remainder(u, 1.0) - 0.5).abs(), (torch.remainder(v, 1.0) - 0.5).abs())
    return sharpened(1.0 - 4 * lines)


def bricked(u, v, fields, jitter):
    row = torch.floor(v * 1.5)
    across = (torch.remainder(u * 0.7 + 0.5 * torch.remainder(row, 2.0), 1.0) - 0.5).abs()
    down = (torch.remainder(v * 1.5, 1.0) - 0.5).abs()
    return sharpened(torch.maximum(across, down) * 5 - 1.6)


def cracked(u, v, fields, jitter):
    first, second = cell_distances(u, v, jitter)
    return sharpened(1.0 - 4 * (second - first))


def bubbly(u, v, fields, jitter):
    first, _ = cell_distances(u, v, jitter)
    return sharpened(1.0 - 6 * (first - 0.38).abs(), 2.0)


def marbled(u, v, fields, jitter):
    return wave(0.5 * u + 2.2 * fields[:, 1] + 0.7 * fields[:, 3])


def speckled(u, v, fields, jitter):
    return sharpened(fields[:, 5] + 0.12, 8.0)


def blotchy(u, v, fields, jitter):
    return sharpened(fields[:, 2], 7.0)


def woven(u, v, fields, jitter):
    over_under = torch.remainder(torch.floor(u) + torch.floor(v), 2.0)
    across, down = torch.sin(math.pi * torch.remainder(u, 1.0)), torch.sin(math.pi * torch.remainder(v, 1.0))
    return torch.where(over_under > 0.5, across, 1 - down)


def scaly(u, v, fields, jitter):
    best = torch.zeros_like(u)
    for shift in (0.0, 0.5):
        radius = torch.hypot(torch.remainder(u + shift, 1.0) - 0.5, torch.remainder(v + shift, 1.0) - 0.15)
        best = torch.maximum(best, (1.0 - radius / 0.62).clamp(min=0.0) * (1.0 + shift))
    return sharpened(best * 1.3, 2.0)


PATTERNS = (
    striped, checkered, dotted, wavy, zigzagged, gridded, bricked, cracked, bubbly, marbled, speckled,
    blotchy, woven, scaly,
)  # fmt: skip
CLASSES = tuple(pattern.__name__ for pattern in PATTERNS)


def render(rng: Random, labels: Int[Tensor, "b"], severity: Float[Tensor, "b"]) -> UInt8[Tensor, "b 3 32 32"]:
    """A pattern over the whole picture; with severity bent, faint, and mixed with a second pattern."""
    s = severity[:, None, None]
    x, y = grid()
    first, second = colour_pair(rng, 0.40 - 0.20 * severity)

    def mixture(which):
        scale = rng.uniform(0.34 - 0.10 * s, 0.55 + 0.15 * s)
        u, v = placed(x, y, rng.uniform(-1, 1) * (0.25 + 0.9 * s), scale, rng.uniform(-1, 1), rng.uniform(-1, 1),
                      shear=rng.uniform(-0.35, 0.35) * s)  # fmt: skip
        bend = (noise(rng, 4, channels=2) - 0.5) * (1.2 * s[:, None])
        fields = torch.cat([noise(rng, cells) for cells in (3, 5, 8, 10, 13, 20)], 1)
        return pick(PATTERNS, which, u + bend[:, 0], v + bend[:, 1], fields, rng.uniform(0, 1, (2, 16, 16)))

    other = rng.integers(len(PATTERNS))
    share = s * rng.uniform(0.0, 0.35)
    mixed = (1 - share) * mixture(labels) + share * mixture(other)
    image = over(first[:, :, None, None].expand(-1, 3, SIZE, SIZE), mixed, second)
    shade = F.interpolate(rng.uniform(0.75, 1.1, (1, 2, 2)), size=(SIZE, SIZE), mode="bilinear", align_corners=True)
    return photographed(rng, image * shade, severity)
