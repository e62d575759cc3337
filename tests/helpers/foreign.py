"""Checkpoints as others publish them, made with random weights: the subjects of the checkpoint tests."""

import argparse
import copy
import json
import pickle
import sys
import tempfile
import types
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import open_clip
import torch
from conftest import random_like
from safetensors.torch import load_file, save_file
from torch import nn

from taujp_core.checkpoints import save_hugging_face
from taujp_core.checkpoints.weights import INDEX
from taujp_core.models import Clip, wrap_clip
from taujp_core.parameters import Parameters


def tiny_clip() -> Clip:
    """A vision transformer of two blocks with random weights, and a text tower of one: files of 30 kB."""
    vision = {"image_size": 8, "patch_size": 4, "layers": 2, "width": 8, "head_width": 4}
    text = {"context_length": 4, "vocab_size": 20, "width": 8, "heads": 2, "layers": 1}
    torch.manual_seed(0)
    model = open_clip.CLIP(embed_dim=6, vision_cfg=vision, text_cfg=text).eval().requires_grad_(False)
    model.visual.preprocess_cfg = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
    return wrap_clip("tiny", model, None, "cpu")


def finetuned(clip: Clip, seed: int = 1) -> Parameters:
    """θ₀ with a small random change."""
    change = random_like(clip.theta0, seed, size=0.01)
    return {name: value + change[name] for name, value in clip.theta0.items()}


def whole_state(clip: Clip, theta: Parameters) -> Parameters:
    return {**clip.model.state_dict(), **theta}


def image_state(theta: Parameters) -> Parameters:
    return {name.removeprefix("visual."): value for name, value in theta.items()}


@contextmanager
def old_classes():
    """The classes of the task-vectors repositories and of open_clip 1, importable while files are written."""
    source, modeling = types.ModuleType("src"), types.ModuleType("src.modeling")
    modeling.ImageEncoder = type("ImageEncoder", (nn.Module,), {"__module__": "src.modeling"})
    visual = type("VisualTransformer", (open_clip.model.VisionTransformer,), {"__module__": "open_clip.model"})
    sys.modules.update({"src": source, "src.modeling": modeling})
    open_clip.model.VisualTransformer = visual
    try:
        yield modeling.ImageEncoder, visual
    finally:
        del sys.modules["src"], sys.modules["src.modeling"], open_clip.model.VisualTransformer


def write_module(path: Path, clip: Clip, theta: Parameters, dump: Callable) -> None:
    """A pickled ImageEncoder: CLIP without its text transformer, the preprocessing, the command line."""
    with old_classes() as (image_encoder, visual):
        encoder, model = image_encoder(), copy.deepcopy(clip.model)
        model.load_state_dict(whole_state(clip, theta))
        model.requires_grad_(True)
        model.visual.__class__ = visual
        del model.transformer
        encoder.model = model
        encoder.train_preprocess = open_clip.image_transform(8, is_train=True)
        encoder.val_preprocess = open_clip.image_transform(8, is_train=False)
        encoder.args = argparse.Namespace(model="tiny", lr=1e-5, device=torch.device("cpu"), wd=torch.float32)
        dump(encoder, path)


def linearised_state(clip: Clip, theta: Parameters, old_blocks: bool = False) -> dict[str, object]:
    """The state dict of a LinearizedImageEncoder: parameters of CLIP without its text transformer, in a row."""
    names = [name for name, _ in clip.model.named_parameters() if not name.startswith("transformer.")]
    if old_blocks:
        part = ["attn", "ln_1", "mlp", "ln_2"]
        inside = [name for name in names if "resblocks" in name]
        inside.sort(key=lambda name: (int(name.split(".")[3]), part.index(name.split(".")[4])))
        start = next(i for i, name in enumerate(names) if "resblocks" in name)
        names[start : start + len(inside)] = inside
    moved, start = whole_state(clip, theta), whole_state(clip, clip.theta0)
    state: dict[str, object] = {f"model.params.{i}": moved[name] for i, name in enumerate(names)}
    return state | {f"model.params0.{i}": start[name] for i, name in enumerate(names)} | {"model_name": clip.name}


