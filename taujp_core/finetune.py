"""Fine-tuning of the image encoder on one task: standard, linearised, and linearised with the τJp penalty.

Every method trains τ, from zero or from a finished vector, with AdamW; the head is the frozen zero-shot head.

    standard          CE(f(x; θ₀ + τ))
    linear            CE(f₀ + Jτ)                                                  (Ortiz-Jimenez et al. 2023, eq. 4)
    taujp-strict      CE(f₀ + Jτ) + λ · mean over all other data sets of mean ‖J(x')τ‖₂     (Yoshida et al. 2025)
    taujp-efficient   the same with one other data set a step, in turn

Weight decay pulls τ to zero, that is θ to θ₀. (The reference code decays θ itself, which adds a multiple of
−θ₀ to every task vector.)
"""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call
from torch.utils.data import Dataset

from .datasets import load_split, reservoir
from .datasets.pictures import made_ahead, training_batch
from .evaluation import accuracy, features, linearised_features
from .files import read_tensors, write_json, write_tensors
from .jacobian import full_precision, linearised_gradient, product_norms
from .memory import device_of, to_device
from .models import Clip, Parameters, logits, zero_shot_head
from .optimisation import batch_indices, cosine_lr, optimizer_tensors, restore_optimizer
from .precision import check_precision, precision
from .progress import Progress
from .provenance import peak_memory_mib, provenance
from .runs import Run, RunConfig, is_finished, load_run, open_run, snapshot_file
from .suites import Suite, load_suite
from .task_vectors import TaskVector, check_theta0

