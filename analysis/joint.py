"""What could one model do that learned all tasks at once? What a merge of their vectors is measured against.

Joint training (multi-task learning): min over τ of mean_t CE_t, each task with its own zero-shot head and with labels. It
is the experts' recipe on the union of T tasks: batches of the same size, a T-th of them from each task, and T times the
steps. So the joint model sees the images that the experts saw, in their order and as often.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from taujp_core.datasets import load_split
from taujp_core.files import from_home, is_there
from taujp_core.methods import Batch, find_method
from taujp_core.models import Clip, zero_shot_head
from taujp_core.parameters import Parameters, device_of, zeros_like
from taujp_core.products.memory import to_device
from taujp_core.products.precision import precision
from taujp_core.progress import Progress
from taujp_core.provenance import provenance
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import RunConfig
from taujp_core.training.finetune import descend, mean_gradient
from taujp_core.training.run_store import STATE, alone, identity, is_finished, read_finished, sweep, write_finished
from taujp_core.training.state import is_due, restore_state, save_state
from taujp_core.training.step_images import step_batches


def train_jointly(configs: Sequence[RunConfig], store: Path, clip: Clip) -> TaskVector:
    """τ of one model for the tasks of these experts' configurations, or what an earlier call left in the store.

    STORE/SUITE/jointly/METHOD-seedN-DIGEST holds vector.safetensors and, written last, record.json; while it trains,
    state.safetensors, from which a killed training goes on bit for bit. Raises ValueError for configurations that differ
    in more than their task, and for a method that wants images beside the task's or is not trained; Damaged, a ValueError
    too, for a file that is damaged or another training's; FloatingPointError if the loss stops being finite.
    """
    check_configs(configs)
    configs = [on_the_union(config, len(configs)) for config in configs]
    folder = joint_folder(configs, store, clip.fingerprint)

    def work(check_held: Callable[[], None]) -> None:
        if not is_finished(folder):  # by the process that was waited for
            train(configs, folder, clip, check_held)

    if not is_finished(folder):
        alone(folder, work)
    _, vector = read_finished(folder, clip)
    sweep(folder)
    return vector


def check_configs(configs: Sequence[RunConfig]) -> None:
    first = configs[0]
    method = find_method(first.method)
    if method.others != "none" or method.vector_of:
        raise ValueError(f"joint training takes a method that sees nothing but its task, not {first.method}")
    if any(replace(config, task=first.task) != first for config in configs):
        raise ValueError("joint training takes configurations that differ in nothing but their task")


def on_the_union(config: RunConfig, tasks: int) -> RunConfig:
    """What a task contributes to a training of so many tasks."""
    return replace(
        config,
        steps=config.steps * tasks,
        warmup_steps=config.warmup_steps * tasks,
        batch_size=max(1, config.batch_size // tasks),
    )


def joint_folder(configs: Sequence[RunConfig], store: Path, theta0: str) -> Path:
    """Named by all that decides the training."""
    text = json.dumps([identity(config, theta0) for config in configs], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    first = configs[0]
    return (
        from_home(store, "the run store") / first.suite.name / "jointly" / f"{first.method}-seed{first.seed}-{digest}"
    )


def train(configs: Sequence[RunConfig], folder: Path, clip: Clip, check_held: Callable[[], None]) -> None:
    """From the start, or from where it was stopped, to the vector and its record.

    check_held: raises Gone if the folder is no longer this process's.
    """
    first, method, device = configs[0], find_method(configs[0].method), device_of(clip.theta0)
    tasks = [first.suite.task(config.task) for config in configs]
    heads = [zero_shot_head(clip, task.classes, task.templates) for task in tasks]
    splits = [load_split(task, "train") for task in tasks]
    tau = zeros_like(clip.theta0)
    moving = {name: value for name, value in tau.items() if method.moves(name)}
    optimizer = torch.optim.AdamW(moving.values(), weight_decay=first.weight_decay)
    state_file, losses, seconds = folder / STATE, [], 0.0
    if is_there(state_file):
        state = restore_state(state_file, tau, optimizer, folder.name)
        losses, seconds = state["losses"], state["seconds"]

    def gradient(part: tuple[Tensor, Batch]) -> tuple[Parameters, Tensor, Tensor]:
        head, batch = part
        return method.gradient(clip, head, tau, batch)

    each = sum(config.batch_size for config in configs)
    progress = Progress(f"{len(tasks)} tasks jointly", first.steps * each, len(losses) * each)
    began, before = time.perf_counter(), seconds
    saved, cost = began, 0.0
    for step in range(len(losses), first.steps):
        parts = []
        for config, split, head in zip(configs, splits, heads, strict=True):
            images, labels, _ = step_batches(config, split, [], step)
            parts.append((head, Batch(to_device(images, device), to_device(labels, device), images[:0], step=step)))
        with precision(first.precision, device):
            slope, loss, _ = mean_gradient(gradient, parts)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(f"the loss of {len(tasks)} tasks jointly is {losses[-1]} at step {len(losses)}")
        descend(optimizer, moving, slope, first, step)
        check_held()
        seconds = before + time.perf_counter() - began
        if is_due(saved, cost):
            saved = time.perf_counter()
            save_state(state_file, tau, optimizer, {"run": folder.name, "losses": losses, "seconds": seconds})
            cost, saved = time.perf_counter() - saved, time.perf_counter()
        progress.advance(each, loss=f"{losses[-1]:.3f}")
    progress.close()
    name = "+".join(config.task for config in configs)
    vector = TaskVector(tau, clip.fingerprint, name, first.method)
    record = {"configs": [config.names() for config in configs], "theta0": clip.fingerprint, "losses": losses}
    write_finished(folder, vector, {**record, "seconds": seconds, **provenance()}, check_held)
