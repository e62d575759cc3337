"""Which entries of a folder are fine-tuned models, and what are the others?

Nothing is passed over without being named. What is meant as a model and cannot be read is refused; what is something
else by its content (a head, the pre-trained model, what this project wrote there itself) is named in a warning. Only
hidden entries, and texts and tables that every repository has beside its models, are passed over without a word.
"""

import warnings
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from torchvision.datasets.folder import IMG_EXTENSIONS

from ..models import Clip
from ..task_vectors import TaskVector
from .hub import is_address, local
from .pickles import StoredTensor
from .reading import UNCHANGED, load_checkpoint, read_vector
from .weights import (
    ADAPTER_KEY,
    ADAPTERS,
    FOLDER_WEIGHTS,
    SUFFIXES,
    index_of,
    is_index,
    metadata_of,
    read_stored,
    step_of,
    weights_in,
)
from .writing import merge_record

# Files that stand beside models and are none: nobody needs to be told of them.
PLAIN = (
    *(".md", ".txt", ".rst", ".json", ".jsonl", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".csv", ".tsv", ".log"),
    *(".html", ".pdf", ".py", ".ipynb", ".sh", ".cff", ".bib", ".lock", ".sha256", ".md5", *IMG_EXTENSIONS),
)
TRAINER = ("optimizer.pt", "scheduler.pt", "scaler.pt", "training_args.bin")  # what it saves beside a model
PLAIN_NAMES = ("README", "LICENSE", "NOTICE", "COPYING", "SHA256", "SHA256SUMS", "Makefile")
ZERO_SHOT = ("zeroshot", "linear_zeroshot")  # how names of pre-trained models begin beside fine-tuned ones
HEAD_TENSORS = 4  # of a classifier, at most
LOOKED_AT = 1000  # entries of a folder, until one is a picture


def load_checkpoints(
    folder: Path | str | Sequence[Path | str], clip: Clip, base: Path | str | None = None
) -> list[TaskVector]:
    """The task vectors of all checkpoints directly in this folder, in the order of their names; or of a list of paths
    and of addresses on the hub, as `load_checkpoint` takes them.

    Checkpoints are the files with a suffix of SUFFIXES, models in several files, and the folders that hold one of
    FOLDER_WEIGHTS; `base`, the pre-trained checkpoint, is left out. Heads, a pre-trained model that is called
    `zeroshot…`, saved states, merges that this project wrote, folders without a checkpoint, and the earlier
    steps of a Trainer are skipped. One warning names all skipped entries. The first checkpoint that `load_checkpoint` refuses
    raises its error. Raises ValueError for a folder without checkpoints, and for two checkpoints of one task.
    """
    base = None if base is None else local(base)
    if isinstance(folder, str) and is_address(folder):
        folder = [folder]
    if not isinstance(folder, Path | str):
        return named_apart([load_checkpoint(path, clip, base) for path in folder])
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    vectors, passed = [], []
    last = max(map(step_of, folder.iterdir()), default=-1)
    for path in entries(folder):
        if base is not None and is_base(path, base):
            continue
        reason = "an earlier step of the same training" if 0 <= step_of(path) < last else no_expert(path)
        if not reason:
            vector, moved = read_vector(path, clip, base)
            if moved:
                vectors.append(vector)
            elif path.name.startswith(ZERO_SHOT):
                reason = "the pre-trained model itself"
            else:
                raise ValueError(f"{path} {UNCHANGED}")
        if reason:
            passed.append(f"{path.name} ({reason})")
    passed_over = f"passed over {', '.join(passed)}" if passed else ""
    if not vectors:
        accepted = f"accepted are {', '.join(SUFFIXES)} files and model folders"
        raise ValueError(f"{folder} holds no checkpoint: {accepted}" + (f"; {passed_over}" if passed else ""))
    if passed:
        warnings.warn(f"{folder}: {passed_over}", stacklevel=2)
    return vectors


def named_apart(vectors: list[TaskVector]) -> list[TaskVector]:
    """The vectors. Raises ValueError if there are none, or two have one name."""
    names = [vector.task for vector in vectors]
    if not names:
        raise ValueError("a list of checkpoints must name at least one")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(
            f"two checkpoints are of the task {twice[0]!r}, by the names of their files or folders: rename one"
        )
    return vectors


def entries(folder: Path) -> list[Path]:
    """What may be meant as a model, sorted by name. A model in shards is one entry: the path of its index, even if
    the index is missing."""
    found = {index_of(path) for path in folder.iterdir() if not path.name.startswith(".")}
    return sorted(path for path in found if path.is_dir() or is_index(path) or not is_plain(path))


def is_plain(path: Path) -> bool:
    return path.suffix.lower() in PLAIN or path.name in PLAIN_NAMES


def is_base(path: Path, base: Path) -> bool:
    """Whether an entry is the pre-trained checkpoint, or the folder from which just that would be read."""
    places = [path, *(weights_in(path)[:1] if path.is_dir() else [])]
    return base.exists() and any(place.exists() and place.samefile(base) for place in places)


def no_expert(path: Path) -> str:
    """Why an entry is no fine-tuned model; empty if it is to be read as one, which may still be refused."""
    if merge_record(path):
        return "written by a merge: `load_checkpoint` reads it"
    if path.is_dir():
        if weights_in(path) or any((path / name).exists() for name in ADAPTERS):
            return ""
        return empty_folder(path)
    if path.name in TRAINER or path.name.startswith("rng_state"):
        return "the state of a Trainer"
    if path.suffix.lower() not in SUFFIXES and not is_index(path):
        return "its format is not read"
    if {"progress", "digest"} <= metadata_of(path).keys():
        return "the saved state of something unfinished"
    with suppress(ValueError, OSError):  # reading it as an expert says what is wrong
        if is_head(read_stored(path)):
            return "a head, without an image tower"
    return ""


def empty_folder(folder: Path) -> str:
    """What a folder is in which no model is found."""
    files = [path for path in islice(folder.rglob("*"), LOOKED_AT) if path.is_file()]
    others = sorted(path.name for path in files if path.parent == folder and path.suffix.lower() in SUFFIXES)
    if others:
        return f"a folder that holds {others[0]}, but none of {', '.join(FOLDER_WEIGHTS)}"
    if any(path.suffix.lower() in IMG_EXTENSIONS for path in files):
        return "a folder of pictures"
    return "a folder without a checkpoint"


def is_head(stored: dict[str, StoredTensor]) -> bool:
    """A matrix or a few, perhaps with biases: too little for a tower, whatever the file is called."""
    shapes = [len(tensor.shape) for tensor in stored.values()]
    adapter = any(ADAPTER_KEY.search(key) for key in stored)
    return not adapter and len(shapes) <= HEAD_TENSORS and 2 in shapes and max(shapes) == 2
