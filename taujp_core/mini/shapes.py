"""What do coloured shapes, the control task, look like? Plane figures by their signed distances, negative inside."""

import math

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from .canvas import (
    Random,
    colour_pair,
    degrees,
    grid,
    ink,
    noise,
    over,
    photographed,
    placed,
)  # fmt: skip

VERSION = 1  # of these pictures: raised when they become others


def disc(u, v, radius=1.0):
    return torch.sqrt(u * u + v * v) - radius


def box(u, v, half_width=1.0, half_height=1.0):
    return torch.maximum(u.abs() - half_width, v.abs() - half_height)


def polygon(u, v, sides: int, radius=1.0, turn=0.0):
    """Regular polygon with inscribed circle `radius`; one side's normal points along angle `turn`."""
    angles = [turn + 2 * math.pi * k / sides for k in range(sides)]
    return torch.stack([u * math.cos(a) + v * math.sin(a) for a in angles]).amax(0) - radius


def triangle(u, v, size=1.0):
    """Pointing up."""
    return polygon(u, v + 0.0, 3, 0.5 * size, turn=math.pi / 2)


def star(u, v, points=5, size=1.0):
    angle = torch.atan2(u, -v)
    radius = torch.sqrt(u * u + v * v)
    fold = (torch.remainder(angle * points / (2 * math.pi) + 0.5, 1.0) - 0.5).abs() * 2
    return radius - size * (1.0 - 0.58 * fold)


def cross(u, v, arm=0.3):
    return torch.minimum(box(u, v, 1.0, arm), box(u, v, arm, 1.0))


def ring(u, v, width=0.28):
    return (torch.sqrt(u * u + v * v) - (1 - width)).abs() - width


def crescent(u, v):
    return torch.maximum(disc(u, v), -disc(u - 0.45, v, 0.85))


def heart(u, v):
    u = u.abs()
    lobe = torch.sqrt((u - 0.45) ** 2 + (v + 0.35) ** 2) - 0.55
    wedge = torch.maximum((u * 0.77 + v * 0.64) - 0.62, -(v + 0.35))
    return torch.minimum(lobe, wedge)


FIGURES = {
    "circle": disc,
    "square": lambda u, v: box(u, v, 0.85, 0.85),
    "triangle": lambda u, v: triangle(u, v, 1.15),
    "star": star,
    "cross": cross,
    "ring": ring,
    "crescent": crescent,
    "heart": heart,
}
COLOURS = {
    "red": (0.85, 0.12, 0.12),
    "green": (0.12, 0.65, 0.18),
    "blue": (0.12, 0.25, 0.85),
    "yellow": (0.92, 0.85, 0.12),
    "purple": (0.55, 0.15, 0.70),
}
CLASSES = tuple(f"{colour} {figure}" for colour in COLOURS for figure in FIGURES)


def pick(functions, labels: Int[Tensor, "b"], *tensors):
    """Call functions[label] on the images that have this label, and put the results back in order."""
    out = None
    for label in labels.unique().tolist():
        at = torch.nonzero(labels == label).squeeze(1)
        part = functions[label](*(t if t.shape[0] == 1 else t[at] for t in tensors))
        out = part.new_zeros((len(labels), *part.shape[1:])) if out is None else out
        out[at] = part
    return out


def render(rng: Random, labels: Int[Tensor, "b"], severity: Float[Tensor, "b"]) -> UInt8[Tensor, "b 3 32 32"]:
    """A coloured figure before a grey, cluttered background; colours drift with severity."""
    s = severity[:, None, None]
    x, y = grid()
    first, second = colour_pair(rng, 0.1)
    grey_first, grey_second = (c.mean(1, keepdim=True).expand(-1, 3) for c in (first, second))
    image = over(grey_first[:, :, None, None].expand(-1, 3, 32, 32), noise(rng, 5)[:, 0], grey_second)
    # A second, colourless figure distracts.
    distractor = placed(x, y, rng.uniform(0, 6.3), rng.uniform(0.2, 0.45),
                        rng.uniform(-1, 1), rng.uniform(-1, 1))  # fmt: skip
    figures = list(FIGURES.values())
    shape = pick(figures, rng.integers(len(figures)), *distractor)
    image = over(image, ink(shape * 0.3) * rng.chance(s), rng.uniform(0, 1, (1,)).expand(-1, 3))

    scale = rng.uniform(0.75 - 0.4 * s, 0.85)
    room = (1 - scale).clamp(min=0.05) * 0.9
    u, v = placed(
        x, y, degrees(rng.uniform(-1, 1) * (15 + 50 * s)), scale,
        rng.uniform(-1, 1) * room, rng.uniform(-1, 1) * room,
        shear=rng.uniform(-0.35, 0.35) * s, stretch=rng.uniform(1 - 0.35 * s, 1 + 0.35 * s),
    )  # fmt: skip
    coverage = ink(pick(figures, labels % len(figures), u, v) * scale)
    palette = torch.tensor(list(COLOURS.values()), dtype=torch.float64)[labels // len(figures)]
    colour = (palette + rng.uniform(-1, 1, (3,)) * (0.05 + 0.18 * severity[:, None])).clamp(0, 1)
    return photographed(rng, over(image, coverage, colour), severity)
