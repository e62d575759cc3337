"""What does land look like from above? Ten kinds of ground, as in satellite land-use data."""

import math

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from .canvas import Random, grid, ink, noise, over, photographed, placed, tinted, wave
from .shapes import box, pick
from .textures import cell_distances, sharpened

VERSION = 1  # of these pictures: raised when they become others
GREEN, DARK_GREEN, WATER, SAND, GREY, ROOF, SOIL, SNOW = (
    (0.38, 0.55, 0.25), (0.12, 0.30, 0.12), (0.12, 0.28, 0.45), (0.80, 0.70, 0.48), (0.50, 0.50, 0.52),
    (0.72, 0.42, 0.35), (0.52, 0.42, 0.28), (0.92, 0.93, 0.96),
)  # fmt: skip


# Each takes coordinates u, v, fields [B, 5, 32, 32] of rising frequency, jitter for cells and a palette
# [B, 8, 3] of the eight colours above, and gives an image.
def fill(colour, like):
    return colour[:, :, None, None].expand(-1, 3, *like.shape[1:])


def crop_fields(u, v, fields, jitter, c):
    a, b = torch.floor(u * 1.1 + 0.3), torch.floor(v * 1.1 + 0.3)
    shade = torch.remainder(a * 3 + b * 5, 4.0)
    image = over(fill(c[:, 0], u), (shade > 1.5).double() * 0.8, c[:, 6])
    image = over(image, (shade == 3).double() * 0.7, c[:, 3])
    rows = torch.where(torch.remainder(a + b, 2.0) > 0.5, wave(u * 5), wave(v * 5))
    return over(image, rows * 0.35, c[:, 1])


def forest(u, v, fields, jitter, c):
    first, _ = cell_distances(u * 3.2, v * 3.2, jitter)
    image = over(fill(c[:, 1], u), sharpened(1 - first * 1.5, 1.5) * 0.6, c[:, 0])
    return over(image, fields[:, 3] * 0.4, c[:, 1] * 0.5)


def river(u, v, fields, jitter, c):
    image = over(fill(c[:, 0], u), fields[:, 3] * 0.6, c[:, 1])
    course = v + 0.35 * torch.sin(2.2 * u) + 0.5 * (fields[:, 0] - 0.5)
    image = over(image, ink(course.abs() - 0.32), c[:, 3])
    return over(image, ink(course.abs() - 0.25), c[:, 2])


def highway(u, v, fields, jitter, c):
    image = over(fill(c[:, 0], u), fields[:, 2] * 0.8, c[:, 6])
    course = v + 0.25 * torch.sin(1.1 * u)
    image = over(image, ink(course.abs() - 0.26), c[:, 4])
    return over(image, ink(course.abs() - 0.03) * (wave(u * 2) > 0.4).double(), c[:, 7])


def houses(u, v, fields, jitter, c):
    a, b = torch.floor(u * 2.3), torch.floor(v * 2.3)
    pu, pv = torch.remainder(u * 2.3, 1.0) - 0.5, torch.remainder(v * 2.3, 1.0) - 0.5
    image = over(fill(c[:, 0], u), fields[:, 3] * 0.7, c[:, 1])
    image = over(image, (torch.remainder(b, 3.0) == 0).double(), c[:, 4])
    roof = ink(box(pu, pv, 0.34, 0.28)) * (torch.remainder(b, 3.0) != 0).double()
    return over(over(image, roof, c[:, 5]), roof * (pv > 0).double() * 0.3 * (1 - torch.remainder(a, 2.0)), c[:, 6])


def factories(u, v, fields, jitter, c):
    image = over(fill(c[:, 4], u), fields[:, 2] * 0.5, c[:, 6])
    a = torch.floor(u * 1.0 + 0.4)
    pu, pv = torch.remainder(u * 1.0 + 0.4, 1.0) - 0.5, torch.remainder(v * 0.8 + 0.3 * a, 1.0) - 0.5
    hall = ink(box(pu, pv, 0.36, 0.40))
    return over(over(image, hall, c[:, 7]), hall * (wave(pv * 6) > 0.6).double() * 0.45, c[:, 4])


