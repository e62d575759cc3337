"""Which task vector is a published checkpoint? The package's docstring lists the formats that are read."""

import re
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch

from ..mapped import mapped
from ..models import Clip
from ..parameters import Parameters
from ..task_vectors import TaskVector
from .hub import local
from .hugging_face import check_config
from .layouts import (
    PROJECTION,
    Layout,
    hugging_face_layout,
    hugging_face_text_layout,
    open_clip_layout,
    parameter_orders,
    tower_prefixes,
)
from .pickles import StoredTensor
from .weights import (
    FOLDER_WEIGHTS,
    INDEX,
    check_no_adapter,
    metadata_of,
    read_stored,
    step_of,
    weights_file,
    weights_in,
)

# File names that say nothing of the task: the folder's name does.
NAMELESS = {Path(name).stem for name in FOLDER_WEIGHTS}
CLASSIFIER = {"classifier.weight", "classifier.bias"}  # beside the tower of a CLIPForImageClassification
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
UNCHANGED = (
    "is θ₀ again, so that its task vector is zero: perhaps it is the pre-trained model (which is given as `base`), or an "
    "adapter was never merged into it, or the part that was trained is in another file"
)


@dataclass(frozen=True)
class Tower:
    """The image tower in a file, named as θ₀ and in the file's number format; `base`: the θ₀ that the file holds.

    beside: what the file holds beside the tower and is not read, as the end of a sentence; empty if there is nothing.
    """

    weights: Parameters
    base: Parameters | None = None
    beside: str = ""


def load_checkpoint(
    path: Path | str, clip: Clip, base: Path | str | None = None, task: str | None = None
) -> TaskVector:
    """τ = θ − θ₀ of a published checkpoint, for this Clip's θ₀.

    path: a file, a folder, the index of a model in several files, or `hub:OWNER/REPO[@REVISION][/FILE]`, which is
    downloaded into the cache folder (`hub.py`). base: the published pre-trained checkpoint, if there is one. Without
    `base`, θ₀ is subtracted. With `base`, the base's weights are subtracted. A linearised file contains its own base,
    which is subtracted by default. A base must equal the Clip's θ₀ up to the rounding of the base's number format. task: by default the file's name, or the folder's name for a generic file
    name such as `model.safetensors`. The method is `linear` for linearised files and `standard` for all others.

    Files in float16 or bfloat16 are converted to θ₀'s format; θ is then known to one part in 2048 or 256, which
    for small changes of large weights is a large part of τ.

    Warns of a text tower that was fine-tuned, too, and of a classifier: τ is of the image tower alone. Raises FileNotFoundError, or
    ValueError with one sentence that names the file, also for one whose image tower is θ₀ again; of the hub what
    `local` in `hub.py` raises.
    """
    path = local(path)
    vector, moved = read_vector(path, clip, None if base is None else local(base), task)
    if not moved:
        raise ValueError(f"{path} {UNCHANGED}")
    return vector


def read_vector(path: Path, clip: Clip, base: Path | str | None, task: str | None = None) -> tuple[TaskVector, bool]:
    """The vector, and whether it moves anything by more than the rounding of the file's number format."""
    file, task = weights_file(path), task or task_of(path)
    say_what_else(path)
    if is_task_vector(file):
        vector = TaskVector.load(file, clip)
        return vector, not vector.is_zero()
    tower = read_tower(file, clip)
    subtracted = tower.base
    if base is not None:
        subtracted = read_tower(weights_file(Path(base)), clip).weights
        name = difference(subtracted, clip.theta0)
        if name is not None:
            raise ValueError(f"{base} is not the base of this {clip.name}: its {name} is not that of θ₀")
    if tower.beside:
        warnings.warn(f"{path} holds {tower.beside}", stacklevel=3)
    tau = {}
    for name, value in clip.theta0.items():
        tau[name] = tower.weights[name].to(value) - (value if subtracted is None else subtracted[name].to(value))
    vector = TaskVector(mapped(tau), clip.fingerprint, task, "standard" if tower.base is None else "linear")
    return vector, difference(tower.weights, clip.theta0) is not None


def task_of(path: Path) -> str:
    """The task's name: the folder's or the file's or, where a name says nothing of the task, that of its folder."""
    path = path.absolute()
    if path.is_dir():
        return path.parent.name if step_of(path) >= 0 else path.name
    stem = Path(path.name.removesuffix(INDEX)).stem
    return task_of(path.parent) if stem in NAMELESS else stem


def say_what_else(path: Path) -> None:
    """Warns of other fine-tuned models in a folder; a model in several formats is read once, and is no other."""
    names = [file.name for file in weights_in(path)] if path.is_dir() else []
    others = [name for name in names[1:] if Path(name).stem.endswith("finetuned")]
    if others:
        warnings.warn(f"{path}: read {names[0]}, passed over {', '.join(others)}", stacklevel=4)


