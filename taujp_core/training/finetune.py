"""How is a task vector trained? One loop for every method of `methods/`, which says what a step's objective is."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..applications import Application
from ..applications.encoder import ENCODER
from ..datasets import load_split
from ..datasets.pictures import made_ahead
from ..evaluation import accuracy
from ..files import Damaged, is_there, read_metadata, read_sealed, write_sealed
from ..methods import Batch, Method, find_method
from ..models import Clip, zero_shot_head
from ..optimisation import cosine_lr
from ..parameters import Parameters, device_of, zeros_like
from ..products.memory import to_device
from ..products.precision import check_precision, precision
from ..progress import Progress, say
from ..provenance import peak_memory_mib, provenance
from ..task_vectors import TaskVector, check_theta0
from ..tasks import Task
from .config import RunConfig
from .run_store import (
    RESUMPTIONS,
    STATE,
    Run,
    alone,
    is_finished,
    load_run,
    open_run,
    run_folder,
    snapshot_file,
    sweep,
    write_finished,
)
from .state import is_due, restore_state, save_state
from .step_images import parts_of, penalised_splits, penalty_images, step_batches

Part = TypeVar("Part")

EVALUATIONS = 6  # validation accuracies over a training, beside the one before it
EVALUATION_STEPS = 6  # least mean distance of two of them: a short training has fewer
LOSS_STEPS = 20  # steps between two looks at the loss: a look makes a GPU's queue run empty


def finetune(
    config: RunConfig,
    store: Path | str,
    clip: Clip,
    snapshot_steps: Sequence[int] = (),
    start: TaskVector | None = None,
) -> Run:
    """Train, or continue, or load the run of this configuration.

    τ starts from zero, or from a finished vector `start`, whose digest must be the configuration's
    (`run_config(…, start=start.digest())`); the optimiser starts anew. After each of `snapshot_steps` τ is also
    written beside the run (`snapshot_file`); a run is the same with and without them. If another process trains this
    run, it is waited for; if the folder is deleted meanwhile, it is trained again. Raises ValueError if the folder holds
    what is not a run, the device lacks the precision, a snapshot can no longer be taken or `start` is of another θ₀ or
    not the one of the configuration; Damaged, a ValueError too, for a file that is damaged or another run's;
    PermissionError for one that this user may not read or write; FloatingPointError if the loss stops being finite; the
    last good state is then kept.
    """
    method = find_method(config.method)
    if method.vector_of:
        trained = finetune(replace(config, method=method.vector_of), store, clip, snapshot_steps, start)
        return applied_by(trained, config, clip)
    check_start(config, clip, start)
    check_precision(config.precision, device_of(clip.theta0))
    check_steps(config, snapshot_steps)
    folder = run_folder(store, config, clip.fingerprint)

    def work(check_held: Callable[[], None]) -> None:
        open_run(store, config, clip.fingerprint)
        if not is_finished(folder):  # by the process that was waited for
            training = begin(config, method, folder, clip, start, check_held)
            check_snapshots(folder, snapshot_steps, training.step)
            train(training, snapshot_steps)
            finish(training)

    if not is_finished(folder):
        task = config.suite.task(config.task)
        zero_shot_head(clip, task.classes, task.templates)  # or a sentence, before anything is written
        check_size(task, clip)
        alone(folder, work)
    open_run(store, config, clip.fingerprint)
    check_snapshots(folder, snapshot_steps, config.steps)
    run = load_run(folder, config, clip)
    sweep(folder)  # here, for a kill may have come just after the record
    return run


@dataclass
class Training:
    """All that a training holds while it runs. What is saved and restored stands last."""

    config: RunConfig
    method: Method
    folder: Path
    clip: Clip
    head: Tensor
    images: Dataset
    others: list[Dataset]
    validation: tuple[Tensor, Tensor]
    prepared: object
    zero_shot: float
    tau: Parameters
    optimizer: torch.optim.AdamW
    check_held: Callable[[], None]
    step: int = 0
    seconds: float = 0.0
    history: list[dict] = field(default_factory=list)
    curve: list[dict] = field(default_factory=list)
    resumed: list[int] = field(default_factory=list)

    @property
    def state_file(self) -> Path:
        return self.folder / STATE


def begin(
    config: RunConfig,
    method: Method,
    folder: Path,
    clip: Clip,
    start: TaskVector | None,
    check_held: Callable[[], None],
) -> Training:
    """Data, head and τ, as they are at the first step or were when the last state was saved.

    check_held: raises Gone if the folder is no longer this process's.
    """
    task = config.suite.task(config.task)
    head = zero_shot_head(clip, task.classes, task.templates)
    others, validation = penalised_splits(config), load_split(task, "validation").tensors
    tau = zeros_like(clip.theta0)
    zero_shot = validation_accuracy(clip, ENCODER, tau, head, validation)
    if start:
        tau = {name: value.clone() for name, value in start.like(clip.theta0).tau.items()}
    training = Training(
        config,
        method,
        folder,
        clip,
        head,
        images=load_split(task, "train"),
        others=others,
        validation=validation,
        prepared=method.prepare(clip, others) if method.prepare else None,
        zero_shot=zero_shot,
        tau=tau,
        optimizer=torch.optim.AdamW(
            [value for name, value in tau.items() if method.moves(name)], weight_decay=config.weight_decay
        ),
        check_held=check_held,
    )
    if is_there(training.state_file):
        state = restore_state(training.state_file, tau, training.optimizer, folder.name)
        training.step, training.seconds = state["step"], state["seconds"]
        training.history, training.curve = state["history"], state["curve"]
    elif start:
        validate(training)
    else:
        training.curve.append({"step": 0, "validation_accuracy": zero_shot})
    return training


def train(training: Training, snapshot_steps: Sequence[int]) -> None:
    """From where the training is to its last step."""
    config, method, clip, tau = training.config, training.method, training.clip, training.tau
    device, parameters = training.head.device, config.method_parameters()
    moving = {name: value for name, value in tau.items() if method.moves(name)}
    if training.step:
        training.resumed = note_resumption(training.folder, training.step)

    def gradient(batch: Batch) -> tuple[Parameters, Tensor, Tensor]:
        return method.gradient(clip, training.head, tau, batch, training.prepared, **parameters)

    each = config.batch_size + penalty_images(config)
    title = f"{config.task} by {config.method}, seed {config.seed}"
    progress = Progress(title, config.steps * each, training.step * each)
    evaluations = min(EVALUATIONS, -(-config.steps // EVALUATION_STEPS))
    unread: list[Tensor] = []  # (loss, penalty) of the steps since the last look
    began, before = time.perf_counter(), training.seconds
    saved, cost = began, 0.0
    steps = range(training.step, config.steps)
    batches = made_ahead(
        lambda step: step_batches(config, training.images, training.others, step),
        steps,
        training.images,
        *training.others,
    )
    for step, (images, labels, others) in zip(steps, batches, strict=True):
        images, labels = to_device(images, device), to_device(labels, device)
        others = [(to_device(batch, device), to_device(theirs, device)) for batch, theirs in others]
        with precision(config.precision, device):
            slope, loss, penalty = mean_gradient(gradient, parts_of(images, labels, others, config, step))
        unread.append(torch.stack([loss, penalty]))

        descend(training.optimizer, moving, slope, config, step)
        training.step = done = step + 1
        training.check_held()

        save = is_due(saved, cost) and done < config.steps
        if done % LOSS_STEPS == 0 or done in snapshot_steps or done == config.steps or save:
            read_losses(training, unread)
        if done * evaluations // config.steps > step * evaluations // config.steps:
            validate(training)
        if done in snapshot_steps:
            vector = TaskVector(tau, clip.fingerprint, config.task, config.method)
            vector.save(snapshot_file(training.folder, done), run=training.folder.name, step=done)
        training.seconds = before + time.perf_counter() - began
        if save:
            saved = time.perf_counter()
            state = {name: getattr(training, name) for name in ("step", "seconds", "history", "curve")}
            save_state(training.state_file, tau, training.optimizer, {"run": training.folder.name, **state})
            cost, saved = time.perf_counter() - saved, time.perf_counter()
        progress.advance(each, loss=f"{training.history[-1]['loss']:.3f}" if training.history else "")
    progress.close()


def finish(training: Training) -> None:
    """Write the vector and the record."""
    config, clip = training.config, training.clip
    vector = TaskVector(training.tau, clip.fingerprint, config.task, config.method)
    record = {
        "config": config.names(),
        "theta0": clip.fingerprint,
        "metrics": {
            "zero_shot_validation_accuracy": training.zero_shot,
            "validation_accuracy": training.curve[-1]["validation_accuracy"],
            "tau_norm": vector.norm(),
        },
        "history": training.history,
        "curve": training.curve,
        "resumed_at": training.resumed,
        "seconds": training.seconds,
        "images_per_second": config.steps * (config.batch_size + penalty_images(config)) / training.seconds,
        "peak_memory_mib": peak_memory_mib(),
        **provenance(),
    }
    write_finished(training.folder, vector, record, training.check_held)


def descend(
    optimizer: torch.optim.Optimizer, moving: Parameters, gradient: Parameters, config: RunConfig, step: int
) -> None:
    """One step of the optimiser, at its learning rate, along the gradient cut to the configuration's norm."""
    for name, value in moving.items():
        value.grad = gradient[name]
    torch.nn.utils.clip_grad_norm_(moving.values(), config.clip_norm)
    for group in optimizer.param_groups:
        group["lr"] = cosine_lr(step, config.steps, config.peak_lr, config.warmup_steps)
    optimizer.step()


