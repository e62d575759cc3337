"""What do road signs look like? A plate (form and colour) with a pictogram, seen by a camera in front of a street."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from .canvas import Random, degrees, grid, ink, noise, over, photographed, placed, tinted
from .characters import atlas
from .shapes import box, cross, disc, pick, polygon, triangle

RED, BLUE, WHITE, YELLOW, BLACK = (
    (0.80, 0.10, 0.12), (0.10, 0.25, 0.75), (0.93, 0.93, 0.93), (0.95, 0.78, 0.10), (0.08, 0.08, 0.08),
)  # fmt: skip
VERSION = 1  # of these pictures: raised when they become others
SANS = 2  # a face of the glyph atlas


def upright_triangle(u, v):
    return triangle(u, v - 0.2, 1.35)


def octagon(u, v):
    return polygon(u, v, 8, 0.92, turn=0.3927)


def plain(u, v):
    return torch.full_like(u, 1.0)


def bar(u, v):
    return box(u, v, 0.62, 0.16)


def arrow(u, v):
    """Pointing up."""
    head = torch.maximum(u.abs() * 1.2 - v - 0.62, v)
    return torch.minimum(head, box(u, v - 0.2, 0.13, 0.42))


def exclamation(u, v):
    return torch.minimum(box(u, v - 0.0, 0.09, 0.32), disc(u, v - 0.52, 0.12))


def person(u, v):
    legs = torch.maximum((u.abs() - 0.12 - 0.5 * (v - 0.25).clamp(min=0)).abs() - 0.09, (v - 0.45).abs() - 0.25)
    return torch.minimum(torch.minimum(disc(u, v + 0.28, 0.15), box(u, v - 0.12, 0.14, 0.24)), legs)


def bumps(u, v):
    hills = torch.minimum(disc(u - 0.3, v - 0.42, 0.26), disc(u + 0.3, v - 0.42, 0.26))
    return torch.minimum(torch.maximum(hills, v - 0.42), box(u, v - 0.48, 0.62, 0.07))


def diagonal(u, v):
    return box((u + v) * 0.7071, (u - v) * 0.7071, 0.09, 0.9)


def saltire(u, v):
    return cross((u + v) * 0.7071, (u - v) * 0.7071, 0.13) * 0.8


def text(characters: str) -> Callable:
    """One or two characters side by side, as a pseudo-distance."""

    def distance(u, v):
        coverage = torch.zeros_like(u)
        for k, character in enumerate(characters):
            middle = (k - (len(characters) - 1) / 2) * 0.62
            index = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(character)
            source = atlas()[SANS, index].expand(len(u), 1, 32, 32)
            field = torch.stack([(u - middle) / 1.05, v / 1.05], -1)
            coverage = torch.maximum(coverage, F.grid_sample(source, field, align_corners=False)[:, 0])
        return (0.5 - coverage) * 0.2

    return distance


def turned(picture: Callable, quarter: int) -> Callable:
    """The pictogram turned clockwise by quarter turns."""
    turns = {1: lambda u, v: picture(v, -u), 3: lambda u, v: picture(-v, u)}
    return turns[quarter]


@dataclass(frozen=True)
class Sign:
    name: str
    plate: Callable
    plate_colour: tuple
    rim_colour: tuple
    picture: Callable
    picture_colour: tuple


def diamond(u, v):
    return (u.abs() + v.abs()) * 0.75 - 0.72


def square(u, v):
    return box(u, v, 0.82, 0.82)


def inverted(u, v):
    return upright_triangle(u, -v)


SIGNS = (
    Sign("stop", octagon, RED, WHITE, bar, WHITE),
    Sign("no entry", disc, RED, RED, bar, WHITE),
    Sign("give way", inverted, WHITE, RED, plain, WHITE),
    Sign("priority road", diamond, YELLOW, WHITE, plain, YELLOW),
    Sign("speed limit 20", disc, WHITE, RED, text("20"), BLACK),
    Sign("speed limit 30", disc, WHITE, RED, text("30"), BLACK),
    Sign("speed limit 50", disc, WHITE, RED, text("50"), BLACK),
    Sign("speed limit 70", disc, WHITE, RED, text("70"), BLACK),
    Sign("speed limit 80", disc, WHITE, RED, text("80"), BLACK),
    Sign("no stopping", disc, BLUE, RED, saltire, RED),
    Sign("no parking", disc, BLUE, RED, diagonal, RED),
    Sign("ahead only", disc, BLUE, BLUE, arrow, WHITE),
    Sign("turn right", disc, BLUE, BLUE, turned(arrow, 1), WHITE),
    Sign("turn left", disc, BLUE, BLUE, turned(arrow, 3), WHITE),
    Sign("parking", square, BLUE, BLUE, text("P"), WHITE),
    Sign("danger", upright_triangle, WHITE, RED, exclamation, BLACK),
    Sign("pedestrians", upright_triangle, WHITE, RED, person, BLACK),
    Sign("bumpy road", upright_triangle, WHITE, RED, bumps, BLACK),
)
CLASSES = tuple(sign.name for sign in SIGNS)


def colours(labels: Tensor, attribute: str, drift: Tensor) -> Float[Tensor, "b 3"]:
    table = torch.tensor([getattr(sign, attribute) for sign in SIGNS], dtype=torch.float64)
    return (table[labels] + drift).clamp(0, 1)


def render(rng: Random, labels: Int[Tensor, "b"], severity: Float[Tensor, "b"]) -> UInt8[Tensor, "b 3 32 32"]:
    """A sign before sky, wall and green; with severity smaller, askew, dirty and half hidden."""
    s = severity[:, None, None]
    x, y = grid()
    sky = tinted(rng, (0.6, 0.7, 0.8), 0.3)
    wall = tinted(rng, (0.4, 0.42, 0.35), 0.35)
    image = over(sky[:, :, None, None].expand(-1, 3, 32, 32), noise(rng, 4)[:, 0], wall)
    edge = ink(box(x - rng.uniform(-1, 1), y, rng.uniform(0.1, 0.5), 2.0)) * rng.chance(0.5)
    image = over(image, edge, tinted(rng, (0.4, 0.4, 0.4), 0.4))

    scale = rng.uniform(0.78 - 0.22 * s, 0.92)
    room = (1.0 - scale) * 0.8 + 0.10 * s
    u, v = placed(
        x, y, degrees(rng.uniform(-1, 1) * (4 + 14 * s)), scale,
        rng.uniform(-1, 1) * room, rng.uniform(-1, 1) * room,
        shear=rng.uniform(-0.25, 0.25) * s, stretch=rng.uniform(1 - 0.2 * s, 1 + 0.2 * s),
    )  # fmt: skip
    drift = rng.uniform(-1, 1, (3,)) * (0.05 + 0.12 * severity[:, None])
    plate = pick([sign.plate for sign in SIGNS], labels, u, v) * scale
    image = over(image, ink(plate), colours(labels, "rim_colour", drift))
    image = over(image, ink(plate + 0.16 * scale), colours(labels, "plate_colour", drift))
    picture = pick([sign.picture for sign in SIGNS], labels, u, v) * scale
    image = over(image, ink(picture) * ink(plate), colours(labels, "picture_colour", drift))
    # A branch or a post in front.
    leaf = placed(x, y, rng.uniform(0, 3.2), 1.0, rng.uniform(-1, 1), rng.uniform(-1, 1))
    hidden = ink(box(*leaf, 2.0, rng.uniform(0.03, 0.14))) * rng.chance(0.6 * s)
    image = over(image, hidden, tinted(rng, (0.25, 0.3, 0.15), 0.2))
    return photographed(rng, image, severity)