SAVE_SECONDS = 30.0  # how much work a kill may cost
EVALUATIONS = 6  # validation accuracies over a training, beside the one before it
EVALUATION_STEPS = 3  # least mean distance of two of them: a short training has fewer
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
    written beside the run (`snapshot_file`); a run is the same with and without them. Raises ValueError if the
    folder belongs to other parameters, a file is damaged, the device lacks the precision, a snapshot can no longer
    be taken or `start` is of another θ₀ or not the one of the configuration, and FloatingPointError if the loss
    stops being finite; the last good state is then kept.
    """
    suite = load_suite(config.suite)
    check_start(config, clip, start)
    check_precision(config.precision, device_of(clip.theta0))
    folder = open_run(store, config, clip.fingerprint)
    check_snapshots(folder, config, snapshot_steps, config.steps if is_finished(folder) else 0)
    if is_finished(folder):
        return finished_run(folder, clip)
    device = device_of(clip.theta0)
    task = suite.task(config.task)
    head = zero_shot_head(clip, task.classes, task.templates)
    train = load_split(task, "train")
    validation_images, validation_labels = load_split(task, "validation").tensors
    others = penalised_splits(config, suite)

    tau = {name: torch.zeros_like(value) for name, value in clip.theta0.items()}
    zero_shot = None
    if start:
        zero_shot = accuracy(features(clip.encoder, clip.theta0, validation_images), head, validation_labels.to(device))
        tau = {name: value.clone() for name, value in start.like(clip.theta0).tau.items()}
    optimizer = torch.optim.AdamW(list(tau.values()), weight_decay=config.weight_decay)
    state_file = folder / "state.safetensors"
    first_step, seconds, history, curve = 0, 0.0, [], []
    if state_file.is_file():
        tensors, state = read_tensors(state_file)
        for name, value in tau.items():
            value.copy_(tensors[f"tau/{name}"])
        restore_optimizer(optimizer, tau, tensors)
        first_step, seconds, history, curve = state["step"], state["seconds"], state["history"], state["curve"]
        check_snapshots(folder, config, snapshot_steps, first_step)

    def validate(step: int) -> None:
        found = edited_features(clip, config.method, tau, validation_images)
        now = accuracy(found, head, validation_labels.to(device))
        curve.append({"step": step, "validation_accuracy": now})

    unread = []  # (loss, penalty) of the steps since the last look

    def read_losses() -> None:
        for loss, penalty in torch.stack([torch.stack(pair) for pair in unread]).tolist() if unread else ():
            if not math.isfinite(loss + penalty):
                kept = (
                    f"the state after step {good_step} is kept in {state_file}"
                    if state_file.is_file()
                    else "no state was saved yet"
                )
                raise FloatingPointError(
                    f"the loss of {config.task} by {config.method} is {loss + penalty} at step {len(history)}; {kept}"
                )
            history.append({"step": len(history) + 1, "loss": loss, "penalty": penalty})
        unread.clear()

    images_per_step = config.batch_size + penalty_images(config)
    title = f"{config.task} {config.method} seed {config.seed}"
    progress = Progress(title, config.steps * images_per_step, first_step * images_per_step)
    started = saved = time.perf_counter()
    if first_step == 0:
        validate(0)
    good_step = first_step
    steps = range(first_step, config.steps)
    evaluations = min(EVALUATIONS, -(-config.steps // EVALUATION_STEPS))
    batches = made_ahead(lambda step: step_batches(config, train, others, step), steps, train, *others)
    for step, (images, labels, penalised) in zip(steps, batches, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = cosine_lr(step, config.steps, config.peak_lr, config.warmup_steps)
        images, labels, *penalised = (to_device(tensor, device) for tensor in (images, labels, *penalised))
        with precision(config.precision, device):
            gradient, loss, penalty = step_gradient(config, clip, head, tau, images, labels, penalised)
        unread.append((loss, penalty))
        for name, value in tau.items():
            value.grad = gradient[name]
        torch.nn.utils.clip_grad_norm_(tau.values(), config.clip_norm)
        optimizer.step()
        done = step + 1
        if done % LOSS_STEPS == 0:
            read_losses()
        progress.advance(images_per_step, loss=f"{history[-1]['loss']:.3f}" if history else "")
        if done * evaluations // config.steps > step * evaluations // config.steps:
            validate(done)
        if done in snapshot_steps:
            read_losses()
            TaskVector(tau, clip.fingerprint, config.task, config.method).save(snapshot_file(folder, done))
        if time.perf_counter() - saved >= SAVE_SECONDS and done < config.steps:
            read_losses()
            saved = time.perf_counter()
            tensors = {f"tau/{name}": value for name, value in tau.items()} | optimizer_tensors(optimizer, tau)
            state = {"step": done, "seconds": seconds + saved - started, "history": history, "curve": curve}
            write_tensors(state_file, tensors, state)
            good_step = done
    read_losses()
    progress.close()

    vector = TaskVector(tau, clip.fingerprint, config.task, config.method)
    vector.save(folder / "vector.safetensors")
    seconds += time.perf_counter() - started
    record = {
        "config": asdict(config),
        "theta0": clip.fingerprint,
        "metrics": {
            "zero_shot_validation_accuracy": curve[0]["validation_accuracy"] if zero_shot is None else zero_shot,
            "validation_accuracy": curve[-1]["validation_accuracy"],
            "tau_norm": vector.norm(),
        },
        "history": history,
        "curve": curve,
        "seconds": seconds,
        "images_per_second": config.steps * images_per_step / seconds,
        "peak_memory_mib": peak_memory_mib(),
        **provenance(),
    }
    write_json(folder / "record.json", record)
    state_file.unlink(missing_ok=True)
    return finished_run(folder, clip)


def finished_run(folder: Path, clip: Clip) -> Run:
    """The stored run, its vector where the Clip's parameters are."""
    run = load_run(folder)
    return replace(run, vector=run.vector.like(clip.theta0))


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


def check_snapshots(folder: Path, config: RunConfig, snapshot_steps: Sequence[int], done: int) -> None:
    """Raises ValueError for a step that the run does not have, or that it passed without leaving a snapshot."""
    for step in snapshot_steps:
        if not 1 <= step <= config.steps:
            raise ValueError(f"a snapshot is taken after a step from 1 to {config.steps}, not after {step}")
        if step <= done and not snapshot_file(folder, step).is_file():
            raise ValueError(
                f"{folder} passed step {step} without leaving a snapshot: move it away or use another store"
            )


def step_gradient(
    config: RunConfig, clip: Clip, head: Tensor, tau: Parameters, images: Tensor, labels: Tensor, others: list[Tensor]
) -> tuple[Parameters, Tensor, Tensor]:
    """Gradient of one step's objective with respect to τ, the task loss, and the penalty without λ.

    The batch is computed in `config.accumulation` equal parts, each with its part of the penalised images, so
    that the mean of the parts' gradients is the gradient of the whole.
    """
    parts = config.accumulation
    total = {name: torch.zeros_like(value) for name, value in tau.items()}
    task_loss = penalty = torch.zeros((), device=head.device)
    for k in range(parts):
        x, y = images.chunk(parts)[k], labels.chunk(parts)[k]
        if config.method == "standard":
            gradient, (loss, norms) = standard_gradient(clip, head, tau, x, y)
        else:
            penalised = torch.cat([batch.chunk(parts)[k] for batch in others]) if others else x[:0]
            gradient, (loss, norms) = penalised_gradient(clip, head, tau, x, y, penalised, config.penalty_weight)
        for name, value in gradient.items():
            total[name].add_(value, alpha=1 / parts)
        task_loss, penalty = task_loss + loss / parts, penalty + norms / parts
    return total, task_loss, penalty


