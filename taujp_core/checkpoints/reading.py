"""Which task vector is a published checkpoint?

Published checkpoints to task vectors of an open_clip model. The package's docstring lists the formats.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch

from ..models import Clip, Parameters
from ..task_vectors import TaskVector
from .hugging_face import check_config
from .layouts import PROJECTION, Layout, hugging_face_layout, open_clip_layout, parameter_orders, tower_prefixes
from .pickles import StoredTensor, read_pickled

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".pkl")
FOLDER_WEIGHTS = (
    "model.safetensors",
    "pytorch_model.bin",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "finetuned.pt",
    "linear_finetuned.pt",
)
# What the task-vectors repositories publish beside their fine-tuned models.
NO_VECTORS = ("head_", "zeroshot", "linear_zeroshot")
# File names that say nothing of the task: the folder's name does.
NAMELESS = {Path(name).stem for name in FOLDER_WEIGHTS}
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
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Tower:
    """The image tower in a file, named as θ₀ and in the file's number format; `base`: the θ₀ that the file holds."""

    weights: Parameters
    base: Parameters | None = None


def load_checkpoint(
    path: Path | str, clip: Clip, base: Path | str | None = None, task: str | None = None
) -> TaskVector:
    """τ = θ − θ₀ of a published checkpoint, for this Clip's θ₀.

    path: a file or a folder. base: the pre-trained checkpoint, if it was published too. It, and the base inside a
    linearised file, must be the Clip's θ₀ to within the rounding of its own number format, and is then what is
    subtracted. task: by default the name of the file or, where that says nothing, of its folder. The method is
    `linear` for linearised files and otherwise `standard`, for other files do not tell.

    Files in float16 or bfloat16 are converted to θ₀'s format; θ is then known to one part in 2048 or 256, which
    for small changes of large weights is a large part of τ.

    Raises FileNotFoundError, or ValueError with one sentence that names the file.
    """
    path = Path(path)
    task = task or (path.absolute().parent.name if path.stem in NAMELESS and not path.is_dir() else stem(path))
    file = weights_file(path)
    if is_task_vector(file):
        return TaskVector.load(file, clip)
    tower = read_tower(file, clip)
    subtracted = tower.base
    if base is not None:
        subtracted = read_tower(weights_file(Path(base)), clip).weights
        name = difference(subtracted, clip.theta0)
        if name is not None:
            raise ValueError(f"{base} is not the base of this {clip.name}: its {name} is not that of θ₀")
    tau = {}
    for name, value in clip.theta0.items():
        tau[name] = tower.weights[name].to(value) - (value if subtracted is None else subtracted[name].to(value))
    return TaskVector(tau, clip.fingerprint, task, "standard" if tower.base is None else "linear")