def save_legacy(value: object, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


def dump_bare(value: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


def prefixed(state: Parameters, prefix: str) -> Parameters:
    return {prefix + name: value for name, value in state.items()}


def safetensors_file(state: Parameters, path: Path) -> None:
    save_file({name: value.contiguous() for name, value in state.items()}, path)


# Name of the file or folder, and what writes it there.
FORMATS: dict[str, Callable[[Path, Clip, Parameters], None]] = {
    "tower.pt": lambda path, clip, theta: torch.save(image_state(theta), path),
    "whole.pt": lambda path, clip, theta: torch.save(whole_state(clip, theta), path),
    "container.pt": lambda path, clip, theta: torch.save(
        {"epoch": 3, "state_dict": prefixed(whole_state(clip, theta), "module."), "optimizer": {"state": {0: {}}}}, path
    ),
    "classifier.pt": lambda path, clip, theta: torch.save(
        {
            **prefixed(whole_state(clip, theta), "image_encoder.model."),
            "classification_head.weight": torch.randn(3, 6),
        },
        path,
    ),
    "legacy.pt": lambda path, clip, theta: save_legacy(whole_state(clip, theta), path),
    "whole.safetensors": lambda path, clip, theta: safetensors_file(whole_state(clip, theta), path),
    "tower.safetensors": lambda path, clip, theta: safetensors_file(prefixed(theta, "model."), path),
    "module.pt": lambda path, clip, theta: write_module(path, clip, theta, torch.save),
    "module_legacy.pt": lambda path, clip, theta: write_module(path, clip, theta, save_legacy),
    "module_bare.pkl": lambda path, clip, theta: write_module(path, clip, theta, dump_bare),
    "linearised.pt": lambda path, clip, theta: torch.save(linearised_state(clip, theta), path),
    "linearised_legacy.pt": lambda path, clip, theta: save_legacy(linearised_state(clip, theta, old_blocks=True), path),
    "hugging_face": lambda path, clip, theta: save_hugging_face(clip, theta, path),
}


def lightning(state: Parameters, path: Path) -> None:
    """What a Trainer saves, with a class of its own among the hyperparameters."""
    utilities = types.ModuleType("lightning_fabric.utilities.data")
    utilities.AttributeDict = type("AttributeDict", (dict,), {"__module__": utilities.__name__})
    packages = {name: types.ModuleType(name) for name in ("lightning_fabric", "lightning_fabric.utilities")}
    with patch.dict(sys.modules, {**packages, utilities.__name__: utilities}):
        torch.save(
            {
                "epoch": 1,
                "pytorch-lightning_version": "2.4.0",
                "state_dict": prefixed(state, "model."),
                "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 1}}}},
                "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5), "best_k_models": {}}},
                "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-5}]}],
                "lr_schedulers": [],
                "hyper_parameters": utilities.AttributeDict(model="tiny", lr=1e-5),
            },
            path,
        )


def sharded(state: Parameters, folder: Path, name: str, save: Callable[[Parameters, Path], None], index=True) -> None:
    """Two files with every other tensor, and their index, as transformers and accelerate write them."""
    folder.mkdir(exist_ok=True)
    stem, suffix = name.rsplit(".", 1)
    places = {key: f"{stem}-{1 + number % 2:05}-of-00002.{suffix}" for number, key in enumerate(state)}
    for place in sorted({*places.values()}):
        save({key: state[key] for key in state if places[key] == place}, folder / place)
    if index:
        (folder / f"{name}{INDEX}").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))


def in_folder(name: str) -> Callable[[Parameters, Path], None]:
    def write(state: Parameters, path: Path) -> None:
        path.mkdir()
        torch.save(state, path / name)

    return write


def hugging_face_state(clip: Clip, theta: Parameters) -> Parameters:
    with tempfile.TemporaryDirectory() as folder:
        save_hugging_face(clip, theta, Path(folder) / "model")
        return load_file(Path(folder) / "model" / "model.safetensors")


# By the ending of the name, what writes a state dict there, whatever is in it.
STATES: dict[str, Callable[[Parameters, Path], None]] = {
    ".ckpt": lightning,
    ".PT": lambda state, path: torch.save(state, path),
    ".pth": lambda state, path: torch.save({"model": {"ema": prefixed(state, "module.")}}, path),
    ".Safetensors": safetensors_file,
    " in finetuned.pt": in_folder("finetuned.pt"),
    " in nonlinear_finetuned.pt": in_folder("nonlinear_finetuned.pt"),
    " in shards": lambda state, path: sharded(state, path, "model.safetensors", safetensors_file),
    " in shards.bin": lambda state, path: sharded(state, path, "pytorch_model.bin", torch.save),
    " in shards without an index": lambda state, path: sharded(
        state, path, "model.safetensors", safetensors_file, index=False
    ),
    ".safetensors.index.json": lambda state, path: sharded(
        state, path.parent, path.name.removesuffix(INDEX), safetensors_file
    ),
}