def standard_gradient(
    clip: Clip, head: Tensor, tau: Parameters, images: Tensor, labels: Tensor
) -> tuple[Parameters, tuple[Tensor, Tensor]]:
    """Gradient of CE(f(x; θ₀ + τ)), and (loss, 0)."""
    theta = {name: value.detach().requires_grad_() for name, value in edited_theta(clip, tau).items()}
    features = functional_call(clip.encoder, theta, (images,))
    with full_precision(features):
        loss = cross_entropy(features, head, labels)
        gradients = torch.autograd.grad(loss, list(theta.values()), materialize_grads=True)
    return dict(zip(theta, gradients, strict=True)), (loss.detach(), torch.zeros_like(loss))


def penalised_gradient(
    clip: Clip, head: Tensor, tau: Parameters, images: Tensor, labels: Tensor, penalised: Tensor, penalty_weight: float
) -> tuple[Parameters, tuple[Tensor, Tensor]]:
    """Gradient of CE(f₀ + Jτ) + λ·mean ‖J(x')τ‖₂, in one pass over both sets of images, and (loss, penalty)."""
    n = len(labels)

    def objective(f0: Tensor, products: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        loss = cross_entropy(f0[:n] + products[:n], head, labels)
        if len(products) == n:
            return loss, (loss.detach(), torch.zeros_like(loss))
        penalty = product_norms(products[n:]).mean()
        return loss + penalty_weight * penalty, (loss.detach(), penalty.detach())

    return linearised_gradient(clip.encoder, clip.theta0, tau, torch.cat([images, penalised]), objective)


def cross_entropy(features: Tensor, head: Tensor, labels: Tensor) -> Tensor:
    """Of the cosine logits, in the head's precision whatever the encoder's."""
    return F.cross_entropy(logits(features.to(head.dtype), head), labels)


def step_batches(
    config: RunConfig, train: Dataset, others: list[Dataset], step: int
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """What a step needs, by its number alone: images, labels, and this step's penalised images.

    Those are a batch of every other data set (strict), or of one, in turn (efficient).
    """
    indices = batch_indices(len(train), config.batch_size, step, config.seed, 0)
    images, labels = training_batch(train, indices, config.least_crop, (config.seed, 0, step))
    if not others or step < config.penalty_start:
        return images, labels, []
    if config.method == "taujp-strict":
        chosen, visit = range(len(others)), step
    else:
        chosen, visit = [step % len(others)], step // len(others)
    penalised = []
    for k in chosen:
        indices = batch_indices(len(others[k]), config.penalty_batch_size, visit, config.seed, 1, k)
        penalised.append(training_batch(others[k], indices, config.least_crop, (config.seed, 1, k, visit))[0])
    return images, labels, penalised


def penalised_splits(config: RunConfig, suite: Suite) -> list[Dataset]:
    """The data sets that the penalty sees; of tasks no more than the reservoir, of the control all."""
    splits = []
    for name in config.penalty_tasks:
        split = load_split(suite.task(name), "train")
        kept = config.penalty_reservoir and name != suite.control.name
        splits.append(reservoir(split, config.penalty_reservoir) if kept else split)
    return splits


def penalty_images(config: RunConfig) -> int:
    """Penalised images a step."""
    sets = {"taujp-strict": len(config.penalty_tasks), "taujp-efficient": 1}.get(config.method, 0)
    return sets * config.penalty_batch_size


def edited_theta(clip: Clip, tau: Parameters) -> Parameters:
    return {name: value + tau[name] for name, value in clip.theta0.items()}


def edited_features(clip: Clip, method: str, tau: Parameters, images: Tensor) -> Tensor:
    """Features under θ₀ + τ: by a forward pass for standard vectors, linearised for the others."""
    if method == "standard":
        return features(clip.encoder, edited_theta(clip, tau), images)
    return linearised_features(clip.encoder, clip.theta0, tau, images)
