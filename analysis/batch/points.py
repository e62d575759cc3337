"""How is one point of a study run, so that its notebook is there if, and only if, it is done?

This is what a worker imports: it needs no torch, which only the notebooks' kernels load.

FOLDER/points/
    KEY.ipynb           the executed notebook of a finished point
    KEY.failed.ipynb    of one that failed, as far as it came
    KEY.failed.txt      why
    .KEY.*.part.ipynb   being run, or left by a kill
"""

import contextlib
import os
import time
import traceback
import uuid
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill

UNFINISHED = ".part.ipynb"
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
    the notebook as far as it came, for the driver to keep."""

    key: str
    seconds: float
    error: str = ""
    traceback: str = ""
    left: str = ""


def finished_file(folder: Path, key: str) -> Path:
    return Path(folder) / "points" / f"{key}.ipynb"


def failed_files(folder: Path, key: str) -> tuple[Path, Path]:
    """The notebook and the traceback of a failed point."""
    points = Path(folder) / "points"
    return points / f"{key}.failed.ipynb", points / f"{key}.failed.txt"


def run_point(folder: str, point: Point) -> Outcome:
    """Run the notebook under a temporary name, and rename it if it came to its end.

    Whatever a notebook, its kernel or the disk does is told in the outcome, not raised: a failing point is an answer.
    """
    began = time.perf_counter()
    target = finished_file(folder, point.key)
    temporary = target.with_name(f".{point.key}.{uuid.uuid4().hex[:8]}{UNFINISHED}")
    try:
        if not target.exists():
            notebook = papermill.execute_notebook(
                point.notebook, temporary, point.parameters, progress_bar=False, extra_arguments=QUIET
            )
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
        return Outcome(point.key, seconds, sentence(error), traceback.format_exc(), temporary.name)
    return Outcome(point.key, time.perf_counter() - began)


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


def remove_unfinished(folder: Path) -> None:
    """What killed attempts left; whoever still runs one of them only fails to rename it."""
    for path in (Path(folder) / "points").glob(f".*{UNFINISHED}"):
        path.unlink(missing_ok=True)
