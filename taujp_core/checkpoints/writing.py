"""How does an edited model get into another program?"""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save_file

from ..files import UNFINISHED, read_json, write_atomically, write_json, write_tensors, write_text
from ..models import Clip
from ..parameters import Parameters
from .hugging_face import model_config, model_tensors, preprocessor_config, tokenizer_files
from .weights import metadata_of

MERGE = "merge"  # what a merge says of itself: in the head of a file, in a folder's MERGE.json


def save_open_clip(clip: Clip, theta: Parameters, path: Path | str, record: dict | None = None) -> None:
    """The whole CLIP as an open_clip state dict: image tower θ, everything else as it is.

    `open_clip.create_model(clip.name, pretrained=str(path))` loads it. record: what `merge_record` shall find. Raises
    ValueError for a suffix other than .safetensors, by which open_clip knows the format, and for parameters that are
    not the tower's.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path} must end in .safetensors")
    check_theta(clip, theta)
    write_tensors(path, {**clip.model.state_dict(), **theta}, {MERGE: record} if record else {})


def save_hugging_face(clip: Clip, theta: Parameters, folder: Path | str, record: dict | None = None) -> None:
    """The whole CLIP as a folder that transformers' CLIPModel.from_pretrained loads: image tower θ, everything else as it is.

    CLIPVisionModelWithProjection loads it too, whose image_embeds are f(x; θ); CLIPTokenizer and CLIPImageProcessor find
    their files there. Of a text tower that CLIPModel does not have only the image tower is written. A new folder appears
    whole, by one rename. In one that has files already weights are written last: without model.safetensors it is
    unfinished. record: what `merge_record` shall find. Raises ValueError for an image tower that transformers' CLIP does
    not have, and for parameters that are not the tower's.
    """
    folder = Path(folder)
    check_theta(clip, theta)
    config, tensors = model_config(clip), model_tensors(clip, theta)
    texts = {"config.json": config, "preprocessor_config.json": preprocessor_config(clip), **tokenizer_files(clip)}
    texts |= {f"{MERGE}.json": record} if record else {}

    def write(folder: Path) -> None:
        weights = folder / "model.safetensors"
        weights.unlink(missing_ok=True)
        for name, content in texts.items():
            if isinstance(content, str):
                write_text(folder / name, content)
            else:
                write_json(folder / name, content)
        write_atomically(weights, lambda temporary: save_file(tensors, temporary, metadata={"format": "pt"}))

    if folder.is_dir() and any(folder.iterdir()):
        write(folder)
    else:
        write_folder(folder, write)


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary folder, then rename it to `folder`, which is not there or is empty."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    around = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=UNFINISHED))
    try:
        # Made inside, for mkdtemp's own folder may be opened by its owner alone.
        (around / folder.name).mkdir()
        write(around / folder.name)
        (around / folder.name).replace(folder)
    finally:
        shutil.rmtree(around)


def merge_record(path: Path | str) -> dict:
    """What the merge that wrote this file or folder says of itself; empty for anything else."""
    path = Path(path)
    try:
        stored = read_json(path / f"{MERGE}.json") if path.is_dir() else json.loads(metadata_of(path).get(MERGE, "{}"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return stored if isinstance(stored, dict) and MERGE in stored else {}


def check_theta(clip: Clip, theta: Parameters) -> None:
    if {name: value.shape for name, value in theta.items()} != {name: v.shape for name, v in clip.theta0.items()}:
        raise ValueError(f"the parameters to save are not those of {clip.name}'s image tower")
    for name, value in theta.items():
        if not value.isfinite().all():
            raise ValueError(f"the parameter {name} to save has NaN or infinite numbers")