def mean_gradient(
    gradient: Callable[[Part], tuple[Parameters, Tensor, Tensor]], parts: Sequence[Part]
) -> tuple[Parameters, Tensor, Tensor]:
    """Gradient with respect to τ, task loss and penalty, averaged over a step's equal parts: those of the whole."""
    share = 1 / len(parts)
    total, loss, penalty = gradient(parts[0])
    total = {name: value * share for name, value in total.items()}
    loss, penalty = loss * share, penalty * share
    for part in parts[1:]:
        more, more_loss, more_penalty = gradient(part)
        for name, value in more.items():
            total[name].add_(value, alpha=share)
        loss, penalty = loss + more_loss * share, penalty + more_penalty * share
    return total, loss, penalty


def read_losses(training: Training, unread: list[Tensor]) -> None:
    """Move losses to the history. Raises FloatingPointError at the first step whose loss is not finite."""
    for loss, penalty in torch.stack(unread).tolist() if unread else ():
        if not math.isfinite(loss + penalty):
            config, file = training.config, training.state_file
            kept = f"the last good state is kept in {file}" if file.is_file() else "no state was saved yet"
            raise FloatingPointError(
                f"the loss of {config.task} by {config.method} is {loss + penalty} at step {len(training.history)}; {kept}"
            )
        training.history.append({"step": len(training.history) + 1, "loss": loss, "penalty": penalty})
    unread.clear()


