"""How are points run by Dask workers, of this machine or of a cluster, if any of them may die at any moment?

The scheduler lives in this process and is a queue that may be lost: what is done is known by files alone. Points go to
workers as a few strings, outcomes come back as a few more. A worker that dies, or is not heard of for Dask's
`worker-ttl`, gives its point back to the driver, which counts (`deaths`); one that is told to end, to Dask's queue.

Whoever reaches a scheduler's port can execute code. It listens on 127.0.0.1, or elsewhere with TLS only.
"""

import contextlib
import importlib.util
import ipaddress
import os
import queue
import subprocess
import time
import traceback
import uuid
from pathlib import Path

import dask
import psutil
from distributed import Client, Future, LocalCluster
from distributed.scheduler import KilledWorker

from .point import Outcome, Point, run_point
from .scheduler_file import SCHEDULER, remove_scheduler_file, write_scheduler_file
from .tls import secured
from .worker import LOOPBACK, code_version
from .workers import worker_line

STARTS = 5  # attempts to start a worker that is never heard of


class Cluster:
    """A scheduler, workers of this machine for each of `environments`, and whoever joins by the scheduler's file."""

    ahead = 256  # points that Dask knows at a time: more than workers, and few enough to stay small

    def __init__(self, folder: Path, environments: list[dict[str, str]], listen: str, scheduler_file: Path | None):
        self.folder, self.file = folder, (scheduler_file or folder / SCHEDULER).absolute()
        security, tls = (None, None) if is_loopback(listen) else secured(folder)
        # A worker has the point that it runs and no other: none waits for hours behind it while other workers are idle.
        dask.config.set({"distributed.scheduler.allowed-failures": 0, "distributed.scheduler.worker-saturation": 1.0})
        self.cluster = LocalCluster(
            n_workers=0, host=listen, security=security, dashboard_address=f"{LOOPBACK}:0", silence_logs=50
        )
        self.client = Client(self.cluster, set_as_default=False)
        scheduler = self.cluster.scheduler
        said = {
            "address": self.cluster.scheduler_address, "id": scheduler.id, "study": folder.name,
            "version": code_version(), "tls": [str(path.absolute()) for path in tls or ()],
        }  # fmt: skip
        write_scheduler_file(self.file, folder, said)
        self.outcomes: queue.SimpleQueue[tuple[str, Future]] = queue.SimpleQueue()
        self.open: dict[str, Future] = {}
        self.locals = [Local(self, number, environment) for number, environment in enumerate(environments)]
        self.tended = 0.0

    @property
    def slots(self) -> int:
        """Workers that are there now."""
        return len(self.cluster.scheduler.workers)

    @property
    def line(self) -> list[str]:
        """What starts a worker that joins this scheduler."""
        return worker_line(self.file)

    @property
    def dashboard(self) -> str:
        """Its address, where the package that draws it is installed."""
        return self.cluster.dashboard_link if importlib.util.find_spec("bokeh") else ""

    def start(self, point: Point) -> None:
        future = self.client.submit(run_point, str(self.folder), point, key=f"{point.key}-{uuid.uuid4().hex[:8]}")
        self.open[point.key] = future
        future.add_done_callback(lambda future: self.outcomes.put((point.key, future)))

    def next(self, seconds: float) -> Outcome | None:
        """The next outcome; None if there is none within so many seconds. Raises RuntimeError if no worker starts."""
        if time.monotonic() - self.tended > 1:
            for local in self.locals:
                local.tend()
            self.tended = time.monotonic()
        try:
            key, future = self.outcomes.get(timeout=seconds)
        except queue.Empty:
            return None
        del self.open[key]
        try:
            return future.result()
        except KilledWorker:
            return Outcome(key, 0.0, died=True)
        except Exception as error:  # of the worker, for run_point raises none
            return Outcome(key, 0.0, f"{type(error).__name__}: {error}", traceback.format_exc())
        finally:
            future.release()

    def close(self) -> None:
        """Workers of this machine end with their kernels; others are told to."""
        for local in self.locals:
            local.kill()
        with contextlib.suppress(Exception):  # what was already lost need not be closed
            self.client.close(timeout=5)
            self.cluster.close(timeout=5)
        remove_scheduler_file(self.folder)


class Local:
    """A worker of this machine, which is started again when it has died or was given up by the scheduler."""

    def __init__(self, cluster: Cluster, number: int, environment: dict[str, str]):
        self.cluster, self.number, self.environment = cluster, number, environment
        self.starts = self.unheard = 0
        self.log = cluster.folder / f"worker-{number}.log"
        self.begin()

    def begin(self) -> None:
        self.starts += 1
        self.name, self.known = f"here-{self.number}-{self.starts}", False
        with self.log.open("a") as log:
            # A session of its own: Ctrl-C is the driver's.
            self.process = subprocess.Popen(
                [*self.cluster.line, "--name", self.name], env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def tend(self) -> None:
        there = self.name in {worker.name for worker in list(self.cluster.cluster.scheduler.workers.values())}
        if self.process.poll() is None and (there or not self.known):
            self.known = self.known or there
            self.unheard = 0 if there else self.unheard
            return
        self.unheard += not self.known
        if self.unheard >= STARTS:
            said = self.log.read_text(errors="replace").split("\n")
            raise RuntimeError(f"no worker starts: see {self.log}, which ends with: {' '.join(said[-2:]).strip()}")
        self.kill()
        self.begin()

    def kill(self) -> None:
        """With its kernels. It is halted first, so that it starts none meanwhile."""
        with contextlib.suppress(psutil.NoSuchProcess):
            worker = psutil.Process(self.process.pid)
            worker.suspend()
            for child in worker.children(recursive=True):
                child.kill()
        self.process.kill()
        self.process.wait()


def is_loopback(address: str) -> bool:
    """A name that begins like an address is none."""
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