def is_task_vector(path: Path) -> bool:
    return {"theta0", "digest"} <= metadata_of(path).keys()


def read_tower(path: Path, clip: Clip) -> Tower:
    """Raises ValueError that names the file."""
    try:
        stored = read_stored(path)
        check_no_adapter(stored)
        if any(re.fullmatch(r"(.*\.)?params0?\.\d+", key) for key in stored):
            tower = linearised_tower(stored, clip)
        else:
            tower = named_tower(stored, clip, path.parent / "config.json")
        check_weights(tower.weights, clip)
        return tower
    except (ValueError, safetensors.SafetensorError) as error:
        raise ValueError(f"{path} cannot be loaded into {clip.name}: {error}") from None


def named_tower(stored: dict[str, StoredTensor], clip: Clip, config: Path) -> Tower:
    """The tower of a file whose tensors have names: those of open_clip or of Hugging Face."""
    layout, prefix, hugging_face = find_tower(stored, clip)
    keys = {name: tuple(prefix + part for part in parts) for name, parts in layout.items()}
    if hugging_face:
        if config.is_file():
            check_config(config, clip)
        # A CLIPVisionModel, and a CLIPForImageClassification, end before the projection, which stays that of θ₀.
        root = prefix.removesuffix("vision_model.")
        beside = {key.removeprefix(root) for key in stored if not key.startswith(prefix)}
        if beside and not beside <= CLASSIFIER:
            keys["visual.proj"] = (root + PROJECTION,)
    expected = {key for parts in keys.values() for key in parts}
    missing = sorted(expected - stored.keys())
    if missing:
        raise ValueError(f"it lacks {len(missing)} of the image tower's tensors, {missing[0]} among them")
    check_extras({key for key in stored if key.startswith(prefix)} - expected, stored, clip, prefix)
    weights = {name: read_parameter(stored, keys[name], value) for name, value in clip.theta0.items() if name in keys}
    return Tower(clip.theta0 | weights, beside=not_read(stored, clip, prefix, hugging_face))


def not_read(stored: dict[str, StoredTensor], clip: Clip, prefix: str, hugging_face: bool) -> str:
    """What of a file's fine-tuning a task vector of the image tower does not have."""
    if hugging_face and any(key.endswith(tuple(CLASSIFIER)) for key in stored):
        return (
            "a classifier on the mean of the last layer's patches (CLIPForImageClassification): the task vector is of the "
            "image tower alone, whose zero-shot features were not what was trained"
        )
    if key := changed_text(stored, clip, prefix, hugging_face):
        return (
            f"a text tower that was fine-tuned, too (its {key} is not that of {clip.name}): the task vector is of the image "
            "tower alone, and heads are made by the pre-trained text tower, so that accuracies are not those of the "
            "checkpoint itself"
        )
    return ""


def changed_text(stored: dict[str, StoredTensor], clip: Clip, prefix: str, hugging_face: bool) -> str:
    """The first tensor of the text tower in the file that is not the Clip's, beyond rounding; empty if there is none."""
    ours = {
        name: value
        for name, value in clip.model.state_dict().items()
        if not name.startswith("visual.") and name != "logit_scale" and value.is_floating_point()
    }
    if not hugging_face and not prefix.endswith("visual."):
        return ""  # the image tower alone, some of whose names are the text tower's
    layout, root = open_clip_layout(ours), prefix.removesuffix("visual.")
    if hugging_face:
        layout, root = hugging_face_text_layout(ours), prefix.removesuffix("vision_model.")
    for name, parts in layout.items():
        whole = ours[name].T if hugging_face and name == "text_projection" else ours[name]
        for key, value in zip([root + part for part in parts], whole.chunk(len(parts)), strict=True):
            tensor = stored.get(key)
            if tensor and (tensor.shape != tuple(value.shape) or tensor.dtype not in FLOATS):
                return key
            if tensor and difference({key: tensor.read()}, {key: value}):
                return key
    return ""


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
    buffers = dict(clip.encoder.get_submodule("visual").named_buffers())
    for key in sorted(extras):
        name = key.removeprefix(prefix)
        if name == "embeddings.position_ids" or name.endswith("num_batches_tracked"):
            continue
        if name not in buffers:
            raise ValueError(f"it holds {key[:100]}, which the image tower does not have")
        value = read_one(key, stored[key], tuple(buffers[name].shape))
        if not torch.equal(value.to(buffers[name]), buffers[name]):
            raise ValueError(f"its buffer {key} was changed by fine-tuning, but a task vector holds parameters only")


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
                finetuned, base = (
                    {
                        name: read_one(f"{which}.{i}", tensors[i], tuple(clip.theta0[name].shape))
                        for name, i in zip(order, row, strict=True)
                    }
                    for which, tensors in lists.items()
                )
                different = difference(base, clip.theta0)
                if different is None:
                    return Tower(finetuned, base)
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
