"""Where does a run live? The run store: one folder for each trained task vector, named by its parameters.

STORE/SUITE/TASK/METHOD-seedN-DIGEST/
    config.json         the parameters, written first
    state.safetensors   training so far; gone when it is finished
    resumed.json        the steps at which a killed training went on; gone when it is finished
    vector.safetensors  the task vector
    record.json         parameters, metrics, history, cost and provenance, written last
    step-N.safetensors  the task vector after N steps, where snapshots were asked for
    .lock               held by the process that trains; the operating system frees it when that process dies

What is read is compared with what was asked for: state, resumptions, snapshots and record name their run, the record its
vector, and digests tell whether they are as they were written.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ..datasets import task_identity
from ..files import (
    UNFINISHED,
    Damaged,
    explained,
    from_home,
    is_there,
    read_json,
    read_metadata,
    read_sealed,
    remove_temporaries,
    write_json,
    write_sealed,
)
from ..identity import digest, fields_of, plain
from ..locks import lock_at
from ..methods import find_method
from ..models import Clip
from ..optimisation import VERSION
from ..progress import say
from ..task_vectors import TaskVector
from .config import RunConfig

CONFIG, STATE, RESUMPTIONS = "config.json", "state.safetensors", "resumed.json"
VECTOR, RECORD, LOCK = "vector.safetensors", "record.json", ".lock"
FILES = (CONFIG, STATE, RESUMPTIONS, VECTOR, RECORD)
SNAPSHOT = re.compile(r"step-\d+\.safetensors")


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    config: RunConfig
    record: dict
    vector: TaskVector


def identity(config: RunConfig, theta0: str) -> dict:
    """All that decides a run: every parameter, the model with the fingerprint of θ₀, a digest of each data set that it
    sees (`task_identity`), and the versions of the training and of the method."""
    suite = config.suite
    return plain(
        {
            **fields_of(config, "suite"),
            "suite": suite.name,
            "model": [suite.model, suite.pretrained, theta0],
            "data": {name: digest(task_identity(suite.task(name))) for name in (config.task, *config.penalty_tasks)},
            "versions": {"training": VERSION, "method": find_method(config.method).version},
        }
    )


def run_folder(store: Path | str, config: RunConfig, theta0: str) -> Path:
    """Where this run lives; the digest in its name covers its identity."""
    return folder_named_by(store, config, config.task, identity(config, theta0))


def folder_named_by(store: Path | str, config: RunConfig, trained_on: str, decides: dict) -> Path:
    name = f"{config.method}-seed{config.seed}-{digest(decides)}"
    return from_home(store, "the run store") / config.suite.name / trained_on / name


def open_run(store: Path | str, config: RunConfig, theta0: str) -> Path:
    """Make the run's folder with its config.json, or check that the folder that is there belongs to these parameters.

    A config.json that is missing or damaged is written again, for all that it says is known. Raises Damaged for one of
    other parameters and for a folder in a file's place, ValueError for a folder that holds other files than a run's.
    """
    folder, ours = run_folder(store, config, theta0), identity(config, theta0)
    check_places(folder)
    try:
        theirs = read_json(folder / CONFIG)
    except FileNotFoundError:
        check_only_a_runs(folder)
        theirs = {}
    except Damaged:
        theirs = {}
    if not theirs:
        write_json(folder / CONFIG, ours)
    elif different := sorted(key for key in ours | theirs if ours.get(key) != theirs.get(key)):
        raise Damaged(
            f"{folder / CONFIG} belongs to a run with other {', '.join(different)}: move {folder} away or use "
            "another store"
        )
    return folder


def check_places(folder: Path) -> None:
    """Raises Damaged for a folder where a file of a run is, or will be written."""
    for name in (*FILES, LOCK):
        if (folder / name).is_dir():
            raise Damaged(f"{folder / name} is a folder, where a file should be: move it away")


def check_only_a_runs(folder: Path) -> None:
    for path in folder.iterdir() if folder.exists() else ():
        if not (path.name.startswith(".") or path.name in FILES or SNAPSHOT.fullmatch(path.name)):
            raise ValueError(
                f"{folder} holds files but no config.json, {path.name} among them, so it is not a run: move it away or "
                "use another store"
            )


class Gone(ValueError):
    """The folder was deleted or moved away while this process wrote into it."""


def alone(folder: Path, work: Callable[[Callable[[], None]], None]) -> None:
    """Let `work` fill the folder while nobody else writes into it, and begin again if it is deleted meanwhile.

    `work` is given a function that it calls now and then, above all before it writes: it raises Gone if the folder is no
    longer this process's. What was deleted is made again, or waited for where another process has begun to make it.
    """
    try:
        with only_process(folder) as check_held:
            work(check_held)
    except Gone as gone:
        say(f"{gone}: beginning again")
        with only_process(folder) as check_held:
            work(check_held)


@contextmanager
def only_process(folder: Path) -> Iterator[Callable[[], None]]:
    """Nobody else writes into this folder meanwhile: a second process waits, until the first has finished or died.

    Gives a function that raises Gone once the lock is no longer the one at its place: whoever comes then makes the
    folder and a lock anew, and both would write.
    """
    lock = taken(folder)
    mine = (folder / LOCK).stat()

    def check_held() -> None:
        try:
            held = os.path.samestat(mine, (folder / LOCK).stat())
        except (FileNotFoundError, NotADirectoryError):
            held = False
        if not held:
            raise Gone(f"{folder} was deleted or moved away while it was being written") from None

    try:
        remove_temporaries(folder)
        yield check_held
    except FileNotFoundError:  # perhaps what it was writing
        check_held()
        raise
    finally:
        lock.release()


def taken(folder: Path) -> FileLock:
    """The folder's lock, as soon as it is free. All who may write into the folder may lock it, whoever made the lock."""
    waiting = False
    while True:
        with explained(folder / LOCK):
            folder.mkdir(parents=True, exist_ok=True)
            check_places(folder)
            try:
                lock = lock_at(folder / LOCK)
                lock.acquire(timeout=0)
                return lock
            except FileNotFoundError:  # the folder was deleted just now
                continue
            except Timeout:
                if not waiting:
                    say(f"{folder} is being trained by another process: waiting for it")
                waiting = True
        time.sleep(1.0)


