"""The run store: one folder for each trained task vector, named by its parameters.

STORE/SUITE/TASK/METHOD-seedN-DIGEST/
    config.json         the parameters, written first
    state.safetensors   training so far; gone when it is finished
    vector.safetensors  the task vector
    record.json         parameters, metrics, history, cost and provenance, written last
    step-N.safetensors  the task vector after N steps, where snapshots were asked for
"""

import dataclasses
import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from .datasets import validation_images
from .datasets.rendered import renderer_digest
from .files import read_json, write_json
from .precision import PRECISIONS
from .suites import METHODS, Suite, Task, load_suite, one_of
from .task_vectors import TaskVector


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run. Build it with `run_config`, which fills in the suite's recipe."""

    suite: str
    task: str
    method: str
    seed: int
    steps: int
    batch_size: int
    peak_lr: float
    weight_decay: float
    warmup_steps: int
    clip_norm: float
    penalty_weight: float  # λ
    penalty_batch_size: int  # images of each penalised data set a step
    penalty_start: int  # first step with the penalty
    penalty_tasks: tuple[str, ...]  # data sets whose images the penalty sees
    accumulation: int  # parts that a step's batch is computed in
    precision: str  # of the matrix products: float32, tf32 or bf16
    least_crop: float  # training images are random crops of at least this share of a picture's area; 1: whole pictures
    penalty_reservoir: int = 0  # images kept of each penalised data set but the control; 0: all
    start: str = ""  # digest of the vector that τ starts from; empty: from zero


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    config: RunConfig
    record: dict
    vector: TaskVector


def run_config(
    suite_name: str, task: str, method: str, seed: int = 0, tasks: list[str] | None = None, **changes
) -> RunConfig:
    """The suite's recipe for this task and method, with `changes` to its fields.

    `tasks` are the tasks that the vector shall live with (all of the suite by default); their images and the
    control's, without this task's own, are what the penalty sees. Raises ValueError or TypeError for
    whatever is not accepted.
    """
    suite = load_suite(suite_name)
    suite.task(task)
    one_of("method", method, METHODS)
    unknown = changes.keys() - {field.name for field in dataclasses.fields(RunConfig)}
    if unknown:
        raise ValueError(f"unknown run parameter {', '.join(sorted(unknown))}")
    for other in tasks or []:
        suite.task(other)
    values = {"penalty_start": 0, "penalty_reservoir": 0, "accumulation": 1, "precision": "float32", "start": ""}
    values |= suite.recipe
    values["peak_lr"] = values["peak_lr"][method]
    epochs = values.pop("epochs", None)
    if "steps" not in values:
        values["steps"] = steps_of_epochs(epochs, suite.task(task), values["batch_size"])
    values["penalty_tasks"] = tuple(n for n in (*(tasks or suite.tasks), suite.control.name) if n != task)
    recipe_steps, values = values["steps"], values | changes
    if "warmup_steps" not in changes and isinstance(values["steps"], int):
        # Short trials keep the recipe's share of warm-up.
        values["warmup_steps"] = round(values["warmup_steps"] * max(values["steps"], 0) / recipe_steps)
    if not method.startswith("taujp"):
        values |= {"penalty_weight": 0.0, "penalty_batch_size": 0, "penalty_start": 0, "penalty_tasks": ()}
        values["penalty_reservoir"] = 0
    values = {"suite": suite_name, "task": task, "method": method, "seed": seed, **values}
    check_values(values, suite)
    return RunConfig(**values)


def steps_of_epochs(epochs: dict[str, int | float], task: Task, batch_size: int) -> int:
    """Steps of the recipe's epochs over the published training images without those held out for validation."""
    one_of("task of the recipe", task.name, epochs)
    return round(epochs[task.name] * (task.train_images - validation_images(task.train_images)) / batch_size)


