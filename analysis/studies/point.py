"""How is one point of a study run, so that its notebook is there if, and only if, it is done?

This is what a worker imports: it needs no torch, which only the notebooks' kernels load.

FOLDER/points/
    KEY.ipynb           the executed notebook of a finished point
    KEY.failed.ipynb    of one that failed, as far as it came
    KEY.failed.txt      why
    KEY.deaths.json     how often its worker died in it: `deaths`
    .KEY.*.part.ipynb   being run, or left by a kill
    .KEY.lock           held by the process that runs it and by its kernel: `locks`
"""

import contextlib
import os
import threading
import time
import traceback
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
import psutil
from jupyter_client.manager import AsyncKernelManager

from .locks import give_back, is_taken, take

UNFINISHED = ".part.ipynb"
ENDING = threading.Event()  # this worker is: what it runs is given back
KERNELS: list[psutil.Process] = []  # begun by this process
QUIET = ["--IPKernelApp.log_level=ERROR"]  # a kernel warns of its loopback connection each time


@dataclass(frozen=True)
class Point:
    """A notebook and its parameters.

    key: names its files; after: keys of the points whose results it reads; run: of a training, the run's folder.
    """

    key: str
    notebook: str
    parameters: dict
    after: tuple[str, ...] = ()
    run: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt. seconds: by a clock that is never set; error: empty if the point is done; left: name of
    the notebook as far as it came, for the driver to keep; died: the worker did, and all else is unknown."""

    key: str
    seconds: float
    error: str = ""
    traceback: str = ""
    left: str = ""
    died: bool = False


def finished_file(folder: Path, key: str) -> Path:
    return Path(folder) / "points" / f"{key}.ipynb"


def failed_files(folder: Path, key: str) -> tuple[Path, Path]:
    """The notebook and the traceback of a failed point."""
    points = Path(folder) / "points"
    return points / f"{key}.failed.ipynb", points / f"{key}.failed.txt"


def lock_file(folder: Path, key: str) -> Path:
    return Path(folder) / "points" / f".{key}.lock"


def attempts_left(folder: Path, key: str) -> list[Path]:
    """What was begun and did not come to its end, or has not yet."""
    return sorted((Path(folder) / "points").glob(f".{key}.????????{UNFINISHED}"))


def run_point(folder: str, point: Point) -> Outcome:
    """Run the notebook under a temporary name, and rename it if it came to its end. Nobody else runs it meanwhile.

    Whatever a notebook, its kernel or the disk does is told in the outcome, not raised: a failing point is an answer.
    """
    began = time.perf_counter()
    target = finished_file(folder, point.key)
    temporary = target.with_name(f".{point.key}.{uuid.uuid4().hex[:8]}{UNFINISHED}")
    try:
        with alone(folder, point.key) as lock:
            began = time.perf_counter()
            if not target.exists():
                temporary.touch()
                notebook = papermill.execute_notebook(
                    point.notebook, temporary, point.parameters, progress_bar=False, extra_arguments=QUIET,
                    kernel_manager_class=kernel_with(lock),
                )  # fmt: skip
                # Names without folders, for the notebook may be published.
                notebook.metadata.papermill |= {"input_path": Path(point.notebook).name, "output_path": target.name}
                notebook.metadata["batch"] = {"key": point.key, "seconds": time.perf_counter() - began}
                with temporary.open("w", encoding="utf-8") as file:
                    nbformat.write(notebook, file)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(target)
    except Exception as error:
        seconds = time.perf_counter() - began
        if ENDING.is_set():
            temporary.unlink(missing_ok=True)
        return Outcome(point.key, seconds, sentence(error), traceback.format_exc(), temporary.name)
    return Outcome(point.key, time.perf_counter() - began)


@contextlib.contextmanager
def alone(folder: str, key: str) -> Iterator[int]:
    """The lock, as soon as whoever has it has finished or died: a driver that was killed leaves workers that still run."""
    path, waiting = lock_file(folder, key), False
    while (lock := take(path)) is None:
        if not waiting:
            print(f"{key} is being run by another process: waiting for it", flush=True)
        waiting = True
        time.sleep(0.2)
    try:
        yield lock
    finally:
        give_back(path, lock)


def kernel_with(lock: int) -> type[AsyncKernelManager]:
    """Kernels that have the lock, too: one may outlive a worker that is killed, for some seconds or in a long call."""

    class Kernel(AsyncKernelManager):
        async def start_kernel(self, **options) -> None:
            await super().start_kernel(pass_fds=(lock,), **options)
            KERNELS[:] = [psutil.Process(self.provisioner.pid)]

    return Kernel


def dask_teardown(worker: object) -> None:
    """Dask calls this when a worker ends, because it was told to or its driver is gone. It does not wait for hours until
    its notebook is through: whoever comes next goes on, from the last saved state of a training."""
    ENDING.set()
    kill_kernels()


def kill_kernels() -> None:
    for kernel in KERNELS:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in [*kernel.children(recursive=True), kernel]:
                process.kill()


def sentence(error: Exception) -> str:
    """One line: of a cell's error its name and text, for papermill's own begins with a rule."""
    if isinstance(error, papermill.PapermillExecutionError):
        return " ".join(f"{error.ename}: {error.evalue}".split())
    return " ".join(f"{type(error).__name__}: {error}".split())


def keep_failed(folder: Path, outcome: Outcome) -> None:
    """Give what a failed attempt left its place; on a full disk there may be none."""
    notebook, text = failed_files(folder, outcome.key)
    with contextlib.suppress(OSError):
        text.write_text(outcome.traceback, encoding="utf-8")
    if outcome.left:
        with contextlib.suppress(OSError):
            notebook.with_name(outcome.left).replace(notebook)


def forget_left(folder: Path, outcome: Outcome) -> None:
    """Of an attempt that failed before another."""
    if outcome.left:
        finished_file(folder, outcome.key).with_name(outcome.left).unlink(missing_ok=True)


def forget_failed(folder: Path, key: str) -> None:
    """What an earlier call left of a point that is done now."""
    for path in failed_files(folder, key):
        path.unlink(missing_ok=True)


def unfinished(folder: Path) -> list[Path]:
    return sorted((Path(folder) / "points").glob(f".*.????????{UNFINISHED}"))


def key_of(path: Path) -> str:
    """Of what an attempt left."""
    return path.name.removesuffix(UNFINISHED)[1:].rpartition(".")[0]


def remove_unfinished(folder: Path) -> list[str]:
    """Remove what killed attempts left, and locks that nobody has; keys of the points that are still being run.

    A worker whose driver is gone runs its point for a while; should it come to its end, the point is done.
    """
    running = {path.name[1:].removesuffix(".lock") for path in locks(folder) if is_taken(path)}
    for path in unfinished(folder):
        if key_of(path) not in running:
            path.unlink(missing_ok=True)
    return sorted(running)


def forget_attempts(folder: Path) -> None:
    """Of a driver that ends: what it stopped is no death. Whoever still runs a point writes its file again."""
    for path in unfinished(folder):
        path.unlink(missing_ok=True)


def locks(folder: Path) -> list[Path]:
    return sorted((Path(folder) / "points").glob(".*.lock"))
