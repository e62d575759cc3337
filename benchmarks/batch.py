"""What does a batch cost beyond its notebooks? Overhead a point, many points, one worker and two, one to 64.

    python benchmarks/batch.py --json FILE       about 15 minutes on two cores; --quick: 2, without trainings

- overhead: a tiny notebook as a point, and a bare kernel that starts and ends, in turn in one process. What is left of
  a point's seconds without its cells' and the kernel's start is the overhead: papermill, files, renaming.
- nothing: points that only leave their file, through the whole way: driver, scheduler, two workers, page.
- trainings: 16 smoke trainings by one worker and by two, in turn, each in a store of its own.
- sleeping: 8 points a worker that sleep two seconds each, by 1 to 64 workers (threads of this process, so that two cores
  do for 64); efficiency is the time without any overhead over the measured one.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dask
import nbformat
import psutil
from distributed import Worker
from jupyter_client.manager import start_new_kernel

import analysis.studies.cluster
from analysis.studies.cluster import LOOPBACK, Cluster
from analysis.studies.command import work
from analysis.studies.driver import finished
from analysis.studies.point import Outcome, Point, finished_file, run_point
from analysis.studies.status import Page
from analysis.studies.study import Study
from taujp_core.files import write_json
from taujp_core.provenance import provenance

SLEEP = 2.0
# Every worker watches its process twice a second, and 64 of them are one process here.
ALONE = {"distributed.admin.system-monitor.interval": "60 s", "distributed.worker.profile.enabled": False}
SMOKE = """answers: How long do 16 smoke trainings take?
suites: [mini]
methods: [standard, linear]
tasks: [uci, signs]
seeds: [0, 1, 2, 3]
recipe: {steps: 20, batch_size: 16}
"""


def nothing(folder: str, point: Point) -> Outcome:
    finished_file(Path(folder), point.key).touch()
    return Outcome(point.key, 0.0)


def sleeping(folder: str, point: Point) -> Outcome:
    time.sleep(SLEEP)
    return Outcome(point.key, SLEEP)


def overhead(folder: Path, rounds: int) -> dict:
    cells = [nbformat.v4.new_code_cell("number = 1"), nbformat.v4.new_code_cell("print(number)")]
    kernelspec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernelspec), folder / "tiny.ipynb")
    (folder / "points").mkdir()
    kernels, rest = [], []
    for number in range(rounds):
        began = time.perf_counter()
        manager, client = start_new_kernel()
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        kernels.append(time.perf_counter() - began)
        point = Point(f"tiny-{number}", str(folder / "tiny.ipynb"), {})
        outcome = run_point(str(folder), point)
        assert not outcome.error, outcome.error
        executed = nbformat.read(finished_file(folder, point.key), 4)
        rest.append(outcome.seconds - sum(cell.metadata.papermill.duration for cell in executed.cells))
    kernel = statistics.median(kernels)
    return {"kernel": kernel, "overhead": statistics.median(rest) - kernel, "rounds": rounds}


def many(folder: Path, count: int, function, workers: int) -> dict:
    """Points of one kind by Dask: seconds from the first to the last, without the start of the workers, and memory; and the
    processor time of this process, which other work on the machine hardly touches."""
    (folder / "points").mkdir(parents=True)
    analysis.studies.cluster.run_point = function
    points = [Point(f"point-{number}", "", {"number": number}) for number in range(count)]
    processes = function is nothing
    cluster = Cluster(folder, [{}] * workers if processes else [], LOOPBACK, None)
    try:
        if not processes:
            cluster.client.sync(threads, cluster.cluster.scheduler_address, workers)
        while cluster.slots < workers:
            time.sleep(0.05)
        before, began, cpu = psutil.Process().memory_info().rss, time.perf_counter(), time.process_time()
        tally = finished(folder, points)
        work(folder, tally, cluster, Page(folder, Study("benchmark", "How long?"), []))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        grown = psutil.Process().memory_info().rss - before
    finally:
        cluster.close()
    assert tally.complete()
    return {"points": count, "workers": workers, "seconds": seconds, "cpu_seconds": cpu, "grown_mib": grown / 2**20}


async def threads(address: str, workers: int) -> None:
    await asyncio.gather(*(Worker(address, nthreads=1, host=LOOPBACK, memory_limit=0) for _ in range(workers)))


def trainings(folder: Path, workers: int) -> dict:
    (folder / "smoke.yaml").write_text(SMOKE)
    environment = {**os.environ, "TAUJP_HOME": str(folder / f"home-{time.monotonic_ns()}"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "analysis.studies", str(folder / "smoke.yaml"), "--workers", str(workers)]
    began = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return {"trainings": 16, "workers": workers, "seconds": time.perf_counter() - began}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    found: dict = {"load": psutil.getloadavg()[0], **provenance()}

    def tell(name: str, measured: dict) -> None:
        found.setdefault(name, []).append(measured)
        print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in measured.items()), flush=True)
        if chosen.json:
            write_json(chosen.json, found)

    dask.config.set(ALONE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tell("overhead", overhead(folder, 3 if chosen.quick else 10))
        for count in (500, 5000):
            tell("nothing", many(folder / f"nothing-{count}", count, nothing, 2))
        for workers in (1, 4, 16, 64):
            measured = many(folder / f"sleeping-{workers}", 8 * workers, sleeping, workers)
            tell("sleeping", {**measured, "efficiency": 8 * SLEEP / measured["seconds"]})
        for workers in () if chosen.quick else (1, 2, 2, 1):
            tell("trainings", trainings(folder, workers))


if __name__ == "__main__":
    main()
