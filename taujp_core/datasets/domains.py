"""Which environments share a task, and differ in what should not matter?

Environments made of the scans that ship: digits or clothes whose colour goes with the label, more or less (Colored
MNIST, Arjovsky et al. 2019, sec. 5.2), and digits at several angles (Rotated MNIST, Ghifary et al. 2015; DomainBed).
Pictures are brought from 28 to 14 pixels by taking every second one, as there, with values from 0 to 1.

PACS and VLCS, whose pictures people have to bring, are the suites `pacs` and `vlcs`, a task a domain.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import rotate

from ..checks import one_of
from .load import held_out
from .sources.rendered import SCANS, load_scans

Labelled = tuple[Float[Tensor, "n channels h w"], Int[Tensor, "n"]]
SIDE = 14  # pixels of a picture
EVALUATIONS = ("training", "validation", "validation environment", "test")

NOISE = 0.25  # of labels, flipped
DISAGREE = (0.1, 0.2)  # of training images, whose colour is not their label's
DISAGREE_VALIDATION, DISAGREE_TEST = 0.5, 0.9
ANGLES = (0.0, 15.0, 30.0, 45.0, 60.0)
ANGLE_VALIDATION, ANGLE_TEST = -15.0, 75.0
FASHION_BAG, FASHION_SHOES = 8, (5, 7, 9)


@dataclass(frozen=True)
class Domains:
    """One task in several environments.

    Images are floats [n, channels, SIDE, SIDE], labels [n] count the classes from 0.
    environments: names of the training environments; draw(n, generator) gives n images and labels of each;
    evaluations: fixed images and labels: `training`, test pictures as the training environments show them;
        `validation`, the same with the tenth of the training pictures that is never trained on; `validation
        environment`, these in an environment that is neither for training nor for testing; `test`.
    """

    name: str
    classes: int
    channels: int
    environments: tuple[str, ...]
    draw: Callable[[int, torch.Generator], list[Labelled]]
    evaluations: dict[str, Labelled]


def coloured(data: str = "mnist", seed: int = 0, grey: bool = False, fixed: bool = False) -> Domains:
    """Two colours and two classes: digits below five or not (`mnist`), shoes or clothes (`fashion`, Ahuja et al. 2020).

    A label is flipped with probability 0.25; the colour is the label's but for 0.1 and 0.2 of the images of the two
    training environments, 0.9 of those for testing and 0.5 of the validation environment's. The other colour's channel
    is zero. Training environments share no picture.

    Few scans ship, and a network learns one draw of their noise by heart: label noise and colour are drawn anew for
    every batch. `fixed` keeps one draw, as in the original, which has 50000 digits. `grey` is for the oracle, which
    cannot see the colour: the same labels and one channel. Raises ValueError for unknown data.
    """
    parts = {part: binary_scans(data, part) for part in ("train", "test")}
    kept, held = (rows_of(parts["train"], rows) for rows in held_out(len(parts["train"][1])))
    generator = torch.Generator().manual_seed(seed)

    def shown(scans: tuple[Tensor, Tensor], disagree: float, generator: torch.Generator) -> Labelled:
        labels = flipped(scans[1], NOISE, generator)
        colours = flipped(labels, disagree, generator)
        pictures = scans[0][:, None] if grey else painted(scans[0], colours)
        return pictures, labels.long()

    def joined(scans: tuple[Tensor, Tensor], *disagreements: float) -> Labelled:
        return pooled([shown(scans, disagree, generator) for disagree in disagreements])

    evaluations = {
        "training": joined(parts["test"], *DISAGREE),
        "validation": joined(held, *DISAGREE, *DISAGREE),
        "validation environment": joined(held, *[DISAGREE_VALIDATION] * 4),
        "test": joined(parts["test"], *[DISAGREE_TEST] * 2),
    }
    halves = [rows_of(kept, slice(k, None, len(DISAGREE))) for k in range(len(DISAGREE))]
    once = [shown(half, disagree, generator) for half, disagree in zip(halves, DISAGREE, strict=True)]

    def draw(count: int, generator: torch.Generator) -> list[Labelled]:
        batches = []
        for half, disagree, drawn in zip(halves, DISAGREE, once, strict=True):
            rows = some(len(half[1]), count, generator)
            batch = rows_of(drawn if fixed else half, rows)
            batches.append(batch if fixed else shown(batch, disagree, generator))
        return batches

    names = tuple(f"colour agrees with {1 - disagree:.0%}" for disagree in DISAGREE)
    return Domains(f"coloured {data}", 2, 1 if grey else 2, names, draw, evaluations)


def rotated(seed: int = 0, oracle: bool = False) -> Domains:
    """Ten digits at 0°, 15°, … 60° for training and at 75° for testing; −15° is the validation environment's.

    Training environments share no digit. The `oracle` is trained at 75° as well, with digits that no other has. Nothing
    is drawn but the digits of a batch, so `seed` changes nothing but their place among the environments.
    """
    (scans, labels), test = (scans_of("mnist", part) for part in ("train", "test"))
    kept, held = held_out(len(labels))
    kept = kept[torch.randperm(len(kept), generator=torch.Generator().manual_seed(seed))]
    angles = (*ANGLES, ANGLE_TEST)[: len(ANGLES) + oracle]
    # A sixth each, with the oracle or without, so that its advantage is not more digits of an angle.
    shares = [kept[k :: len(ANGLES) + 1] for k in range(len(angles))]
    sets = [turned(scans[rows], labels[rows], angle) for rows, angle in zip(shares, angles, strict=True)]

    def draw(count: int, generator: torch.Generator) -> list[Labelled]:
        rows = [some(len(one[1]), count, generator) for one in sets]
        return [(pictures[r], labels[r]) for (pictures, labels), r in zip(sets, rows, strict=True)]

    evaluations = {
        "training": pooled([turned(test[0], test[1], angle) for angle in ANGLES[::2]]),
        "validation": pooled([turned(scans[held], labels[held], angle) for angle in ANGLES]),
        "validation environment": turned(scans[held], labels[held], ANGLE_VALIDATION),
        "test": turned(*test, ANGLE_TEST),
    }
    return Domains("rotated mnist", 10, 1, tuple(f"{angle:g}°" for angle in angles), draw, evaluations)


def scans_of(data: str, part: str) -> tuple[Float[Tensor, "n 28 28"], Int[Tensor, "n"]]:
    """Grey scans of `mnist` or `fashion`, from 0 to 1, and labels of ten classes."""
    images, labels = load_scans(SCANS[one_of("data of environments", data, ("mnist", "fashion"))], part)
    return images[:, 0, 2:-2, 2:-2] / 255, labels


def binary_scans(data: str, part: str) -> tuple[Float[Tensor, "n 14 14"], Bool[Tensor, "n"]]:
    """Every second pixel, and whether a digit is below five, or a piece of clothing a shoe; bags are left out."""
    images, labels = scans_of(data, part)
    if data == "mnist":
        return small(images), labels < 5
    clothes = labels != FASHION_BAG
    return small(images[clothes]), torch.isin(labels[clothes], torch.tensor(FASHION_SHOES))


def small(images: Float[Tensor, "n 28 28"]) -> Float[Tensor, "n 14 14"]:
    return images[:, ::2, ::2]


def turned(images: Float[Tensor, "n 28 28"], labels: Int[Tensor, "n"], angle: float) -> Labelled:
    """Anticlockwise by `angle` degrees, bilinear, one channel of 14 pixels."""
    turned = rotate(images[:, None], angle, InterpolationMode.BILINEAR)
    return small(turned[:, 0])[:, None], labels


def painted(images: Float[Tensor, "n h w"], colours: Bool[Tensor, "n"]) -> Float[Tensor, "n 2 h w"]:
    """Each in the channel of its colour; the other is zero."""
    both = torch.zeros(len(images), 2, *images.shape[1:])
    both[torch.arange(len(images)), colours.long()] = images
    return both


def flipped(bits: Bool[Tensor, "n"], probability: float, generator: torch.Generator) -> Bool[Tensor, "n"]:
    """Each bit is the other with this probability."""
    return bits ^ (torch.rand(len(bits), generator=generator) < probability)


def some(count: int, wanted: int, generator: torch.Generator) -> Int[Tensor, "wanted"]:
    """Indices of so many different ones. Raises ValueError for more than there are."""
    if not 1 <= wanted <= count:
        raise ValueError(f"an environment has {count} pictures: a batch of it must be from 1 to that, not {wanted}")
    return torch.randperm(count, generator=generator)[:wanted]


def rows_of(pair: tuple[Tensor, Tensor], rows: Tensor | slice) -> tuple[Tensor, Tensor]:
    return pair[0][rows], pair[1][rows]


def pooled(parts: list[Labelled]) -> Labelled:
    images, labels = zip(*parts, strict=True)
    return torch.cat(images), torch.cat(labels)
