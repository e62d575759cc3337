"""What do characters look like? Street numbers, letters, and pen strokes like those of scanned handwriting."""

from functools import cache
from importlib.resources import files

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from .canvas import (
    Coverage,
    Random,
    blurred,
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
DIGITS = tuple("0123456789")
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
ALL_FACES = 26  # of the atlas
PRETRAINING_FACES = 14  # the first of them: half of the faces in the tasks are new to the model


@cache
def atlas() -> Float[Tensor, "faces 62 32 32"]:
    """Glyphs of every face for 0-9, A-Z, a-z, in [0, 1]."""
    with files("taujp_core").joinpath("mini/assets/glyphs.npz").open("rb") as file:
        return torch.from_numpy(np.load(file)["glyphs"]).double() / 255


def glyph(face: Int[Tensor, "b"], character: Int[Tensor, "b"], u: Tensor, v: Tensor) -> Coverage:
    """Coverage of one character per image, looked up at coordinates (u, v), [B, 32, 32] each."""
    field = torch.stack(torch.broadcast_tensors(u, v), -1)
    return F.grid_sample(atlas()[face, character][:, None], field, align_corners=False)[:, 0]


def busy_background(rng: Random, severity: Tensor, contrast) -> tuple[Tensor, Tensor]:
    """A two-coloured smooth background, and an ink colour that stands out from it."""
    paper, colour = colour_pair(rng, contrast)
    other = (paper + rng.uniform(-0.5, 0.5, (3,)) * severity[:, None]).clamp(0, 1)
    image = over(paper[:, :, None, None].expand(-1, 3, 32, 32), noise(rng, 4)[:, 0], other)
    return image, colour


def scratches(rng: Random, severity: Tensor, count: int) -> Coverage:
    """Up to `count` thin straight lines across the picture."""
    x, y = grid()
    coverage = torch.zeros(rng.n, 32, 32, dtype=torch.float64)
    for _ in range(count):
        _, v = placed(x, y, rng.uniform(0, 3.2), 1.0, rng.uniform(-1, 1), rng.uniform(-1, 1))
        line = ink(v.abs() - rng.uniform(0.01, 0.05)) * rng.chance(0.7 * severity[:, None, None])
        coverage = torch.maximum(coverage, line)
    return coverage


def render_street(
    rng: Random, labels: Int[Tensor, "b"], severity: Float[Tensor, "b"], faces: int = ALL_FACES
) -> UInt8[Tensor, "b 3 32 32"]:
    """A house number cropped around one digit: its neighbours reach into the frame."""
    s = severity[:, None, None]
    x, y = grid()
    image, colour = busy_background(rng, severity, 0.35 - 0.12 * s)
    face = rng.integers(ALL_FACES) % faces
    scale = rng.uniform(1.15 - 0.25 * s, 1.5 - 0.1 * s)
    angle = degrees(rng.uniform(-1, 1) * (4 + 14 * s))
    place = dict(shear=rng.uniform(-0.15, 0.15) * (1 + s), stretch=rng.uniform(0.9 - 0.1 * s, 1.1 + 0.2 * s))
    shift_x, shift_y = rng.uniform(-0.12, 0.12) * (1 + s), rng.uniform(-0.12, 0.12) * (1 + s)
    coverage = glyph(face, labels, *placed(x, y, angle, scale, shift_x, shift_y, **place))
    for side in (-1.0, 1.0):
        gap = side * scale * rng.uniform(0.62, 0.85)
        u, v = placed(x, y, angle, scale, shift_x + gap * torch.cos(angle), shift_y + gap * torch.sin(angle), **place)
        coverage = torch.maximum(coverage, glyph(face, rng.integers(10), u, v) * rng.chance(0.3 + 0.5 * s))
    image = over(image, coverage, colour)
    return photographed(rng, over(image, scratches(rng, severity, 1), colour_pair(rng, 0.0)[0]), severity)


def render_letters(
    rng: Random, labels: Int[Tensor, "b"], severity: Float[Tensor, "b"], faces: int = ALL_FACES
) -> UInt8[Tensor, "b 3 32 32"]:
    """One capital or small letter, turned, sheared and scratched."""
    s = severity[:, None, None]
    x, y = grid()
    image, colour = busy_background(rng, severity, 0.38 - 0.13 * s)
    small = 26 * (rng.uniform(0, 1, ()) < 0.5).long()
    u, v = placed(
        x, y, degrees(rng.uniform(-1, 1) * (6 + 22 * s)), rng.uniform(1.15 - 0.25 * s, 1.45),
        rng.uniform(-0.15, 0.15) * (1 + 0.7 * s), rng.uniform(-0.15, 0.15) * (1 + 0.7 * s),
        shear=rng.uniform(-0.3, 0.3) * s, stretch=rng.uniform(1 - 0.2 * s, 1 + 0.2 * s),
    )  # fmt: skip
    image = over(image, glyph(rng.integers(ALL_FACES) % faces, 10 + labels + small, u, v), colour)
    image = over(image, scratches(rng, severity, 3), colour_pair(rng, 0.0)[0])
    return photographed(rng, image, severity)


def render_pen(rng: Random, labels: Int[Tensor, "b"], severity: Float[Tensor, "b"]) -> UInt8[Tensor, "b 3 32 32"]:
    """Digits as a pen writes them: white strokes on black, bent, thick or thin, sometimes coarsely scanned."""
    x, y = grid()
    bend = noise(rng, 3, channels=2) - 0.5
    u, v = placed(
        x, y, degrees(rng.uniform(-14, 14)), rng.uniform(1.0, 1.45), rng.uniform(-0.12, 0.12), rng.uniform(-0.12, 0.12),
        shear=rng.uniform(-0.35, 0.35), stretch=rng.uniform(0.85, 1.25),
    )  # fmt: skip
    strength = rng.uniform(0.1, 0.7)
    coverage = glyph(rng.integers(PRETRAINING_FACES), labels, u + strength * bend[:, 0], v + strength * bend[:, 1])
    # Stroke width: threshold a blurred glyph at a random level.
    soft = blurred(coverage[:, None].expand(-1, 3, -1, -1), torch.ones(1, 1, 1, dtype=torch.float64))[:, 0]
    stroke = ((soft - rng.uniform(0.12, 0.5)) * 5 + 0.5).clamp(0, 1)
    coarse = F.interpolate(F.adaptive_avg_pool2d(stroke[:, None], 8), size=32, mode="bilinear")[:, 0]
    stroke = stroke + (coarse - stroke) * rng.chance(0.25)
    image = stroke[:, None].expand(-1, 3, -1, -1) * rng.uniform(0.8, 1.0, (1, 1, 1))
    return photographed(rng, image, 0.1 * severity)
