"""How is a CLIP of open_clip written down for transformers?

The configuration, tensors, tokenizer and preprocessing of transformers' CLIPModel; of its image tower alone, where the
text tower has no place there.
"""

from collections.abc import Iterable
from pathlib import Path

import torch

from ..files import read_json
from ..models import Clip
from ..parameters import Parameters
from .layouts import PROJECTION, TRANSPOSED, Layout, hugging_face_layout, hugging_face_text_layout

# transformers' CLIPVisionConfig has these defaults, and older versions left them out of config.json.
DEFAULTS = {"hidden_act": "quick_gelu", "num_attention_heads": 12, "layer_norm_eps": 1e-5}
ACTIVATIONS = {"GELU": "gelu", "QuickGELU": "quick_gelu"}


def vision_config(clip: Clip) -> dict[str, object]:
    """The config.json of this image tower. Raises ValueError for one that is not CLIP's plain vision transformer."""
    visual = clip.encoder.visual
    plain = (
        type(visual).__name__ == "VisionTransformer"
        and visual.pool_type == "tok"
        and visual.attn_pool is None
        and not visual.final_ln_after_pool
        and visual.image_size[0] == visual.image_size[1]
    )
    block = visual.transformer.resblocks[0] if plain else None
    if not plain or type(block.mlp.gelu).__name__ not in ACTIVATIONS:
        raise ValueError(
            f"{clip.name} has no Hugging Face layout: its image tower is not the square vision transformer of CLIP"
        )
    width, channels, patch, _ = visual.conv1.weight.shape
    return {
        "architectures": ["CLIPVisionModelWithProjection"],
        "model_type": "clip_vision_model",
        "hidden_size": width,
        "intermediate_size": block.mlp.c_fc.out_features,
        "projection_dim": visual.proj.shape[1],
        "num_hidden_layers": len(visual.transformer.resblocks),
        "num_attention_heads": block.attn.num_heads,
        "num_channels": channels,
        "image_size": visual.image_size[0],
        "patch_size": patch,
        "hidden_act": ACTIVATIONS[type(block.mlp.gelu).__name__],
        "layer_norm_eps": block.ln_1.eps,
        "attention_dropout": 0.0,
        "dtype": "float32",
    }


def model_config(clip: Clip) -> dict[str, object]:
    """The config.json: of a whole CLIPModel or, where transformers has no such text tower, of the image tower."""
    vision = vision_config(clip)
    if not has_text_tower(clip):
        return vision
    model, block = clip.model, clip.model.transformer.resblocks[0]
    text = {
        "model_type": "clip_text_model",
        "vocab_size": model.token_embedding.num_embeddings,
        "hidden_size": model.token_embedding.embedding_dim,
        "intermediate_size": block.mlp.c_fc.out_features,
        "projection_dim": model.text_projection.shape[1],
        "num_hidden_layers": len(model.transformer.resblocks),
        "num_attention_heads": block.attn.num_heads,
        "max_position_embeddings": model.positional_embedding.shape[0],
        "hidden_act": ACTIVATIONS[type(block.mlp.gelu).__name__],
        "layer_norm_eps": block.ln_1.eps,
        "attention_dropout": 0.0,
        # open_clip reads the features at the largest token, which is the text's end.
        "bos_token_id": model.token_embedding.num_embeddings - 2,
        "eos_token_id": model.token_embedding.num_embeddings - 1,
        "pad_token_id": model.token_embedding.num_embeddings - 1,
    }
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": vision["projection_dim"],
        "logit_scale_init_value": float(clip.model.logit_scale),
        "vision_config": vision,
        "text_config": text,
        "dtype": "float32",
    }


def whole_layout(names: Iterable[str]) -> Layout:
    """Where transformers' CLIPModel has these parameters of open_clip's CLIP."""
    image, others = ([name for name in names if name.startswith("visual.") is inside] for inside in (True, False))
    layout = {
        name: tuple(f"vision_model.{part}" for part in parts) for name, parts in hugging_face_layout(image).items()
    }
    layout |= {"visual.proj": (PROJECTION,), **hugging_face_text_layout(others)}
    return layout | ({"logit_scale": ("logit_scale",)} if "logit_scale" in others else {})


def has_text_tower(clip: Clip) -> bool:
    """Whether the text tower is CLIP's plain transformer, which transformers' CLIPModel has."""
    text = text_parameters(clip)
    return (
        hugging_face_text_layout(text).keys() == text.keys()
        and getattr(clip.model, "text_pool_type", "argmax") == "argmax"
        and type(clip.model.transformer.resblocks[0].mlp.gelu).__name__ in ACTIVATIONS
    )


def text_parameters(clip: Clip) -> Parameters:
    """What the CLIP has beside its image tower, but for the logit scale and buffers."""
    return {
        name: value
        for name, value in clip.model.named_parameters()
        if not name.startswith("visual.") and name not in ("logit_scale", "logit_bias")
    }


def model_tensors(clip: Clip, theta: Parameters) -> Parameters:
    """The tensors by transformers' names: image tower θ, everything else as it is."""
    values = theta | (text_parameters(clip) | {"logit_scale": clip.model.logit_scale} if has_text_tower(clip) else {})
    tensors = {}
    for name, parts in whole_layout(values).items():
        value = values[name].T if name in TRANSPOSED else values[name]
        tensors |= zip(parts, value.chunk(len(parts)) if len(parts) > 1 else [value], strict=True)
    # Copies, for safetensors refuses tensors that share memory.
    return {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}


def tokenizer_files(clip: Clip) -> dict[str, object]:
    """The files of transformers' CLIPTokenizer by name: dicts for JSON files, strings for texts. Empty unless the model has
    CLIP's own tokenizer."""
    tokenizer = clip.tokenizer
    if not (has_text_tower(clip) and hasattr(tokenizer, "bpe_ranks")):
        return {}
    special = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    start, end = special.values()
    return {
        "vocab.json": {special.get(token, token): number for token, number in tokenizer.encoder.items()},
        "merges.txt": "\n".join(["#version: 0.2", *(" ".join(pair) for pair in tokenizer.bpe_ranks)]) + "\n",
        "tokenizer_config.json": {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": tokenizer.context_length,
            "bos_token": start,
            "eos_token": end,
            "unk_token": end,
            "pad_token": end,
        },
    }


def preprocessor_config(clip: Clip) -> dict[str, object]:
    """The preprocessor_config.json: how a CLIPImageProcessor makes the pixels that the tower was trained on."""
    preprocess, size = clip.encoder.visual.preprocess_cfg, clip.image_size
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": 3,  # bicubic
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocess["mean"]),
        "image_std": list(preprocess["std"]),
    }


def check_config(path: Path, clip: Clip) -> None:
    """Raises ValueError if this config.json describes another function of the same weights than the tower's."""
    try:
        config = read_json(path)
    except RecursionError:
        raise ValueError("its config.json is nested too deeply") from None
    vision = config.get("vision_config", config) if isinstance(config, dict) else None
    if not isinstance(vision, dict):
        raise ValueError("its config.json is not one of a CLIP model")
    ours = vision_config(clip)
    for key, default in DEFAULTS.items():
        if vision.get(key, default) != ours[key]:
            raise ValueError(
                f"its config.json says {key} {vision.get(key, default)}, {clip.name} has {ours[key]}: load the "
                "architecture that fits, such as ViT-B-32-quickgelu"
            )
