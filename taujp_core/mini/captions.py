"""What does the small CLIP read and see in pre-training? Image-caption pairs, rendered on the fly.

Seven kinds of pictures at random severity. Street numbers and pen strokes teach digits; scans, clothes, and many of
the type faces and class names of the tasks never occur, so that the tasks stay harder than what the model has seen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from . import characters, shapes, signs, terrain, textures
from .canvas import MAX_PRETRAINING_SEVERITY, Random


@dataclass(frozen=True)
class PictureKind:
    """`share` of the batch, the renderer, the names of its classes and the captions around a name."""

    share: float
    render: Callable
    classes: tuple[str, ...]
    templates: tuple[str, ...]


KINDS = (
    PictureKind(0.17, partial(characters.render_street, faces=characters.PRETRAINING_FACES), characters.DIGITS, (
        "a photo of the house number {}", "the number {}", "a street number {}", "a blurry photo of the number {}")),
    PictureKind(0.16, characters.render_pen, characters.DIGITS, (
        "a handwritten digit {}", "a scan of the digit {}", "the number {}", "a white digit {} on black paper")),
    PictureKind(0.23, partial(characters.render_letters, faces=characters.PRETRAINING_FACES), characters.LETTERS, (
        "the letter {}", "a photo of the letter {}", "a picture of the letter {}", "a printed letter {}")),
    PictureKind(0.13, textures.render, textures.CLASSES, (
        "a {} texture", "a photo of a {} surface", "a {} pattern", "something {}")),
    PictureKind(0.12, signs.render, signs.CLASSES, (
        "a {} sign", "a photo of a {} traffic sign", "a road sign: {}", "a blurry photo of a {} sign")),
    PictureKind(0.09, terrain.render, terrain.CLASSES, (
        "a satellite photo of {}", "an aerial picture of {}", "{} seen from above", "land with {}")),
    PictureKind(0.10, shapes.render, shapes.CLASSES, (
        "a {}", "a picture of a {}", "a drawing of a {}", "a photo of a {}")),
)  # fmt: skip


def caption_batch(
    batch_size: int, seed: int, step: int
) -> tuple[UInt8[Tensor, "b 3 32 32"], list[str], Int[Tensor, "b"]]:
    """Images, the distinct captions, and for each image the index of its caption.

    One template a kind and batch: images of one class share their caption, and the loss must know it.
    """
    counts = [round(kind.share * batch_size) for kind in KINDS]
    counts[0] += batch_size - sum(counts)
    images, captions = [], []
    for number, (kind, count) in enumerate(zip(KINDS, counts, strict=True)):
        if count == 0:  # of a small batch
            continue
        rng = Random(count, seed, step, number)
        labels = rng.integers(len(kind.classes))
        images.append(kind.render(rng, labels, rng.uniform(0, MAX_PRETRAINING_SEVERITY, ())))
        template = kind.templates[rng.state.randint(len(kind.templates))]
        captions += [template.format(kind.classes[label]) for label in labels.tolist()]
    distinct = sorted(set(captions))
    position = {caption: k for k, caption in enumerate(distinct)}
    return torch.cat(images), distinct, torch.tensor([position[caption] for caption in captions])