def validate(training: Training) -> None:
    """Add the present validation accuracy to the curve."""
    found = validation_accuracy(
        training.clip, training.method.application, training.tau, training.head, training.validation
    )
    training.curve.append({"step": training.step, "validation_accuracy": found})


def validation_accuracy(
    clip: Clip, application: Application, tau: Parameters, head: Tensor, validation: tuple[Tensor, Tensor]
) -> float:
    images, labels = validation
    return accuracy(application.features(clip, tau, images), head, labels)


def applied_by(run: Run, config: RunConfig, clip: Clip) -> Run:
    """A run whose vector another method trained, applied in this method's way; its accuracy is measured anew."""
    task = config.suite.task(config.task)
    found = validation_accuracy(
        clip,
        find_method(config.method).application,
        run.vector.tau,
        zero_shot_head(clip, task.classes, task.templates),
        load_split(task, "validation").tensors,
    )
    # The trained method's curve is of another model; of this one the ends are known.
    metrics = run.record["metrics"] | {"validation_accuracy": found}
    ends = [(0, metrics["zero_shot_validation_accuracy"]), (config.steps, found)]
    curve = [{"step": step, "validation_accuracy": accuracy} for step, accuracy in ends]
    record = run.record | {"config": config.names(), "metrics": metrics, "curve": curve}
    return replace(run, config=config, record=record, vector=replace(run.vector, method=config.method))


def note_resumption(folder: Path, step: int) -> list[int]:
    """Steps at which this training went on after it was killed, this one last; kept beside its state.

    If the file is damaged or another run's, they are counted from here on: no number depends on them.
    """
    file, earlier = folder / RESUMPTIONS, {"run": folder.name, "steps": []}
    if is_there(file):
        try:
            earlier = read_sealed(file)
        except Damaged as error:
            say(f"{error}: earlier resumptions of the training are not counted")
    resumed = [*(earlier["steps"] if earlier.get("run") == folder.name else []), step]
    write_sealed(file, {"run": folder.name, "steps": resumed})
    return resumed


def check_size(task: Task, clip: Clip) -> None:
    """Raises ValueError for pictures of a suite that is made for another model."""
    if task.image_size != clip.image_size:
        raise ValueError(
            f"pictures of {task.name} are brought to {task.image_size} pixels a side by their suite, and {clip.name} takes "
            f"{clip.image_size}: a suite of {clip.name} is accepted"
        )


def check_start(config: RunConfig, clip: Clip, start: TaskVector | None) -> None:
    """Raises ValueError unless `start` is the vector that the configuration says, for this θ₀."""
    given = start.digest() if start else ""
    if given != config.start:
        raise ValueError(
            f"the configuration of {config.task} starts from {f'vector {config.start}' if config.start else 'zero'}, "
            f"but {f'vector {given}' if given else 'no vector'} was given"
        )
    if start:
        check_theta0([start], clip.theta0, clip.fingerprint)


def check_steps(config: RunConfig, snapshot_steps: Sequence[int]) -> None:
    """Raises ValueError for a step that the run does not have."""
    for step in snapshot_steps:
        if not 1 <= step <= config.steps:
            raise ValueError(f"a snapshot is taken after a step from 1 to {config.steps}, not after {step}")


def check_snapshots(folder: Path, snapshot_steps: Sequence[int], done: int) -> None:
    """Raises ValueError for a step that the run has passed without leaving a snapshot, Damaged for a snapshot of another
    run or step."""
    for step in snapshot_steps:
        if step > done:
            continue
        file = snapshot_file(folder, step)
        if not is_there(file):
            raise ValueError(
                f"{file} does not exist: the run passed step {step} without leaving a snapshot: move {folder} away "
                "or use another store"
            )
        found = read_metadata(file)
        if (found.get("run"), found.get("step")) != (folder.name, step):
            raise Damaged(f"{file} is not of this run after {step} steps: move {folder} away to train the run again")
