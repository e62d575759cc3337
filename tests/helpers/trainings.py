"""Trainings of all four kinds, small, and what of them must not depend on kills.

Each is a function of a folder and the network that vectors are trained of; called again it goes on, or gives what is there.
"""

import json
import shutil
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from unittest.mock import patch

import taujp_core.invariance.training as invariant
import taujp_core.mini.pretrain as pretraining
from taujp_core.datasets.domains import Domains, coloured
from taujp_core.files import read_json, read_tensors
from taujp_core.identity import fingerprint
from taujp_core.invariance.irm_games import is_over
from taujp_core.methods import METHODS
from taujp_core.mini.pretrain import PretrainConfig, pretrain
from taujp_core.models import ASSETS, Clip
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune
from taujp_core.training.joint import train_jointly
from taujp_core.training.run_store import Run, snapshot_file

SNAPSHOTS = (2, 5)
TASKS = ["uci", "mnist"]
OBJECTIVES = {
    "erm": {},
    "bayesian-irm": {"parameters": {"anneal_steps": 2}},
    "pair": {"sgd_from": 3, "parameters": {"anneal_steps": 2}},
    "irm-game-variable": {"dropout": 0.5, "stop_below": 1.1},
}


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def vector_of(method: str, started: bool, steps: int, store: Path, clip: Clip, **changes) -> Run:
    """From zero, or from a vector."""
    start, changes = None, {"steps": steps, "batch_size": 8, **changes}
    if METHODS[method].others != "none":
        changes["penalty_batch_size"] = 4
    if METHODS[method].others == "environments":
        changes["accumulation"] = 1
    if started:
        start = TaskVector({n: v * 0.001 for n, v in clip.theta0.items()}, clip.fingerprint, "uci", method)
        changes["start"] = start.digest()
    config = run_config("mini", "uci", method, tasks=TASKS, **changes)
    return finetune(config, store, clip, SNAPSHOTS, start)


def outcome(run: Run, clip: Clip) -> dict:
    snapshots = [TaskVector.load(snapshot_file(run.folder, step), clip).digest() for step in SNAPSHOTS]
    record = run.record
    metrics = {name: value for name, value in record["metrics"].items() if name != "tau_norm"}
    return {
        "vector": run.vector.digest(), "snapshots": snapshots, "history": record["history"], "curve": record["curve"],
        "metrics": metrics, "files": files_in(run.folder),
    }  # fmt: skip


def vector(method: str, started: bool, steps: int, store: Path, clip: Clip, **changes) -> dict:
    return outcome(vector_of(method, started, steps, store, clip, **changes), clip)


def jointly(steps: int, store: Path, clip: Clip) -> dict:
    configs = [run_config("mini", task, "standard", steps=steps // 2, batch_size=8) for task in TASKS]
    found = train_jointly(configs, store, clip)
    (folder,) = (store / "mini" / "jointly").iterdir()
    losses = read_json(folder / "record.json")["losses"]
    return {"vector": found.digest(), "losses": losses, "files": files_in(folder)}


def pretrained(steps: int, store: Path, clip: Clip) -> dict:
    """Of a network of one narrow layer."""
    assets = store / "assets"
    if not (assets / "ready").exists():
        shutil.copytree(ASSETS / "mini", assets / "mini", dirs_exist_ok=True)
        config = json.loads((ASSETS / "mini" / "open_clip_config.json").read_text())
        config["model_cfg"]["vision_cfg"] |= {"layers": 1, "width": 64}
        config["model_cfg"]["text_cfg"] |= {"layers": 1, "width": 32}
        (assets / "mini" / "open_clip_config.json").write_text(json.dumps(config))
        (assets / "ready").touch()
    folder = store / "pre-training"
    with patch.object(pretraining, "ASSETS", assets):
        history = pretrain(PretrainConfig(steps, batch_size=8, peak_lr=1e-3, seed=0, warmup_steps=1), folder)
    tensors, _ = read_tensors(folder / "state.safetensors")
    sha256 = (folder / "SHA256").read_text()
    return {"history": history, "state": fingerprint(tensors), "sha256": sha256, "files": files_in(folder)}


@cache
def domains() -> Domains:
    return coloured("mnist")


def network(objective: str, steps: int, store: Path, clip: Clip) -> dict:
    """A game ends two steps before the last one, which nobody sees at once."""
    changes = {"steps": steps, "images": 20, "hidden": 4, "last": 2, **OBJECTIVES[objective]}
    with patch.object(invariant, "is_over", partial(is_over, warm_up=steps - 3)):
        fitted = invariant.fit(
            objective, domains(), 0, invariant.recipe_of(objective, **changes), store / "state.safetensors"
        )
    weights, logits = (fingerprint(dict(tensors)) for tensors in (fitted.model.state_dict(), fitted.logits))
    return {
        "weights": weights, "logits": logits, "history": fitted.history, "steps": fitted.steps, "files": files_in(store),
    }  # fmt: skip


OTHERS: dict[str, Callable[[int, Path, Clip], dict]] = {
    "jointly": jointly,
    "pre-training": pretrained,
    **{f"network by {objective}": partial(network, objective) for objective in OBJECTIVES},
}
