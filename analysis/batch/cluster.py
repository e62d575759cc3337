"""How are points run by Dask workers, of this machine or of a cluster, if any of them may die at any moment?

The scheduler lives in this process and is a queue that may be lost: what is done is known by files alone. Points go to
workers as a few strings, outcomes come back as a few more. A worker that dies, or is not heard of for Dask's
`worker-ttl`, gives its point back to the queue, however often: that is a worker preempted, not a point that kills.

Whoever reaches a scheduler's port can execute code. It listens on 127.0.0.1, or elsewhere with TLS only.
"""

import contextlib
import importlib.util
import os
import queue
import subprocess
import time
import traceback
import uuid
from pathlib import Path

import dask
import psutil
from distributed import Client, Future, LocalCluster, Security

from taujp_core.files import write_json

from .points import Outcome, Point, run_point
from .workers import Certificates, worker_line

LOOPBACK = "127.0.0.1"
SCHEDULER = "scheduler.json"
EVER = 10**9  # workers that a point may lose
STARTS = 5  # attempts to start a worker that is never heard of


class Cluster:
    """A scheduler, workers of this machine for each of `environments`, and whoever joins by the scheduler's file."""

    ahead = 256  # points that Dask knows at a time: more than workers, and few enough to stay small

    def __init__(self, folder: Path, environments: list[dict[str, str]], listen: str, scheduler_file: Path | None):
        self.folder, self.file = folder, (scheduler_file or folder / SCHEDULER).absolute()
        security, self.tls = (None, None) if is_loopback(listen) else secured(folder)
        # A worker has the point that it runs and no other: none waits for hours behind it while other workers are idle.
        dask.config.set(
            {"distributed.scheduler.allowed-failures": EVER, "distributed.scheduler.worker-saturation": 1.0}
        )
        self.cluster = LocalCluster(
            n_workers=0, host=listen, security=security, dashboard_address=f"{LOOPBACK}:0", silence_logs=50
        )
        self.client = Client(self.cluster, set_as_default=False)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.file, {"address": self.cluster.scheduler_address})
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
        return worker_line(self.file, self.tls, None if self.tls else LOOPBACK)

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
        self.file.unlink(missing_ok=True)


class Local:
    """A worker of this machine, which is started again when it has died or was given up by the scheduler."""

    def __init__(self, cluster: Cluster, number: int, environment: dict[str, str]):
        self.cluster, self.number, self.environment = cluster, number, environment
        self.starts = self.unheard = 0
        self.begin()

    def begin(self) -> None:
        self.starts += 1
        self.name, self.known = f"here-{self.number}-{self.starts}", False
        with (self.cluster.folder / f"worker-{self.number}.log").open("a") as log:
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
            raise RuntimeError(f"no worker starts: see {self.cluster.folder / f'worker-{self.number}.log'}")
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
    return address == "localhost" or address.startswith("127.") or address == "::1"


def secured(folder: Path) -> tuple[Security, Certificates]:
    """TLS both ways, and its files for workers: the user's, which Dask's configuration names, or this study's own, which
    are made once. Raises RuntimeError where the package that makes them is missing."""
    if theirs := dask.config.get("distributed.comm.tls.ca-file", None):
        security = Security(require_encryption=True)
        return security, (Path(theirs), Path(security.tls_worker_cert), Path(security.tls_worker_key))
    ours = tuple(folder / "tls" / name for name in ("ca.pem", "cert.pem", "key.pem"))
    if not all(file.exists() for file in ours):
        if not importlib.util.find_spec("cryptography"):
            raise RuntimeError("certificates are made by the package cryptography: pip install cryptography")
        made = Security.temporary()
        (folder / "tls").mkdir(mode=0o700, parents=True, exist_ok=True)
        for file, text in zip(ours, (made.tls_ca_file, made.tls_scheduler_cert, made.tls_scheduler_key), strict=True):
            file.touch(mode=0o600)
            file.write_text(text)
    ca, cert, key = map(str, ours)
    roles = {
        f"tls_{role}_{part}": file
        for role in ("client", "scheduler", "worker")
        for part, file in (("cert", cert), ("key", key))
    }
    return Security(require_encryption=True, tls_ca_file=ca, **roles), ours
