"""What could one model do that learned all tasks at once? What a merge of their vectors is measured against.

Joint training (multi-task learning): min over τ of mean_t CE_t, each task with its own zero-shot head and with labels. It
is the experts' recipe on the union of T tasks: batches of the same size, a T-th of them from each task, and T times the
steps. So the joint model sees the images that the experts saw, in their order and as often.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..datasets import load_split
from ..methods import Batch, find_method
from ..models import Clip, zero_shot_head
from ..parameters import device_of, zeros_like
from ..products.memory import to_device
from ..provenance import provenance
from ..task_vectors import TaskVector
from .config import RunConfig
from .descent import check_moves, moving, take_step
from .loop import Training, train
from .run_store import STATE, alone, folder_named_by, identity, is_finished, read_finished, sweep, write_finished
from .state import Carried
from .step_images import step_batches

VERSION = 1  # of joint training, beside that of all trainings


def train_jointly(configs: Sequence[RunConfig], store: Path, clip: Clip) -> TaskVector:
    """τ of one model for the tasks of these experts' configurations, or what an earlier call left in the store.

    STORE/SUITE/jointly/METHOD-seedN-DIGEST holds vector.safetensors and, written last, record.json; while it trains,
    state.safetensors, from which a killed training goes on bit for bit. Raises ValueError for configurations that differ
    in more than their task, and for a method that wants images beside the task's or is not trained; Damaged, a ValueError
    too, for a file that is damaged or another training's; FloatingPointError if the loss stops being finite.
    """
    check_configs(configs)
    check_moves(find_method(configs[0].method), clip)
    configs = [on_the_union(config, len(configs)) for config in configs]
    folder = joint_folder(configs, store, clip.fingerprint)

    def work(check_held: Callable[[], None]) -> None:
        if not is_finished(folder):  # by the process that was waited for
            train_alone(configs, folder, clip, check_held)

    if not is_finished(folder):
        alone(folder, work)
    _, vector = read_finished(folder, clip)
    sweep(folder)
    return vector


def check_configs(configs: Sequence[RunConfig]) -> None:
    first = configs[0]
    method = find_method(first.method)
    if method.others != "none" or method.vector_of or method.prepare:
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
    decides = {"runs": [identity(config, theta0) for config in configs], "joint": VERSION}
    return folder_named_by(store, configs[0], "jointly", decides)


def train_alone(configs: Sequence[RunConfig], folder: Path, clip: Clip, check_held: Callable[[], None]) -> None:
    """From the start, or from where it was stopped, to the vector and its record."""
    first, method, device = configs[0], find_method(configs[0].method), device_of(clip.theta0)
    tasks = [first.suite.task(config.task) for config in configs]
    heads = [zero_shot_head(clip, task.classes, task.templates) for task in tasks]
    splits = [load_split(task, "train") for task in tasks]
    tau = zeros_like(clip.theta0)
    optimizer = torch.optim.AdamW(moving(tau, method).values(), weight_decay=first.weight_decay)

    def take(step: int) -> dict[str, Tensor]:
        parts = []
        for config, split, head in zip(configs, splits, heads, strict=True):
            images, labels, _ = step_batches(config, split, [], step)
            parts.append((head, Batch(to_device(images, device), to_device(labels, device), images[:0], step=step)))
        return take_step(clip, tau, optimizer, parts, first, step)

    training = Training(
        title=f"{len(tasks)} tasks jointly",
        steps=first.steps,
        images=sum(config.batch_size for config in configs),
        take=take,
        carried=Carried(tau, (optimizer,)),
        file=folder / STATE,
        about={"run": folder.name},
        check_held=check_held,
    )
    state = train(training)
    vector = TaskVector(tau, clip.fingerprint, "+".join(config.task for config in configs), first.method)
    record = {
        "configs": [config.names() for config in configs],
        "theta0": clip.fingerprint,
        "losses": [row["loss"] for row in state.history],
        "seconds": state.seconds,
        **provenance(),
    }
    write_finished(folder, vector, record, check_held)
