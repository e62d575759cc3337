"""How is a task vector trained? One task, by one of `methods/`, which says what a step's objective is."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..applications import Application
from ..applications.encoder import ENCODER
from ..datasets import load_split
from ..datasets.pictures import made_ahead
from ..evaluation import accuracy
from ..methods import Sight, find_method
from ..models import Clip, zero_shot_head
from ..parameters import Parameters, device_of, zeros_like
from ..products.memory import to_device
from ..products.precision import check_precision
from ..provenance import peak_memory_mib, provenance
from ..task_vectors import TaskVector, check_theta0
from ..tasks import Task
from .config import RunConfig
from .descent import check_moves, moving, take_step
from .loop import State, Training, begun, train
from .run_store import (
    RESUMPTIONS,
    STATE,
    Run,
    alone,
    check_snapshots,
    is_finished,
    open_run,
    read_finished,
    run_folder,
    snapshot_file,
    sweep,
    write_finished,
)
from .state import Carried, note_resumption
from .step_images import images_seen, parts_of, penalised_splits, penalty_images, step_batches

EVALUATIONS = 6  # validation accuracies over a training, beside the one before it
EVALUATION_STEPS = 6  # least mean distance of two of them: a short training has fewer


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
    written beside the run (`snapshot_file`); snapshots do not change the run. If another process trains this
    run, the call waits for that process. If the run's folder is deleted during the wait, the call trains the run again. Raises ValueError if the folder holds
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
    check_moves(method, clip)
    folder = run_folder(store, config, clip.fingerprint)

    def work(check_held: Callable[[], None]) -> None:
        open_run(store, config, clip.fingerprint)
        if not is_finished(folder):  # by the process that was waited for
            train_alone(config, folder, clip, snapshot_steps, start, check_held)

    if not is_finished(folder):
        task = config.suite.task(config.task)
        zero_shot_head(clip, task.classes, task.templates)  # or a sentence, before anything is written
        check_size(task, clip)
        alone(folder, work)
    open_run(store, config, clip.fingerprint)
    check_snapshots(folder, snapshot_steps, config.steps)
    run = Run(folder, config, *read_finished(folder, clip))
    sweep(folder)  # here, for a kill may have come just after the record
    return run


def train_alone(
    config: RunConfig,
    folder: Path,
    clip: Clip,
    snapshot_steps: Sequence[int],
    start: TaskVector | None,
    check_held: Callable[[], None],
) -> None:
    """From the start, or from where it was stopped, to the vector and its record."""
    method, task = find_method(config.method), config.suite.task(config.task)
    head = zero_shot_head(clip, task.classes, task.templates)
    images, held_out, others = load_split(task, "train"), load_split(task, "validation"), penalised_splits(config)
    validation = held_out.tensors
    tau = zeros_like(clip.theta0)
    zero_shot = validation_accuracy(clip, ENCODER, tau, head, validation)
    if start:
        tau = {name: value.clone() for name, value in start.like(clip.theta0).tau.items()}
    trained = method.trained(tau)
    optimizer = torch.optim.AdamW(moving(trained, method).values(), weight_decay=config.weight_decay)
    sight = Sight(clip, head, images, held_out, others, config.seed, config.method_parameters(), config.steps)
    prepared = method.prepare(sight) if method.prepare else None

    def take(step: int) -> dict[str, Tensor]:
        ours, labels, theirs = next(batches)
        ours, labels = to_device(ours, head.device), to_device(labels, head.device)
        theirs = [(to_device(batch, head.device), to_device(y, head.device)) for batch, y in theirs]
        parts = [(head, part) for part in parts_of(ours, labels, theirs, config, step)]
        return take_step(clip, trained, optimizer, parts, config, step, prepared)

    def validate(state: State) -> None:
        found = validation_accuracy(clip, method.application, tau, head, validation)
        state.curve.append({"step": state.step, "validation_accuracy": found})

    def at_stop(state: State) -> None:
        if state.step in evaluated:
            validate(state)
        if state.step in snapshot_steps:
            vector = TaskVector(tau, clip.fingerprint, config.task, config.method)
            vector.save(snapshot_file(folder, state.step), run=folder.name, step=state.step)

    evaluated = evaluation_steps(config.steps)
    training = Training(
        title=f"{config.task} by {config.method}, seed {config.seed}",
        steps=config.steps,
        images=config.batch_size + penalty_images(config),
        take=take,
        carried=Carried(trained, (optimizer,)),
        file=folder / STATE,
        about={"run": folder.name},
        stops={*evaluated, *snapshot_steps},
        at_stop=at_stop,
        check_held=check_held,
    )
    state = begun(training)
    check_snapshots(folder, snapshot_steps, state.step)
    resumed = note_resumption(folder / RESUMPTIONS, folder.name, state.step) if state.step else []
    if not state.step:
        validate(state) if start else state.curve.append({"step": 0, "validation_accuracy": zero_shot})
    steps = range(state.step, config.steps)
    batches = made_ahead(lambda step: step_batches(config, images, others, step), steps, images, *others)
    train(training, state)

    vector = TaskVector(tau, clip.fingerprint, config.task, config.method)
    metrics = {
        "zero_shot_validation_accuracy": zero_shot,
        "validation_accuracy": state.curve[-1]["validation_accuracy"],
        "tau_norm": vector.norm(),
    }
    record = {
        "config": config.names(),
        "theta0": clip.fingerprint,
        "metrics": metrics,
        "history": state.history,
        "curve": state.curve,
        "resumed_at": resumed,
        "seconds": state.seconds,
        "images_per_second": sum(images_seen(config)) / state.seconds,
        "peak_memory_mib": peak_memory_mib(),
        **provenance(),
    }
    write_finished(folder, vector, record, check_held)


def evaluation_steps(steps: int) -> set[int]:
    """EVALUATIONS of them, the last one after the last step."""
    evaluations = min(EVALUATIONS, -(-steps // EVALUATION_STEPS))
    return {done for done in range(1, steps + 1) if done * evaluations // steps > (done - 1) * evaluations // steps}


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


def check_steps(config: RunConfig, snapshot_steps: Sequence[int]) -> None:
    """Raises ValueError for a step that the run does not have."""
    for step in snapshot_steps:
        if not 1 <= step <= config.steps:
            raise ValueError(f"a snapshot is taken after a step from 1 to {config.steps}, not after {step}")


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
