"""Which configuration does transformers need for an image tower of open_clip?

What transformers' CLIPVisionModel must be told of an open_clip image tower, beside its weights.
"""

from pathlib import Path

from ..files import read_json
from ..models import Clip

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
