"""How does an edited model get into another program?

Edited models to formats that other programs read.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

from ..files import write_atomically, write_json, write_tensors
from ..models import Clip, Parameters
from .hugging_face import preprocessor_config, vision_config
from .layouts import PROJECTION, hugging_face_layout


def save_open_clip(clip: Clip, theta: Parameters, path: Path | str) -> None:
    """The whole CLIP as an open_clip state dict: image tower θ, everything else as it is.

    `open_clip.create_model(clip.name, pretrained=str(path))` loads it. Raises ValueError for a suffix other than
    .safetensors, by which open_clip knows the format, and for parameters that are not the tower's.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path} must end in .safetensors")
    check_theta(clip, theta)
    write_tensors(path, {**clip.model.state_dict(), **theta}, {})


def save_hugging_face(clip: Clip, theta: Parameters, folder: Path | str) -> None:
    """The image tower as a folder that transformers' CLIPVisionModelWithProjection.from_pretrained loads.

    Its image_embeds are f(x; θ), and preprocessor_config.json makes the pixels. The text tower is not in it.
    Weights are written last: a folder without model.safetensors is unfinished. Raises ValueError for an
    architecture that transformers' CLIP does not have, and for parameters that are not the tower's.
    """
    folder = Path(folder)
    check_theta(clip, theta)
    config, layout = vision_config(clip), hugging_face_layout(clip.theta0)
    tensors = {PROJECTION: theta["visual.proj"].T}
    for name, parts in layout.items():
        for part, value in zip(parts, theta[name].chunk(len(parts)), strict=True):
            tensors[f"vision_model.{part}"] = value
    # Copies, for safetensors refuses tensors that share memory.
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()
    }
    weights = folder / "model.safetensors"
    weights.unlink(missing_ok=True)
    write_json(folder / "config.json", config)
    write_json(folder / "preprocessor_config.json", preprocessor_config(clip))
    write_atomically(weights, lambda temporary: save_file(tensors, temporary, metadata={"format": "pt"}))


def check_theta(clip: Clip, theta: Parameters) -> None:
    if {name: value.shape for name, value in theta.items()} != {name: v.shape for name, v in clip.theta0.items()}:
        raise ValueError(f"the parameters to save are not those of {clip.name}'s image tower")
    for name, value in theta.items():
        if not value.isfinite().all():
            raise ValueError(f"the parameter {name} to save has NaN or infinite numbers")
