"""How is a study run?

python -m analysis.studies STUDY.yaml: do what is not done of a study; the same command goes on wherever it was stopped.
"""

import argparse
import contextlib
import importlib.util
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from taujp_core.files import UNFINISHED, remove_temporaries, write_atomically, write_text

from ..paths import check_writable, in_project
from .damage import clear_lock, clear_places, set_damaged_aside
from .deaths import DEATHS
from .driver import Busy, Engine, Tally, count_earlier_deaths, drive, finished, only_driver
from .in_process import Here
from .plan import check_parameters, points_of, take_over, vanished, write_plan
from .point import Point, finished_file, forget_attempts, remove_unfinished
from .scheduler_file import SCHEDULER, only_study, sweep_scheduler_files
from .status import Line, Page
from .stopped import GOES_ON, STOPPED
from .study import Study, read_study
from .workers import local_workers, slurm_script

LOOPBACK = "127.0.0.1"
PAGE_SECONDS = 1.0  # the page is written after each point, but no more often than this


def main(arguments: list[str] | None = None, program: str = "python -m analysis.studies") -> int:
    """Exit code: 0 if all points are done, 1 if some failed, 2 for what is not accepted, 130 if it was stopped."""
    chosen = options(program).parse_args(arguments)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a preempted driver stops as by Ctrl-C
    try:
        study = read_study(chosen.study)
        points = points_of(study)
        folder = in_project("runs") / study.name
        if chosen.dry_run:
            print(dry_run(study, folder, points))
            return 0
        check_writable(str(folder))
        for sentence in clear_lock(folder):
            print(sentence)
        with only_driver(folder):
            return run(study, folder, points, chosen)
    except (Busy, OSError, RuntimeError, TypeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(GOES_ON, file=sys.stderr)
        return STOPPED


def options(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[-1])
    parser.add_argument("study", type=Path, metavar="STUDY.yaml")
    parser.add_argument("--workers", type=int, metavar="N", help="of this machine; default: one a GPU, else by cores")
    parser.add_argument(
        "--scheduler-file", type=Path, metavar="F", help="where workers started by hand find this process"
    )
    parser.add_argument(
        "--listen", default=LOOPBACK, metavar="ADDRESS", help=f"default: {LOOPBACK}; others with TLS only"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    return parser


def dry_run(study: Study, folder: Path, points: list[Point]) -> str:
    tally = finished(folder, points)
    lines = [f"{'done' if point.key in tally.done else 'to do'}  {point.key}" for point in points]
    lines += [f"no longer in the study: {key}" for key in vanished(folder, points)]
    return "\n".join([f"{study.name}: {study.answers}", *lines, f"{len(tally.done)} of {len(points)} points are done."])


def run(study: Study, folder: Path, points: list[Point], chosen: argparse.Namespace) -> int:
    """With the study's lock held."""
    notes = clear_places(folder)
    (folder / "points").mkdir(exist_ok=True)
    notes += set_damaged_aside(folder, points)
    taken = take_over(folder, points)
    notes += [f"{taken} trainings were done by another study already"] if taken else []
    tally = finished(folder, points)
    count_earlier_deaths(folder, tally)
    notes += [f"{said_deaths(key, deaths)}, in earlier calls" for key, deaths in tally.deaths.items()]
    running = sweep(folder, study)
    notes += [f"{key} is still being run by a worker of an earlier call: it is waited for" for key in running]
    notes += [f"no longer in the study, and left alone: {key}" for key in vanished(folder, points)]
    write_plan(folder, study, points)
    for note in notes:
        print(note)
    page = Page(folder, study, notes)
    try:
        # Workers share this machine's cores; a last point has them all. Workers started by hand have their own.
        for leave_last in (False,) if chosen.scheduler_file else (True, False):
            if tally.left():
                with engine(study, folder, tally, chosen) as found:
                    work(folder, tally, found, page, leave_last)
    finally:
        tally.open.clear()
        unwritten = write_page(page, tally)
        forget_attempts(folder)
    uncopied = copy_results(study, folder, tally)
    print(last_line(folder, tally, unwritten, uncopied))
    return 0 if tally.complete() and not uncopied else 1


def sweep(folder: Path, study: Study) -> list[str]:
    """Remove what earlier calls left that were killed, with the study's lock held; keys of points that still run."""
    for place in (folder, folder / "points"):
        remove_temporaries(place)
    for evaluation in study.notebooks if study.results else ():
        for part in study.results.glob(f".{evaluation.path.name}.????????{UNFINISHED}"):
            shutil.rmtree(part, ignore_errors=True)
    sweep_scheduler_files(folder)
    return remove_unfinished(folder)


def said_deaths(key: str, deaths: int) -> str:
    return f"workers that died in {key}: {deaths} of {DEATHS}"


@contextlib.contextmanager
def engine(study: Study, folder: Path, tally: Tally, chosen: argparse.Namespace) -> Iterator[Engine]:
    """Dask workers, or, where one is enough or the engine is not installed, this process."""
    keys = tally.left()
    left = [point for key, point in tally.points.items() if key in keys]
    elsewhere = chosen.scheduler_file is not None
    count = 0 if elsewhere and chosen.workers is None else chosen.workers
    if count is not None and count < (0 if elsewhere else 1):
        raise ValueError(f"--workers must be at least 1, not {count}")
    environments = local_workers(study, count)
    installed = importlib.util.find_spec("distributed") is not None
    if not elsewhere:
        check_parameters(left)
        environments = environments[: len(left)]
        if len(environments) == 1 or (count is None and not installed):
            here = Here(folder)
            try:
                yield here
            finally:
                here.close()
            return
    if not installed:
        raise RuntimeError("several workers need the package distributed: pip install 'taujp[cluster]'")
    from .cluster import Cluster

    with only_study((chosen.scheduler_file or folder / SCHEDULER).absolute(), study.name):
        cluster = Cluster(folder, environments, chosen.listen, chosen.scheduler_file)
        try:
            if cluster.dashboard:
                print(f"Dask's dashboard: {cluster.dashboard}")
            if elsewhere:
                script = folder / "worker.sh"
                write_text(script, slurm_script(study.name, cluster.line, Path.cwd()))
                print(
                    f"Workers start by `sbatch {script}`, or anywhere by its last line: {shlex.join(cluster.line)}",
                    flush=True,
                )
            yield cluster
        finally:
            cluster.close()


def work(folder: Path, tally: Tally, found: Engine, page: Page, leave_last: bool) -> None:
    line, written, known = Line(), -PAGE_SECONDS, dict(tally.deaths)

    def watch(tally: Tally, ended: str | None) -> None:
        nonlocal written
        if ended and tally.deaths.get(ended, 0) != known.get(ended, 0):
            known[ended] = tally.deaths.get(ended, 0)
            if known[ended]:
                line.say(f"{said_deaths(ended, known[ended])}; it is begun again after all others")
        line.show(tally)
        if time.monotonic() - written >= PAGE_SECONDS:
            write_page(page, tally)
            written = time.monotonic()

    try:
        drive(folder, tally, found, watch, leave_last)
    finally:
        line.close()


def write_page(page: Page, tally: Tally) -> str:
    """A full disk must not stop the points that still go on; returns why it could not be written."""
    try:
        page.write(tally)
    except OSError as error:
        return f"{error}"
    return ""


def copy_results(study: Study, folder: Path, tally: Tally) -> list[str]:
    """Finished notebooks to where the study wants them, under their own names; a sentence for each that cannot be."""
    said = []
    for point in tally.points.values() if study.results else ():
        if not point.run and point.key in tally.done:
            target = study.results / Path(point.notebook).name
            try:
                write_atomically(
                    target, lambda temporary, key=point.key: shutil.copyfile(finished_file(folder, key), temporary)
                )
            except OSError as error:
                said.append(f"{error}")
    return said


def last_line(folder: Path, tally: Tally, unwritten: str, uncopied: list[str]) -> str:
    parts = [f"{len(tally.done)} of {len(tally.points)} points of {folder.name} are done"]
    parts += [f"{len(tally.failed)} failed"] if tally.failed else []
    parts += [f"{len(tally.blocked)} were not run, for what they read failed"] if tally.blocked else []
    parts += [f"the report could not be written ({unwritten})" if unwritten else f"report: {folder / 'report.html'}"]
    failures = [f"{key} failed: {outcome.error}" for key, outcome in tally.failed.items()]
    return "\n".join([*failures, *uncopied, "; ".join(parts)])


if __name__ == "__main__":
    sys.exit(main())
