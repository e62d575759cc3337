"""Which pre-trained CLIP does a name or a folder mean, and how is it loaded?"""

from functools import cache
from pathlib import Path

import open_clip
import torch
from torch import nn

from .checkpoints.clip_folder import read_clip
from .files import sha256
from .models import ASSETS, Clip, wrap_clip
from .progress import quiet_downloads

RANDOM = "random"  # in place of a tag
# What the Hugging Face hub calls OpenAI's weights; open_clip fetches the same ones from elsewhere.
OPENAI = {
    "openai/clip-vit-base-patch32": "ViT-B-32-quickgelu",
    "openai/clip-vit-base-patch16": "ViT-B-16-quickgelu",
    "openai/clip-vit-large-patch14": "ViT-L-14-quickgelu",
    "openai/clip-vit-large-patch14-336": "ViT-L-14-336-quickgelu",
}


def load_clip(
    name: str | Path, pretrained: str | None = None, device: str | None = None, assets: Path = ASSETS
) -> Clip:
    """A CLIP with its pre-trained weights θ₀.

    name: `mini`, which ships with the project; an architecture of open_clip, with a tag as `pretrained`; the name of a
    CLIP on the Hugging Face hub that open_clip knows, such as `openai/clip-vit-base-patch32`; or a folder that
    transformers' CLIPModel or open_clip has written. pretrained: `random` gives random weights, always the same. device:
    a GPU if there is one.

    Raises ValueError for an unknown name or tag, for an architecture without a tag, for a folder that holds no CLIP, for
    weights that were trained with another activation function than the architecture has, and for weights of `mini` that
    are not those that were published with it; FileNotFoundError for a folder without a config.json; ConnectionError for
    weights that are not on this machine and cannot be downloaded.

    >>> load_clip("mini").image_size
    32
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    quiet_downloads()
    shipped = sorted(path.parent.name for path in assets.glob("*/open_clip_config.json"))
    if name in shipped:
        check_shipped_weights(assets / name)
        return of_folder(assets / name, device, bpe_path=str(assets / name / "bpe_merges.txt.gz"))
    if name not in open_clip.list_models() and Path(name).is_dir():  # a folder may have an architecture's name
        if pretrained is not None:
            raise ValueError(f"{name} is a folder that holds its weights: pretrained must not be given beside it")
        if (Path(name) / "open_clip_config.json").is_file():
            return of_folder(Path(name), device)
        title, model, tokenizer = read_clip(Path(name))
        return wrap_clip(title, model.to(device).eval().requires_grad_(False), tokenizer, device)
    architecture, tag = of_hub(name, pretrained) if "/" in str(name) else (str(name), pretrained)
    check_tag(architecture, tag, shipped)
    try:
        model = created(architecture, device, pretrained=None if tag == RANDOM else tag)
    except RuntimeError as error:
        if not str(error).startswith("Failed to download"):
            raise
        entry = open_clip.get_pretrained_cfg(architecture, tag)
        where = entry.get("url") or f"https://huggingface.co/{entry['hf_hub'].rstrip('/')}"
        reason = str(error).splitlines()[0]
        raise ConnectionError(f"the weights {tag!r} of {architecture} must be fetched from {where}: {reason}") from None
    return wrap_clip(architecture, model, open_clip.get_tokenizer(architecture), device)


def of_folder(folder: Path, device: str, **tokenizer_options: str) -> Clip:
    """Of a folder with an open_clip_config.json; its name is the CLIP's."""
    source = f"local-dir:{folder}"
    tokenizer = open_clip.get_tokenizer(source, **tokenizer_options)
    return wrap_clip(folder.name, created(source, device), tokenizer, device)


def created(source: str, device: str, **options: str | None) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return open_clip.create_model(source, device=device, **options).eval().requires_grad_(False)


@cache
def hub_names() -> dict[str, tuple[str, str]]:
    """The architecture and tag of each CLIP on the hub that open_clip knows."""
    found: dict[str, tuple[str, str]] = {}
    for name, tag in open_clip.list_pretrained():
        entry = open_clip.get_pretrained_cfg(name, tag)
        if "hf_hub" in entry and has_quick_gelu(name) == entry.get("quick_gelu", False):
            found.setdefault(entry["hf_hub"].rstrip("/"), (name, tag))
    return found | {name: (architecture, "openai") for name, architecture in OPENAI.items()}


def of_hub(name: str | Path, pretrained: str | None) -> tuple[str, str]:
    if pretrained is not None:
        raise ValueError(f"{name} names its weights: pretrained must not be given beside it")
    if str(name) not in hub_names():
        raise ValueError(
            f"{name} is neither a folder nor a CLIP of the Hugging Face hub that open_clip knows: accepted are "
            f"{', '.join(OPENAI)} and {len(hub_names()) - len(OPENAI)} others (`taujp_core.pretrained.hub_names()`)"
        )
    return hub_names()[str(name)]


def check_tag(name: str, tag: str | None, shipped: list[str]) -> None:
    """Raises ValueError unless the architecture is known and has these weights."""
    if name not in open_clip.list_models():
        raise ValueError(
            f"unknown model {name!r}: accepted are {', '.join(shipped)}, the names of open_clip.list_models(), names on the "
            "Hugging Face hub such as openai/clip-vit-base-patch32, and folders"
        )
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag is None or tag not in (*tags, RANDOM):
        wrong = f"unknown pretrained tag {tag!r} for {name}" if tag else f"{name} is an architecture without weights"
        raise ValueError(f"{wrong}: accepted are {', '.join([*tags, RANDOM])}")
    if tag != RANDOM:
        check_activation(name, tag)


def has_quick_gelu(name: str) -> bool:
    return open_clip.get_model_config(name).get("quick_gelu", False)


def check_activation(name: str, pretrained: str) -> None:
    """QuickGELU and GELU give different features with the same weights, and open_clip only warns."""
    weights = open_clip.get_pretrained_cfg(name, pretrained).get("quick_gelu", False)
    if has_quick_gelu(name) != weights:
        other = f"{name}-quickgelu" if weights else name.removesuffix("-quickgelu")
        raise ValueError(
            f"the weights {pretrained!r} of {name} were trained with {'QuickGELU' if weights else 'GELU'}, "
            f"which {name} does not have: use {other}"
        )


def check_shipped_weights(folder: Path) -> None:
    """Compare the weights' SHA-256 with the one published beside them."""
    weights, published = folder / "open_clip_model.safetensors", folder / "SHA256"
    if not weights.is_file():
        raise FileNotFoundError(f"{weights} does not exist: install the package again")
    if sha256(weights) != published.read_text().strip():
        raise ValueError(f"{weights} is truncated or altered: its SHA-256 is not the one in {published.name}")