def check_values(values: dict, suite: Suite) -> None:
    """Raises TypeError or ValueError with a sentence about the first field that is out of bounds."""
    penalised = values["method"].startswith("taujp")
    one_of("precision", values["precision"], PRECISIONS)
    least = {
        "seed": 0,
        "steps": 1,
        "batch_size": 1,
        "warmup_steps": 0,
        "accumulation": 1,
        "penalty_start": 0,
        "penalty_batch_size": int(penalised),
        "penalty_reservoir": 0,
    }
    for name, minimum in least.items():
        value = values[name]
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be an integer, not {value!r}")
        if value < minimum:
            raise ValueError(f"{name} must be at least {minimum}, not {value}")
    if not isinstance(values["start"], str):
        raise TypeError(f"start must be the digest of a vector, not {values['start']!r}")
    for name in ("peak_lr", "weight_decay", "clip_norm", "penalty_weight", "least_crop"):
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} must be a number, not {value!r}")
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be finite and not negative, not {value}")
        values[name] = float(value)
    if not 0 < values["least_crop"] <= 1:
        raise ValueError(f"least_crop must be above 0 and at most 1, not {values['least_crop']}")
    for part in (values["batch_size"], values["penalty_batch_size"]):
        if part % values["accumulation"]:
            raise ValueError(f"accumulation {values['accumulation']} does not divide the batch of {part} images")
    for other in values["penalty_tasks"]:
        suite.task(other)
    if penalised and not values["penalty_tasks"]:
        raise ValueError(f"{values['method']} needs at least one data set to penalise")


def identity(config: RunConfig, theta0: str) -> dict:
    """All that decides a run: its parameters, the fingerprint of θ₀, and the digest of the pictures it sees.

    A field at its default is left out, so that runs from before it was there are found again.
    """
    suite = load_suite(config.suite)
    tasks = [suite.task(name) for name in (config.task, *config.penalty_tasks)]
    renderer = renderer_digest() if any(task.hub is None for task in tasks) else None
    pictures = hashlib.sha256(json.dumps([[asdict(task) for task in tasks], renderer]).encode()).hexdigest()[:12]
    parameters = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != field.default
    }
    return json.loads(json.dumps({**parameters, "theta0": theta0, "pictures": pictures}))


def run_folder(store: Path | str, config: RunConfig, theta0: str) -> Path:
    """Where this run lives; the digest in its name covers its identity."""
    text = json.dumps(identity(config, theta0), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return Path(store) / config.suite / config.task / f"{config.method}-seed{config.seed}-{digest}"


def open_run(store: Path | str, config: RunConfig, theta0: str) -> Path:
    """Make the run's folder, or check that the one that is there belongs to these parameters."""
    folder, ours = run_folder(store, config, theta0), identity(config, theta0)
    if (folder / "config.json").exists():
        theirs = read_json(folder / "config.json")
        different = sorted(key for key in ours | theirs if ours.get(key) != theirs.get(key))
        if different:
            raise ValueError(
                f"{folder} belongs to a run with other {', '.join(different)}: move it away or use another store"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise ValueError(
            f"{folder} holds files but no config.json, so it is not a run: move it away or use another store"
        )
    else:
        write_json(folder / "config.json", ours)
    return folder


def snapshot_file(folder: Path, step: int) -> Path:
    """The task vector as it was after this many steps."""
    return folder / f"step-{step}.safetensors"


def is_finished(folder: Path) -> bool:
    return (folder / "record.json").is_file()


def load_run(folder: Path) -> Run:
    """A finished run; FileNotFoundError if it is not finished, ValueError if a file is damaged."""
    record = read_json(folder / "record.json")
    if not isinstance(record, dict) or "config" not in record:
        raise ValueError(f"{folder / 'record.json'} is not the record of a run")
    config = record["config"]
    config = RunConfig(**{**config, "penalty_tasks": tuple(config["penalty_tasks"])})
    return Run(folder, config, record, TaskVector.load(folder / "vector.safetensors"))