def lake(u, v, fields, jitter, c):
    image = over(fill(c[:, 0], u), fields[:, 3] * 0.8, c[:, 1])
    shore = torch.hypot(u, v * 1.2) - 0.55 - 1.2 * (fields[:, 1] - 0.5)
    return over(over(image, ink(shore - 0.08), c[:, 3]), ink(shore), c[:, 2])


def coast(u, v, fields, jitter, c):
    line = v + 0.4 * (fields[:, 1] - 0.5)
    image = over(fill(c[:, 2], u), fields[:, 2] * 0.25, c[:, 7])
    image = over(image, ink(line), c[:, 3])
    return over(image, ink(line + 0.4), c[:, 0])


def desert(u, v, fields, jitter, c):
    dunes = wave(2.0 * v + 1.5 * fields[:, 1] + 0.5 * fields[:, 2])
    return over(over(fill(c[:, 3], u), dunes * 0.45, c[:, 6]), fields[:, 3] * 0.2, c[:, 7])


def orchard(u, v, fields, jitter, c):
    radius = torch.hypot(torch.remainder(u * 2.4, 1.0) - 0.5, torch.remainder(v * 2.4, 1.0) - 0.5)
    image = over(fill(c[:, 6], u), fields[:, 2] * 0.6, c[:, 0])
    return over(image, sharpened(1.35 - 2.6 * radius), c[:, 1])


def mountains(u, v, fields, jitter, c):
    ridge = 1 - 2 * (fields[:, 1] - 0.5).abs() - 0.5 * (fields[:, 2] - 0.5).abs()
    image = over(fill(c[:, 4] * 0.7, u), fields[:, 3] * 0.5, c[:, 1])
    return over(image, sharpened(ridge, 3.0) * (0.6 + 0.4 * fields[:, 3]), c[:, 7])


def pasture(u, v, fields, jitter, c):
    image = over(fill(c[:, 0], u), fields[:, 1] * 0.6, c[:, 6])
    return over(image, ink((u * 0.9 + 0.3 * (fields[:, 0] - 0.5)).abs() - 0.05) * 0.7, c[:, 1])


GROUNDS = {
    "crop fields": crop_fields, "forest": forest, "river": river, "highway": highway, "houses": houses,
    "factories": factories, "lake": lake, "coast": coast, "desert": desert, "orchard": orchard,
    "snowy mountains": mountains, "pasture": pasture,
}  # fmt: skip
CLASSES = tuple(GROUNDS)


def render(rng: Random, labels: Int[Tensor, "b"], severity: Float[Tensor, "b"]) -> UInt8[Tensor, "b 3 32 32"]:
    """One kind of ground; with severity odd seasons and sensors, clouds, and a patch of another kind."""
    s = severity[:, None, None]
    x, y = grid()
    base = (GREEN, DARK_GREEN, WATER, SAND, GREY, ROOF, SOIL, SNOW)
    palette = torch.stack([tinted(rng, colour, 0.06 + 0.10 * severity[:, None]) for colour in base], 1)
    # One shift of hue for the whole picture, as another season or sensor gives.
    palette = (palette + rng.uniform(-1, 1, (1, 3)) * (0.03 + 0.16 * s)).clamp(0, 1)

    def ground(which):
        u, v = placed(x, y, rng.uniform(0, 2 * math.pi), rng.uniform(0.75 - 0.15 * s, 1.05 + 0.35 * s),
                      rng.uniform(-1, 1) * (0.15 + 0.25 * s), rng.uniform(-1, 1) * (0.15 + 0.25 * s))  # fmt: skip
        fields = torch.cat([noise(rng, cells) for cells in (3, 5, 8, 16)], 1)
        return pick(list(GROUNDS.values()), which, u, v, fields, rng.uniform(0, 1, (2, 16, 16)), palette)

    image = ground(labels)
    border = x * torch.cos(rng.uniform(0, 6.3)) + y * torch.sin(rng.uniform(0, 6.3)) - rng.uniform(0.3, 1.2)
    image = over(image, (1 - ink(border)) * rng.chance(0.7 * s), ground(rng.integers(len(GROUNDS))))
    cloud = sharpened(noise(rng, 4)[:, 0] - 0.25, 3.0) * s * rng.uniform(0.0, 0.9)
    return photographed(rng, over(image, cloud, torch.full((1, 3), 0.95, dtype=torch.float64)), severity)
