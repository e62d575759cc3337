"""Which picture files are in a folder?

Picture files in folders, a folder a class.
"""

from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS

from ..optimisation import epoch_order
from .pictures import Pictures


def class_images(folder: Path) -> dict[str, list[Path]]:
    """Picture files by class folder, both sorted."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return {name: pictures_in(folder / name) for name in names}


def pictures_in(folder: Path) -> list[Path]:
    files = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return sorted(file for file in files if file.suffix.lower() in IMG_EXTENSIONS)


def load_images(folder: Path | str, size: int, most: int | None = None) -> UInt8[Tensor, "n 3 s s"]:
    """Pictures of a folder and the folders in it, without labels: for τJp, `reduce_tau_jp` and merging.

    They are brought to `size` pixels (`clip.image_size`) by CLIP's resizing. At most `most` of them, drawn once and for
    all with seed 0 from the sorted paths. Raises FileNotFoundError for a folder that does not exist, ValueError for one
    without pictures and for a picture that cannot be decoded, by its name.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {folder} does not exist")
    if most is not None and most < 1:
        raise ValueError(f"most must be at least 1 image, not {most}")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMG_EXTENSIONS and path.is_file())
    if not paths:
        raise ValueError(f"{folder} has no pictures: accepted are files that end in {', '.join(IMG_EXTENSIONS)}")
    chosen = [paths[index] for index in epoch_order(len(paths), 0)[:most]]
    return Pictures(str(folder), chosen, torch.zeros(len(chosen), dtype=torch.long), size).tensors[0]
