"""Which CLIP is edited, and what are its θ₀ and its zero-shot heads?

The image encoder f(x; θ), θ₀ and its fingerprint, zero-shot heads. `pretrained.load_clip` makes a Clip.
"""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import open_clip
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from .cache import read_cached, write_cached
from .checks import check_bytes
from .identity import digest, fingerprint
from .parameters import Parameters
from .progress import Progress

ASSETS = Path(str(files("taujp_core"))) / "mini" / "assets"
VERSION = 1  # of the zero-shot heads
CLASSES = 10  # of a zero-shot head, encoded at once: open_clip's own default


class ImageEncoder(nn.Module):
    """f(x; θ): images [b, 3, h, w] as bytes to features [b, d], before normalisation to unit length.

    The pixels' mean and scale are part of the encoder, so that images stay bytes until they are on the device.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, visual: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]):
        super().__init__()
        self.visual = visual
        self.register_buffer("mean", 255 * torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, images: Shaped[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        check_bytes("images", images)
        return self.visual((images.to(self.mean.dtype) - self.mean) / self.std)


@dataclass
class Clip:
    """A loaded CLIP. `theta0` holds the image encoder's parameters; the text tower only makes heads."""

    name: str
    model: nn.Module
    tokenizer: Any  # open_clip's: texts to tokens, with a context_length
    encoder: nn.Module
    theta0: Parameters
    fingerprint: str
    image_size: int
    logit_scale: float


def wrap_clip(name: str, model: nn.Module, tokenizer: object, device: str) -> Clip:
    visual, logit_scale = cast(Any, model).visual, cast(Any, model).logit_scale
    preprocess = visual.preprocess_cfg
    encoder = ImageEncoder(visual, tuple(preprocess["mean"]), tuple(preprocess["std"])).to(device).eval()
    theta0 = {key: value.detach().clone() for key, value in encoder.named_parameters()}
    size = visual.image_size
    return Clip(
        name=name,
        model=model,
        tokenizer=tokenizer,
        encoder=encoder,
        theta0=theta0,
        fingerprint=fingerprint(theta0),
        image_size=size[0] if isinstance(size, tuple) else size,
        logit_scale=float(logit_scale.detach().exp()),
    )


def zero_shot_head(clip: Clip, class_names: tuple[str, ...], templates: tuple[str, ...]) -> Float[Tensor, "d classes"]:
    """The frozen classifier: per class the mean of its templates' text features, times CLIP's logit scale.

    Logits of features f are f/‖f‖ @ head. Cached under the fingerprint of the text tower, names and templates
    (a thousand classes with eighty templates each take a quarter of an hour on a CPU). Raises ValueError for a text
    that is longer than the text tower reads, and for two classes that it cannot tell apart. One name given twice has
    one column twice, as ImageNet's published names do; a task of one's own may not (`entries.class_names`).
    """
    device = next(iter(clip.theta0.values())).device
    text = {name: value for name, value in clip.model.state_dict().items() if not name.startswith("visual.")}
    decides = {"version": VERSION, "model": clip.name, "text_tower": fingerprint(text)}
    name = f"heads/{digest({**decides, 'classes': class_names, 'templates': templates})}.safetensors"
    if (tensors := read_cached(name)) is None:
        check_texts(clip, class_names, templates)
        progress, parts = Progress(f"zero-shot head of {clip.name}", len(class_names), unit="class"), []
        for start in range(0, len(class_names), CLASSES):
            part = class_names[start : start + CLASSES]
            parts.append(
                open_clip.build_zero_shot_classifier(
                    clip.model, clip.tokenizer, part, templates, num_classes_per_batch=CLASSES, device=device
                )
            )
            progress.advance(len(part))
        progress.close()
        # As it will be read from the file: another layout in memory would round otherwise.
        tensors = {"head": (clip.logit_scale * torch.cat(parts, 1)).contiguous()}
        write_cached(name, tensors)
    head = tensors["head"]
    check_apart(clip, class_names, [column.tobytes() for column in head.T.cpu().contiguous().numpy()])
    return head.to(device)


def check_texts(clip: Clip, class_names: tuple[str, ...], templates: tuple[str, ...]) -> None:
    """Raises ValueError for a text that would be cut, and for two classes whose texts are the same tokens."""
    read, limit = [], clip.tokenizer.context_length
    for name in class_names:
        texts = [template.format(name) for template in templates]
        # A tokenizer cuts without a word, and none tells how many tokens a text has: where one place more than the tower
        # has is filled, another word changes nothing.
        tokens, longer = (clip.tokenizer(given, limit + 1) for given in (texts, [f"{text} x" for text in texts]))
        for template, text, cut in zip(templates, texts, (tokens == longer).all(1), strict=True):
            if cut:
                raise ValueError(
                    f"the class {name!r} in the template {template!r} has {tokens_of(clip.tokenizer, text)} tokens, and "
                    f"the text tower of {clip.name} reads {limit}: shorten the name or the template"
                )
        read.append(tokens.numpy().tobytes())
    check_apart(clip, class_names, read)


def tokens_of(tokenizer: Any, text: str) -> int:
    """Tokens of a text that is longer than the tokenizer's own length, start and end among them."""
    length = tokenizer.context_length
    while torch.equal(tokenizer([text], length + 1), tokenizer([f"{text} x"], length + 1)):
        length += 1
    return length


def check_apart(clip: Clip, class_names: tuple[str, ...], read: list[bytes]) -> None:
    """Raises ValueError for two different names of which the text tower reads, or says, the same."""
    seen: dict[bytes, str] = {}
    for name, what in zip(class_names, read, strict=True):
        other = seen.setdefault(what, name)
        if other != name:
            raise ValueError(
                f"the classes {other!r} and {name!r} are one to the text tower of {clip.name}, and get equal columns of "
                "the zero-shot head: give them names that differ"
            )


def logits(features: Float[Tensor, "*b d"], head: Float[Tensor, "d classes"]) -> Float[Tensor, "*b classes"]:
    """Cosine logits: features are normalised here, after the (possibly linearised) encoder."""
    return nn.functional.normalize(features, dim=-1) @ head
