"""How are pictures of `mini` drawn? On batches of 32×32 images, with tensor operations.

All values are float64 and rounded to bytes once, at the end, and all randomness comes from NumPy's frozen
`RandomState` stream, so that every machine renders the same bytes. Coordinates run over [-1, 1], x to the
right and y down. A *coverage* is a tensor [B, 32, 32] in [0, 1] (how much of a pixel the ink covers), an
*image* is [B, 3, 32, 32] in [0, 1], a *colour* is [B, 3].
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

SIZE = 32
PIXEL = 2.0 / SIZE
MAX_PRETRAINING_SEVERITY = 0.7

Coverage = Float[Tensor, "b 32 32"]
Image = Float[Tensor, "b 3 32 32"]
Colour = Float[Tensor, "b 3"]
PerImage = Float[Tensor, "#b 1 1"]


class Random:
    """Draws for `n` images at once: uniform numbers and integers from one frozen stream."""

    def __init__(self, n: int, *seed: int):
        self.n = n
        self.state = np.random.RandomState(np.array(seed, dtype=np.uint32))

    def uniform(self, low=0.0, high=1.0, shape: tuple[int, ...] = (1, 1)) -> Tensor:
        """[n, *shape] uniform in [low, high); the bounds may be tensors that broadcast."""
        return low + (high - low) * torch.from_numpy(self.state.random_sample((self.n, *shape)))

    def integers(self, count: int, shape: tuple[int, ...] = ()) -> Tensor:
        """[n, *shape] integers in 0..count-1."""
        return torch.from_numpy(self.state.randint(count, size=(self.n, *shape)))

    def chance(self, probability) -> Tensor:
        """[n, 1, 1] of 0.0 and 1.0, where 1.0 has this probability."""
        return (self.uniform() < probability).double()

    def gaussian_like(self, shape: tuple[int, ...]) -> Tensor:
        """[n, *shape]: sum of three uniforms, mean 0 and standard deviation 1."""
        return 2.0 * (self.uniform(-0.5, 0.5, (3, *shape))).sum(1)


def grid() -> tuple[Float[Tensor, "1 32 32"], Float[Tensor, "1 32 32"]]:
    """x and y of the pixel centres."""
    axis = (torch.arange(SIZE, dtype=torch.float64) + 0.5) * PIXEL - 1.0
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return x[None], y[None]


def placed(x, y, angle=0.0, scale=1.0, shift_x=0.0, shift_y=0.0, shear=0.0, stretch=1.0):
    """Coordinates of a shape that is scaled, sheared, turned by `angle` (radians) and shifted."""
    angle = torch.as_tensor(angle, dtype=torch.float64)
    dx, dy = x - shift_x, y - shift_y
    u = (dx * torch.cos(angle) + dy * torch.sin(angle)) / scale
    v = (dy * torch.cos(angle) - dx * torch.sin(angle)) / (scale * stretch)
    return u + shear * v, v


def degrees(value):
    return value * (math.pi / 180)


def ink(distance: Tensor, softness=1.5 * PIXEL) -> Tensor:
    """Coverage from a signed distance (negative inside), antialiased over `softness`."""
    return (0.5 - distance / softness).clamp(0.0, 1.0)


def noise(rng: Random, cells: int, channels: int = 1) -> Float[Tensor, "b channels 32 32"]:
    """Smooth random field in [0, 1]: a cells×cells lattice of uniform numbers, bicubic in between."""
    lattice = rng.uniform(0.0, 1.0, (channels, cells, cells))
    return F.interpolate(lattice, size=(SIZE, SIZE), mode="bicubic", align_corners=True).clamp(0.0, 1.0)


def wave(x: Tensor) -> Tensor:
    """A sine from 0 to 1 with period 1."""
    return 0.5 + 0.5 * torch.sin(2 * math.pi * x)


def over(image: Image, coverage: Coverage, colour: Tensor) -> Image:
    """Paint a colour [B, 3], or another image, where the coverage is."""
    if colour.ndim == 2:
        colour = colour[:, :, None, None]
    return image + coverage[:, None] * (colour - image)


def luminance(colour: Colour) -> Float[Tensor, "b"]:
    return colour @ torch.tensor([0.30, 0.59, 0.11], dtype=colour.dtype)


def colour_pair(rng: Random, contrast) -> tuple[Colour, Colour]:
    """Two random colours whose luminances differ by at least `contrast` (at most 0.5)."""
    first, second = rng.uniform(0, 1, (3,)), rng.uniform(0, 1, (3,))
    middle = 0.5 * (luminance(first) + luminance(second))
    gap = luminance(first) - luminance(second)
    sign = torch.where(gap >= 0, 1.0, -1.0)
    missing = ((torch.as_tensor(contrast).reshape(-1) - gap.abs()).clamp(min=0.0) * sign / 2)[:, None]
    # Pull both away from their common grey so that clamping cannot eat the contrast.
    towards = (0.5 - middle)[:, None] * (missing.abs() > 0)
    return (first + towards + missing).clamp(0, 1), (second + towards - missing).clamp(0, 1)


def tinted(rng: Random, base: tuple[float, float, float], spread) -> Colour:
    """A named colour with random deviation in each channel."""
    return (torch.tensor(base, dtype=torch.float64) + rng.uniform(-1, 1, (3,)) * spread).clamp(0, 1)


def blurred(image: Image, amount: PerImage) -> Image:
    """Mix with a 3×3 binomial blur, twice; `amount` in [0, 1] per image."""
    kernel = torch.tensor([0.25, 0.5, 0.25], dtype=image.dtype)
    kernel = (kernel[:, None] * kernel).expand(3, 1, 3, 3)
    soft = image
    for _ in range(2):
        soft = F.conv2d(F.pad(soft, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    return image + amount[:, None] * (soft - image)


def photographed(rng: Random, image: Image, severity: Tensor) -> UInt8[Tensor, "b 3 32 32"]:
    """What a poor camera makes of it: uneven light, loss of contrast, a colour cast, blur, sensor noise."""
    s = severity[:, None, None, None]
    light = 1.0 + s * (noise(rng, 3) - 0.5)
    cast = 1.0 + s * rng.uniform(-0.25, 0.25, (3, 1, 1))
    haze = s * rng.uniform(0.0, 0.35, (1, 1, 1))
    image = image * light * cast * (1 - haze) + haze * rng.uniform(0.2, 0.8, (1, 1, 1))
    image = blurred(image, severity[:, None, None] * rng.uniform(0.0, 1.0))
    image = image + s * rng.uniform(0.02, 0.10, (1, 1, 1)) * rng.gaussian_like((3, SIZE, SIZE))
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)
