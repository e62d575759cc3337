"""Which files hold a model's weights, and which tensors are in them?

A checkpoint is one file, or a folder as programs write it, or several files (shards) that an index lists: beside
`model.safetensors.index.json` lie `model-00001-of-00002.safetensors` and `model-00002-of-00002.safetensors`.
"""

import json
import re
from pathlib import Path

import safetensors
import torch

from .pickles import StoredTensor, read_pickled

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".pkl", ".ckpt")  # in capital letters, too
# In a folder the first that is there is read. The first four are one model in several formats.
FORMATS = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")
FINETUNED = ("finetuned.pt", "nonlinear_finetuned.pt", "linear_finetuned.pt")
FOLDER_WEIGHTS = FORMATS + FINETUNED
INDEX = ".index.json"  # follows the name that the weights would have in one file
SHARD = re.compile(r"(.+)-(\d+)-of-(\d+)(\.\w+)")
TRAINER_STEP = re.compile(r"checkpoint-(\d+)")  # a folder that transformers' Trainer saves after that step
ADAPTERS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
# Keys of matrices that peft, loralib and diffusers keep beside the weights that they change.
ADAPTER_KEY = re.compile(r"(^|[._])lora_(A|B|down|up|magnitude_vector|embedding_[AB])($|[._])|(^|\.)(hada|lokr)_w\d")
SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def weights_file(path: Path) -> Path:
    """The file to read: `path` itself, or the folder's; of a model in shards their index, whether it is there or not.

    Raises FileNotFoundError, and ValueError for a folder with an adapter.
    """
    if not path.is_dir():
        if not (path.is_file() or (is_index(path) and shards_of(path))):
            raise FileNotFoundError(f"{path} does not exist")
        return path
    check_adapters(path, [name for name in ADAPTERS if (path / name).exists()])
    found = weights_in(path)
    if not found:
        raise FileNotFoundError(f"{path} holds none of {', '.join(FOLDER_WEIGHTS)}")
    return found[0]


def check_adapters(where: object, adapters: list[str]) -> None:
    """Raises ValueError if there are any among the files of a folder."""
    if adapters:
        raise ValueError(
            f"{where} holds an adapter ({adapters[0]}), which is only a part of a model: merge it into the model first "
            "(peft: merge_and_unload) and save the whole"
        )


def weights_in(folder: Path) -> list[Path]:
    """The files and indices of shards in a folder by whose names it is a model's, the one to read first.

    Of a folder that transformers' Trainer has saved steps in, and no model: those of the last step.
    """
    found = []
    for name in FOLDER_WEIGHTS:
        index = folder / (name + INDEX)
        if (folder / name).is_file():
            found.append(folder / name)
        elif index.is_file() or shards_of(index):
            found.append(index)
    steps = sorted(folder.glob("checkpoint-*"), key=step_of) if not found else []
    return weights_in(steps[-1]) if steps and step_of(steps[-1]) >= 0 else found


def step_of(path: Path) -> int:
    """The step after which Trainer saved this folder; -1 for any other path."""
    match = TRAINER_STEP.fullmatch(path.name)
    return int(match[1]) if match and path.is_dir() else -1


def is_index(path: Path) -> bool:
    return path.name.endswith(INDEX) and Path(path.name.removesuffix(INDEX)).suffix.lower() in SUFFIXES


def index_of(path: Path) -> Path:
    """For a shard the place of its index, for any other file the file itself."""
    match = SHARD.fullmatch(path.name)
    return path.with_name(match[1] + match[4] + INDEX) if match and match[4].lower() in SUFFIXES else path


def shards_of(index: Path) -> list[Path]:
    """The files beside an index whose names say that they are its shards."""
    return sorted(path for path in index.parent.glob("*-of-*") if path != index and index_of(path) == index)


def read_stored(file: Path) -> dict[str, StoredTensor]:
    """All tensors of a checkpoint by their names, not yet read. Raises ValueError that does not name the file."""
    try:
        if is_index(file):
            return read_shards(file)
        return read_safetensors(file) if file.suffix.lower() == ".safetensors" else read_pickled(file)
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from None


def read_shards(index: Path) -> dict[str, StoredTensor]:
    """The tensors of the files that the index lists, and of those whose names count them: all must be there."""
    places = weight_map(index) if index.is_file() else {}
    counted = {path.name for path in shards_of(index)}
    for name in sorted({*places.values()} | numbered(counted)):
        if not (index.parent / name).is_file():
            raise ValueError(f"its shard {name} is missing")
    if not (counted or places):
        raise ValueError("it lists no shards")
    stored: dict[str, StoredTensor] = {}
    for name in sorted(counted | {*places.values()}):
        try:
            found = read_stored(index.parent / name)
        except ValueError as error:
            raise ValueError(f"its shard {name}: {error}") from None
        if twice := sorted(found.keys() & stored.keys()):
            raise ValueError(f"its shard {name} holds {twice[0][:100]}, which another holds already")
        if absent := sorted(key for key, place in places.items() if place == name and key not in found):
            raise ValueError(f"its shard {name} lacks {absent[0][:100]}, which the index says is there")
        stored |= found
    return stored


def weight_map(index: Path) -> dict[str, str]:
    """The name of the file that holds each tensor. Raises ValueError if `index` is no index of shards, or lists a file outside
    its folder."""
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        wrong = [place for place in places.values() if Path(place).name != place or is_index(Path(place))]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("it is not an index of shards, a JSON file with a weight_map") from None
    if wrong:
        raise ValueError(f"it lists {wrong[0][:100]!r}, which is not the name of a file beside it")
    return places


def numbered(names: set[str]) -> set[str]:
    """The names that must be there if these are: each says its number and how many there are."""
    expected = set()
    for name in names:
        stem, number, count, suffix = SHARD.fullmatch(name).groups()
        if not 1 <= int(number) <= int(count) <= 10_000:
            raise ValueError(f"its shard {name} has a number that cannot be")
        expected |= {f"{stem}-{k:0{len(number)}}-of-{count}{suffix}" for k in range(1, int(count) + 1)}
    return expected


def read_safetensors(path: Path) -> dict[str, StoredTensor]:
    file = safetensors.safe_open(path, framework="pt")
    stored = {}
    for name in file.keys():  # noqa: SIM118
        part = file.get_slice(name)
        if part.get_dtype() not in SAFETENSORS_DTYPES:
            raise ValueError(f"its {name} is in the format {part.get_dtype()}")
        dtype, shape = SAFETENSORS_DTYPES[part.get_dtype()], tuple(part.get_shape())
        stored[name] = StoredTensor(dtype, shape, lambda name=name: file.get_tensor(name))
    return stored


def metadata_of(path: Path) -> dict[str, str]:
    """What stands in the head of a safetensors file beside its tensors; empty for any other file and a damaged one."""
    if path.suffix.lower() != ".safetensors" or not path.is_file():
        return {}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (safetensors.SafetensorError, ValueError, OSError):
        return {}  # reading it says what is wrong


def check_no_adapter(stored: dict[str, StoredTensor]) -> None:
    """Raises ValueError for matrices of an adapter: beside them stands the model without, or nobody knows which."""
    keys = sorted(key for key in stored if ADAPTER_KEY.search(key))
    if keys:
        raise ValueError(
            f"it holds the matrices of an adapter ({keys[0][:100]}), and does not say whether they are part of the "
            "weights: merge the adapter into the model and save the model alone"
        )
