"""Studies whose drivers run in processes of their own, where they can be killed, and kernels that can be, too."""

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import psutil
import yaml
from quick_kernels import __file__ as LAUNCHER
from quick_kernels import serve, write_kernel

CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = [
    "analysis.studies.command", "analysis.studies.cluster", "analysis.notebook_parameters", "analysis.figures", "analysis.notebook",
    "analysis.studies.worker", "ipykernel.kernelapp",
]  # fmt: skip


@dataclass
class Place:
    """A folder with a study, and what its processes see."""

    folder: Path
    environment: dict[str, str]
    kernels: int  # id of the process that forks them
    workers: int  # of another, that forks workers where QUICK_WORKERS names its socket
    studies: list[multiprocessing.Process] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def go(self) -> Path:
        """A file that notebooks may wait for."""
        return Path(self.environment["GO"])

    def study(self, name: str, **content) -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"answers": "Does it get done?", **content}))
        return path

    def notebook(self, name: str, *cells: str) -> str:
        """A notebook beside the studies; its first cell holds the parameters."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.cells[0].metadata["tags"] = ["parameters"]
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.folder / f"{name}.ipynb")
        return f"{name}.ipynb"

    def driver(self, study: Path, *arguments: str) -> multiprocessing.Process:
        """The study's command, begun."""
        process = CONTEXT.Process(
            target=drive, args=([str(study), *arguments], self.environment, str(self.folder / "said.txt"))
        )
        process.start()
        self.studies.append(process)
        return process

    def said(self) -> str:
        return (self.folder / "said.txt").read_text()

    def worker_processes(self) -> list[psutil.Process]:
        return psutil.Process(self.workers).children()

    def kernel_processes(self) -> list[psutil.Process]:
        return psutil.Process(self.kernels).children()


def drive(arguments: list[str], environment: dict[str, str], said: str) -> None:
    """The command as a shell starts it, in a session of its own."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a test command in the background has ignored
    os.environ.update(environment)
    with Path(said).open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    import dask

    from analysis.studies import cluster
    from analysis.studies.command import main

    dask.config.refresh()  # it was imported by the process that forks, which does not see this environment
    if socket := environment.get("QUICK_WORKERS"):
        line = cluster.worker_line  # which begins with: python -m analysis.studies.worker
        launcher = [sys.executable, "-I", "-S", LAUNCHER, "null", socket, "worker"]
        cluster.worker_line = lambda *of: [*launcher, *line(*of)[3:]]
    sys.exit(main(arguments))


@contextmanager
def place_in(folder: Path, quick_workers: bool = False) -> Iterator[Place]:
    """A place, with processes that fork its kernels and workers; all that was begun there ends with it."""
    CONTEXT.set_forkserver_preload(PRELOADED)
    folder.mkdir(parents=True, exist_ok=True)
    sockets = Path(tempfile.mkdtemp())  # their names must be short
    paths = [str(sockets / name) for name in ("kernels", "workers")]
    kernels, workers = servers = [CONTEXT.Process(target=serve, args=(path,)) for path in paths]
    for server in servers:
        server.start()
    write_kernel(folder / "jupyter", paths[0])
    environment = {
        "TAUJP_HOME": str(folder / "home"), "JUPYTER_PATH": str(folder / "jupyter"), "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "", "IPYTHONDIR": str(folder / "ipython"), "PLOTLY_RENDERER": "plotly_mimetype",
        "GO": str(folder / "go"),
    }  # fmt: skip
    environment |= {"QUICK_WORKERS": paths[1]} if quick_workers else {}
    place = Place(folder, environment, kernels.pid, workers.pid)
    try:
        until(lambda: all(Path(path).exists() for path in paths))
        yield place
    finally:
        for process in (*place.studies, *servers):
            with suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()
            process.join()
        shutil.rmtree(sockets)


def until(happened: Callable[[], object], seconds: float = 120) -> object:
    """What `happened` returns once it is true; TimeoutError long after it should have been."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := happened():
            return found
        time.sleep(0.01)
    raise TimeoutError("it did not happen")
