"""Which CLIP is in a folder that transformers' CLIPModel has written?

Its architecture is built from config.json by open_clip, so that everything else works on it as on open_clip's own.
"""

import gzip
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import open_clip
import safetensors
import torch
from torch import nn

from ..files import read_json
from .hugging_face import whole_layout
from .layouts import TRANSPOSED
from .pickles import StoredTensor
from .weights import read_stored, weights_file

# What transformers' CLIPTextConfig and CLIPVisionConfig have by default: older versions left it out of config.json.
BOTH = {"num_hidden_layers": 12, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
VISION = {
    **BOTH,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
}
TEXT = {**BOTH, "hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8, "vocab_size": 49408, "max_position_embeddings": 77}  # fmt: skip
ACTIVATIONS = ("gelu", "quick_gelu")
CLIPS_TOKENS = 49408  # of the tokenizer that open_clip has


def read_clip(folder: Path) -> tuple[str, nn.Module, object]:
    """The name, the model and the tokenizer of a folder with a transformers' CLIPModel.

    The name is that of open_clip's architecture of these sizes, if there is one, otherwise the folder's. Raises
    FileNotFoundError or ValueError, in a sentence that names the folder, for one that holds no whole CLIPModel.
    """
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} holds no config.json, so that it is no CLIP that transformers has written")
    config = read_json(folder / "config.json")
    try:
        architecture = open_clip_config(config)
        model = open_clip.CLIP(**architecture)
        open_clip.model.set_model_preprocess_cfg(model, preprocessing(folder, model))
        load_weights(model, read_stored(weights_file(folder)))
        return known_name(architecture) or folder.absolute().name, model, tokenizer_of(folder, architecture["text_cfg"])
    # open_clip asserts that sizes divide each other.
    except (ValueError, TypeError, KeyError, AssertionError, safetensors.SafetensorError) as error:
        raise ValueError(f"{folder} holds no CLIPModel that can be loaded: {error}") from None


def open_clip_config(config: object) -> dict:
    """The arguments of open_clip.CLIP. Raises ValueError for a model of another kind."""
    if not isinstance(config, Mapping) or config.get("model_type") != "clip" or "vision_config" not in config:
        kind = config.get("model_type") if isinstance(config, Mapping) else type(config).__name__
        raise ValueError(
            f"its config.json is of the kind {kind!r}, and a whole CLIPModel is needed, with its text tower, for zero-shot heads"
        )
    vision, text = VISION | config["vision_config"], TEXT | (config.get("text_config") or {})
    for tower, accepted in ((vision, ACTIVATIONS), (text, (vision["hidden_act"],))):
        if tower["hidden_act"] not in accepted:
            raise ValueError(f"its hidden_act is {tower['hidden_act']}, and {' or '.join(accepted)} is accepted")
        if tower["layer_norm_eps"] != 1e-5:
            raise ValueError(f"its layer_norm_eps is {tower['layer_norm_eps']}, and open_clip has 1e-05")
    return {
        "embed_dim": config.get("projection_dim", 512),
        "quick_gelu": vision["hidden_act"] == "quick_gelu",
        "vision_cfg": {
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "layers": vision["num_hidden_layers"],
            "width": vision["hidden_size"],
            "head_width": vision["hidden_size"] // vision["num_attention_heads"],
            "mlp_ratio": vision["intermediate_size"] / vision["hidden_size"],
        },
        "text_cfg": {
            "context_length": text["max_position_embeddings"],
            "vocab_size": text["vocab_size"],
            "width": text["hidden_size"],
            "heads": text["num_attention_heads"],
            "layers": text["num_hidden_layers"],
            "mlp_ratio": text["intermediate_size"] / text["hidden_size"],
        },
    }


def known_name(architecture: dict) -> str | None:
    """The open_clip model that has just these sizes; of several the one with the shortest name."""
    defaults = {"vision_cfg": {"head_width": 64, "mlp_ratio": 4.0}, "text_cfg": {"mlp_ratio": 4.0}}

    def sizes(config: dict) -> dict:
        towers = {name: {**defaults[name], **config[name]} for name in defaults}
        return {"quick_gelu": False, **config, **towers}

    found = [name for name in open_clip.list_models() if sizes(open_clip.get_model_config(name)) == sizes(architecture)]
    return min(found, key=len, default=None)


def preprocessing(folder: Path, model: nn.Module) -> dict:
    """How pictures become pixels: what the folder says, or what CLIP does."""
    path = folder / "preprocessor_config.json"
    said = read_json(path) if path.is_file() else {}
    return {
        "size": model.visual.image_size,
        "mean": tuple(said.get("image_mean", open_clip.OPENAI_DATASET_MEAN)),
        "std": tuple(said.get("image_std", open_clip.OPENAI_DATASET_STD)),
    }


@torch.no_grad()
def load_weights(model: nn.Module, stored: dict[str, StoredTensor]) -> None:
    """Raises ValueError for a tensor that is missing or has another shape."""
    parameters = dict(model.named_parameters())
    for name, parts in whole_layout(parameters).items():
        if missing := [part for part in parts if part not in stored]:
            raise ValueError(f"it lacks {missing[0]}")
        value = torch.cat([stored[part].read() for part in parts]) if len(parts) > 1 else stored[parts[0]].read()
        value = value.T if name in TRANSPOSED else value
        if value.shape != parameters[name].shape:
            raise ValueError(f"its {parts[0]} has shape {list(value.shape)}, not {list(parameters[name].shape)}")
        parameters[name].copy_(value)


def tokenizer_of(folder: Path, text: Mapping) -> object:
    """CLIP's own, or one of its kind with the merges that lie in the folder."""
    if text["vocab_size"] == CLIPS_TOKENS:
        return open_clip.SimpleTokenizer(context_length=text["context_length"])
    with tempfile.NamedTemporaryFile(suffix=".gz") as file:
        file.write(gzip.compress("\n".join(["#version: 0.2", *merges(folder)]).encode()))
        file.flush()
        tokenizer = open_clip.SimpleTokenizer(file.name, context_length=text["context_length"])
    if tokenizer.vocab_size != text["vocab_size"]:
        raise ValueError(
            f"its tokenizer has {tokenizer.vocab_size} tokens, and its text tower reads {text['vocab_size']}"
        )
    return tokenizer


def merges(folder: Path) -> list[str]:
    """Pairs of tokens, in the order in which the tokenizer joins them."""
    if (folder / "merges.txt").is_file():
        return (folder / "merges.txt").read_text(encoding="utf-8").strip().split("\n")[1:]
    if (folder / "tokenizer.json").is_file():
        pairs = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["merges"]
        return [pair if isinstance(pair, str) else " ".join(pair) for pair in pairs]
    raise ValueError("it has neither merges.txt nor tokenizer.json, and its tokens are not CLIP's own")