def load_checkpoints(folder: Path | str, clip: Clip, base: Path | str | None = None) -> list[TaskVector]:
    """The task vectors of all checkpoints directly in this folder, in the order of their names.

    Checkpoints are the files with a suffix of SUFFIXES and the folders that hold one of FOLDER_WEIGHTS; `base` is
    left out, and so are zero-shot models and heads (`zeroshot….pt`, `head_….pt`). Raises what `load_checkpoint` raises, and ValueError if there is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    found = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".") and is_checkpoint(path)]
    found = [path for path in found if base is None or not path.samefile(base)]
    if not found:
        raise ValueError(f"{folder} holds no checkpoint: accepted are {', '.join(SUFFIXES)} files and model folders")
    return [load_checkpoint(path, clip, base) for path in found]


def stem(path: Path) -> str:
    return path.absolute().name if path.is_dir() else path.stem


def is_checkpoint(path: Path) -> bool:
    if path.is_dir():
        return any((path / name).is_file() for name in FOLDER_WEIGHTS)
    return path.suffix in SUFFIXES and not path.name.startswith(NO_VECTORS)


def weights_file(path: Path) -> Path:
    if path.is_dir():
        names = [name for name in FOLDER_WEIGHTS if (path / name).is_file()]
        if not names:
            raise FileNotFoundError(f"{path} holds none of {', '.join(FOLDER_WEIGHTS)}")
        return path / names[0]
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    return path


def is_task_vector(path: Path) -> bool:
    if path.suffix != ".safetensors":
        return False
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {"theta0", "digest"} <= (file.metadata() or {}).keys()
    except (safetensors.SafetensorError, ValueError):
        return False  # reading it says what is wrong


def read_tower(path: Path, clip: Clip) -> Tower:
    """Raises ValueError that names the file."""
    try:
        stored = read_safetensors(path) if path.suffix == ".safetensors" else read_pickled(path)
        if any(re.fullmatch(r"(.*\.)?params0?\.\d+", key) for key in stored):
            tower = linearised_tower(stored, clip)
        else:
            tower = named_tower(stored, clip, path.parent / "config.json")
        check_weights(tower.weights, clip)
        return tower
    except (ValueError, safetensors.SafetensorError) as error:
        raise ValueError(f"{path} cannot be loaded into {clip.name}: {error}") from None


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


def named_tower(stored: dict[str, StoredTensor], clip: Clip, config: Path) -> Tower:
    """The tower of a file whose tensors have names: those of open_clip or of Hugging Face."""
    layout, prefix, hugging_face = find_tower(stored, clip)
    keys = {name: tuple(prefix + part for part in parts) for name, parts in layout.items()}
    if hugging_face:
        if config.is_file():
            check_config(config, clip)
        # A CLIPVisionModel has nothing beside its tower and ends before the projection, which stays that of θ₀.
        projection = prefix.removesuffix("vision_model.") + PROJECTION
        if projection in stored or not all(key.startswith(prefix) for key in stored):
            keys["visual.proj"] = (projection,)
    expected = {key for parts in keys.values() for key in parts}
    missing = sorted(expected - stored.keys())
    if missing:
        raise ValueError(f"it lacks {len(missing)} of the image tower's tensors, {missing[0]} among them")
    check_extras({key for key in stored if key.startswith(prefix)} - expected, stored, clip, prefix)
    weights = {name: read_parameter(stored, keys[name], value) for name, value in clip.theta0.items() if name in keys}
    return Tower(clip.theta0 | weights)


def find_tower(stored: dict[str, StoredTensor], clip: Clip) -> tuple[Layout, str, bool]:
    """The layout, the prefix of its names in this file, and whether it is Hugging Face's."""
    layouts = [open_clip_layout(clip.theta0)]
    with suppress(ValueError):  # an architecture that Hugging Face's CLIP does not have
        layouts.append(hugging_face_layout(clip.theta0))
    found = [tower_prefixes(stored, layout) for layout in layouts]
    best = max(range(len(layouts)), key=lambda i: found[i][1])
    layout, (prefixes, count) = layouts[best], found[best]
    if 2 * count < sum(map(len, layout.values())):
        some = f", of which {next(iter(stored))[:100]!r} is one" if stored else ""
        raise ValueError(f"it holds no image tower of that architecture, but {len(stored)} tensors{some}")
    if len(prefixes) > 1:
        raise ValueError(f"it holds several image towers, under {', '.join(prefix[:100] for prefix in prefixes[:5])}")
    return layout, prefixes[0], best == 1


def check_extras(extras: set[str], stored: dict[str, StoredTensor], clip: Clip, prefix: str) -> None:
    """Tensors of the tower that are not in θ₀: only buffers may be there, and none that fine-tuning has moved."""
    buffers = dict(clip.encoder.visual.named_buffers())
    for key in sorted(extras):
        name = key.removeprefix(prefix)
        if name == "embeddings.position_ids" or name.endswith("num_batches_tracked"):
            continue
        if name not in buffers:
            raise ValueError(f"it holds {key[:100]}, which the image tower does not have")
        value = read_one(key, stored[key], tuple(buffers[name].shape))
        if not torch.equal(value.to(buffers[name]), buffers[name]):
            raise ValueError(f"its buffer {key} was changed by fine-tuning, which a task vector cannot say")