def sweep(folder: Path) -> None:
    """Remove from a finished run what a killed process left, if nobody is at it and this user may."""
    left = [
        *folder.glob(f".*{UNFINISHED}"),
        *(path for path in (folder / STATE, folder / RESUMPTIONS) if path.exists()),
    ]
    if not left:
        return
    with suppress(OSError, Timeout), lock_at(folder / LOCK).acquire(timeout=0):
        remove_temporaries(folder)
        for path in (folder / STATE, folder / RESUMPTIONS):
            path.unlink(missing_ok=True)


def snapshot_file(folder: Path, step: int) -> Path:
    """The task vector as it was after this many steps."""
    return folder / f"step-{step}.safetensors"


def is_finished(folder: Path) -> bool:
    """Whether record and vector are there. Raises PermissionError where this user may not look.

    A record alone is left where the folder was deleted while the record was written.
    """
    return is_there(folder / RECORD) and is_there(folder / VECTOR)


def write_finished(folder: Path, vector: TaskVector, record: dict, check_held: Callable[[], None]) -> None:
    """The vector and then its record, which makes the run a finished one; the record names its run and its vector."""
    check_held()
    vector.save(folder / VECTOR)
    check_held()
    write_sealed(folder / RECORD, {"run": folder.name, **record, "vector": vector.metadata()})
    check_held()


def read_finished(folder: Path, clip: Clip) -> tuple[dict, TaskVector]:
    """Record and vector of a finished run. Raises FileNotFoundError if it is not finished, Damaged for a file that is
    damaged or another run's, PermissionError for one that this user may not read."""
    if not is_finished(folder):
        raise FileNotFoundError(f"{folder} holds no record.json with its vector: the run is not finished")
    try:
        return read_record(folder), TaskVector.load(folder / VECTOR, clip)
    except Damaged as error:
        raise Damaged(f"{error}; move {folder} away to train the run again") from None


def read_record(folder: Path) -> dict:
    """Raises Damaged for a record that is damaged or another run's, and for a vector that it does not name."""
    record = read_sealed(folder / RECORD)
    if record.get("run") != folder.name:
        raise Damaged(f"{folder / RECORD} is the record of another run, {record.get('run')}")
    if not is_there(folder / VECTOR):
        raise Damaged(f"{folder / VECTOR} is not there, though the record of the run is")
    if record.get("vector") != read_metadata(folder / VECTOR):
        raise Damaged(f"{folder / VECTOR} is not the vector that {RECORD} names")
    return record


def check_snapshots(folder: Path, snapshot_steps: Sequence[int], done: int) -> None:
    """Raises ValueError for a step that the run has passed without leaving a snapshot, Damaged for a snapshot of another
    run or step."""
    for step in (step for step in snapshot_steps if step <= done):
        file = snapshot_file(folder, step)
        if not is_there(file):
            raise ValueError(
                f"{file} does not exist: the run passed step {step} without leaving a snapshot: move {folder} away "
                "or use another store"
            )
        found = read_metadata(file)
        if (found.get("run"), found.get("step")) != (folder.name, step):
            raise Damaged(f"{file} is not of this run after {step} steps: move {folder} away to train the run again")
