"""How is a file written so that nobody ever reads half of it?

Reading and writing files so that a reader never sees half of one, and a bad one is named in a sentence.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import safetensors
from safetensors.torch import save_file
from torch import Tensor

UNFINISHED = ".part"  # ends the names of folders in which a file is being written


class Damaged(ValueError):
    """A file of this project's that is proven to be damaged: cut off, altered, or not what its name says."""


def cache_folder() -> Path:
    """TAUJP_CACHE, by default the user's cache folder: what can be made or fetched again."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "taujp"
    return Path(os.environ.get("TAUJP_CACHE", default))


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file, then rename it to `path`: after a kill the old file stands.

    It lies in a folder of its own beside `path`, for writers may leave temporary files of their own (safetensors does).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=UNFINISHED))
    try:
        temporary = folder / path.name
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        shutil.rmtree(folder)


def remove_temporaries(folder: Path) -> None:
    """What processes left that were killed while they wrote; nobody else may be writing into the folder."""
    for path in Path(folder).glob(f".*{UNFINISHED}"):
        shutil.rmtree(path)


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: object) -> None:
    """NaN and infinities are refused (ValueError): they are not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a JSON file: {error}") from None


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, object]) -> None:
    """safetensors file; each metadata value is stored as JSON."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {key: json.dumps(value) for key, value in metadata.items()}
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata=header))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and metadata of a file written by `write_tensors`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            # Copies, for those in the file's bytes start anywhere, and sums over unaligned memory round otherwise.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return tensors, {key: json.loads(value) for key, value in header.items()}
    except (safetensors.SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is truncated or not a safetensors file of this project: {error}") from None