def linearised_tower(stored: dict[str, StoredTensor], clip: Clip) -> Tower:
    """The tower of a LinearizedModel, which holds `params` and `params0` as lists in the order of the parameters.

    The lists may be those of the whole CLIP: the tower's stand in a row. Which row, and which version's order
    within a block, is what shapes allow and where params0 is θ₀.
    """
    lists: dict[str, dict[int, StoredTensor]] = {"params": {}, "params0": {}}
    for key, tensor in stored.items():
        match = re.fullmatch(r"(?:.*\.)?(params0?)\.(\d+)", key)
        if match and lists[match[1]].setdefault(int(match[2]), tensor) is not tensor:
            raise ValueError(f"it holds several lists {match[1]}")
    count = len(lists["params"])
    if not lists["params0"]:
        raise ValueError("it is linearised but without params0, the base that it was fine-tuned from")
    if any(sorted(numbers) != list(range(count)) for numbers in lists.values()):
        raise ValueError("its lists params and params0 are not complete and equally long")
    different = None
    for order in parameter_orders(clip.theta0):
        shapes = [tuple(clip.theta0[name].shape) for name in order]
        for first in range(count - len(order) + 1):
            row = range(first, first + len(order))
            if all(lists["params"][i].shape == shape for i, shape in zip(row, shapes, strict=True)):
                tower = Tower(
                    *(
                        {
                            name: read_one(f"{which}.{i}", tensors[i], tuple(clip.theta0[name].shape))
                            for name, i in zip(order, row, strict=True)
                        }
                        for which, tensors in lists.items()
                    )
                )
                different = difference(tower.base, clip.theta0)
                if different is None:
                    return tower
    if different is None:
        raise ValueError(f"none of its {count} parameters in a row have the shapes of the image tower")
    raise ValueError(f"it was fine-tuned from other pre-trained weights: its params0 of {different} is not that of θ₀")


def read_parameter(stored: dict[str, StoredTensor], keys: tuple[str, ...], value: torch.Tensor) -> torch.Tensor:
    """The parameter of this shape from one tensor, or from several below each other."""
    if keys[0].endswith(PROJECTION):
        return read_one(keys[0], stored[keys[0]], tuple(value.shape[::-1])).T
    if len(keys) == 1:
        return read_one(keys[0], stored[keys[0]], tuple(value.shape))
    shape = (value.shape[0] // len(keys), *value.shape[1:])
    return torch.cat([read_one(key, stored[key], shape) for key in keys])


def read_one(name: str, tensor: StoredTensor, shape: tuple[int, ...]) -> torch.Tensor:
    if tensor.shape != shape:
        raise ValueError(f"its {name} has shape {list(tensor.shape)[:8]}, the image tower's has {list(shape)}")
    if tensor.dtype not in FLOATS:
        raise ValueError(f"its {name} is in the format {tensor.dtype}, and weights are floating-point numbers")
    return tensor.read()


def difference(base: Parameters, theta0: Parameters) -> str | None:
    """The first parameter in which a base is not θ₀, rounded to the base's number format."""
    for name, value in theta0.items():
        info = torch.finfo(base[name].dtype)
        bound = info.eps * value.abs() + info.eps * info.smallest_normal
        if not ((base[name].to(value) - value).abs() <= bound).all():
            return name
    return None


def check_weights(weights: Parameters, clip: Clip) -> None:
    """Raises ValueError for NaN and for weights that were not fine-tuned from θ₀.

    The cosine between matrices of θ and θ₀ is near 1 after fine-tuning and near 0 for other pre-trained weights
    and for task vectors themselves.
    """
    products = torch.zeros(3, dtype=torch.float64)
    for name, value in clip.theta0.items():
        theta = weights[name].to(value)
        if not theta.isfinite().all():
            raise ValueError(f"its {name} has NaN or infinite numbers")
        if value.ndim > 1:
            products += torch.stack(
                [(a * b).sum().double().cpu() for a, b in ((theta, value), (theta, theta), (value, value))]
            )
    cosine = float(products[0] / (products[1] * products[2]).sqrt())
    if not cosine > 0.5:
        raise ValueError(
            f"its weights are not fine-tuned from θ₀ {clip.fingerprint} (their cosine is {cosine:.2f}): load the Clip "
            "with the pre-trained weights that were its base"
        )
