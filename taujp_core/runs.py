"""Where does a run live? The run store: one folder for each trained task vector, named by its parameters.

STORE/SUITE/TASK/METHOD-seedN-DIGEST/
    config.json         the parameters, written first
    state.safetensors   training so far; gone when it is finished
    resumed.json        the steps at which a killed training went on; gone when it is finished
    vector.safetensors  the task vector
    record.json         parameters, metrics, history, cost and provenance, written last
    step-N.safetensors  the task vector after N steps, where snapshots were asked for
    .lock               held by the process that trains; the operating system frees it when that process dies
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from .config import RunConfig
from .datasets import pictures_identity
from .files import read_json, remove_temporaries, write_json
from .models import Clip
from .progress import say
from .task_vectors import TaskVector


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    config: RunConfig
    record: dict
    vector: TaskVector


def identity(config: RunConfig, theta0: str) -> dict:
    """All that decides a run: its parameters, the fingerprint of θ₀, and what decides the pictures it sees.

    A field at its default is left out, so that runs from before it was there are found again.
    """
    tasks = [config.suite.task(name) for name in (config.task, *config.penalty_tasks)]
    pictures = hashlib.sha256(json.dumps(pictures_identity(tasks)).encode()).hexdigest()[:12]
    default = {field.name: field.default for field in dataclasses.fields(config)} | {"options": {}}
    parameters = {name: value for name, value in config.names().items() if value != default[name]}
    return json.loads(json.dumps({**parameters, "theta0": theta0, "pictures": pictures}))


def run_folder(store: Path | str, config: RunConfig, theta0: str) -> Path:
    """Where this run lives; the digest in its name covers its identity."""
    text = json.dumps(identity(config, theta0), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return Path(store) / config.suite.name / config.task / f"{config.method}-seed{config.seed}-{digest}"


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
    elif folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise ValueError(
            f"{folder} holds files but no config.json, so it is not a run: move it away or use another store"
        )
    else:
        write_json(folder / "config.json", ours)
    return folder


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Nobody else writes into this folder meanwhile: a second process waits, until the first has finished or died."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"{folder} is being trained by another process: waiting for it")
        lock.acquire(poll_interval=1.0)
    try:
        remove_temporaries(folder)
        yield
    finally:
        lock.release()


def snapshot_file(folder: Path, step: int) -> Path:
    """The task vector as it was after this many steps."""
    return folder / f"step-{step}.safetensors"


def is_finished(folder: Path) -> bool:
    return (folder / "record.json").is_file()


def load_run(folder: Path, config: RunConfig, clip: Clip) -> Run:
    """A finished run; FileNotFoundError if it is not finished, ValueError if a file is damaged."""
    record = read_json(folder / "record.json")
    if not isinstance(record, dict) or "config" not in record:
        raise ValueError(f"{folder / 'record.json'} is not the record of a run")
    return Run(folder, config, record, TaskVector.load(folder / "vector.safetensors", clip))
