"""Trainings and merges that are killed with −9 at random moments, or at any write, and started again in other processes."""

import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

import taujp_core.training.state as training_state
from taujp_core.models import load_clip
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune
from taujp_core.training.run_store import Run, snapshot_file

SNAPSHOTS = (3, 7)
CASES = {
    "standard": {},
    "linear": {"accumulation": 2},
    "taujp-strict": {"penalty_start": 3},
    "taujp-efficient": {"penalty_reservoir": 20, "least_crop": 0.9},
}


@dataclass
class Report:
    """kills; resumptions: those after which a saved state was found; different: cases that ended in something else."""

    kills: int = 0
    resumptions: int = 0
    trainings: int = 0
    different: list[str] = field(default_factory=list)


def trained(method: str, started: bool, steps: int, store: Path, begun: Path | None = None) -> Run:
    """The run of a case. `begun` is a file that is made when the training begins; a state is then saved as often as
    saving allows."""
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own is a semaphore between processes, which a kill would leave behind
    clip = load_clip("mini", device="cpu")
    if begun:
        training_state.SAVE_SECONDS, training_state.SAVE_SHARE = 0.0, 1.0
        begun.touch()
    changes = {"steps": steps, "batch_size": 8, **CASES[method]}
    if method.startswith("taujp"):
        changes["penalty_batch_size"] = 4
    start = None
    if started:
        generator = torch.Generator().manual_seed(0)
        tau = {name: 0.001 * torch.randn(value.shape, generator=generator) for name, value in clip.theta0.items()}
        start = TaskVector(tau, clip.fingerprint, "uci", "standard")
        changes["start"] = start.digest()
    config = run_config("mini", "uci", method, tasks=["uci", "mnist"], **changes)
    return finetune(config, store, clip, SNAPSHOTS, start)


def outcome(run: Run) -> dict[str, object]:
    """What must not depend on kills: digests of the vector and of the snapshots, losses and accuracies."""
    clip = load_clip("mini", device="cpu")
    snapshots = [TaskVector.load(snapshot_file(run.folder, step), clip).digest() for step in SNAPSHOTS]
    record = run.record
    metrics = {name: value for name, value in record["metrics"].items() if name != "tau_norm"}
    files = sorted(path.name for path in run.folder.iterdir() if path.name != ".lock")
    return {
        "vector": run.vector.digest(), "snapshots": snapshots, "history": record["history"], "curve": record["curve"],
        "metrics": metrics, "files": files,
    }  # fmt: skip


def kill_trainings(kills: int, folder: Path, seed: int, steps: int = 30) -> Report:
    """Cases in turn, each killed until it is through, until so many kills have been made."""
    moments, report = random.Random(seed), Report()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["taujp_core.training.finetune"])  # torch is imported once
    cases = [(method, started) for started in (False, True) for method in CASES]
    expected: dict[tuple, tuple[dict, float]] = {}
    while report.kills < kills:
        case = cases[report.trainings % len(cases)]
        if case not in expected:
            run = trained(*case, steps, folder / "whole")
            expected[case] = outcome(run), run.record["seconds"]
        whole, seconds = expected[case]
        store = folder / f"killed-{report.trainings}"
        while True:
            begun = folder / f"begun-{report.trainings}-{report.kills}"
            process = context.Process(target=trained, args=(*case, steps, store, begun))
            process.start()
            if report.kills < kills:
                while not begun.exists() and process.exitcode is None:
                    time.sleep(0.005)
                process.join(moments.uniform(0, 0.7 * seconds))
                process.kill()
                report.kills += process.exitcode is None
            process.join()
            if process.exitcode != -signal.SIGKILL:
                break
        if process.exitcode != 0:
            report.different.append(f"{case}: ended with exit code {process.exitcode}")
        else:
            run = trained(*case, steps, store)  # loads what is finished
            report.resumptions += len(run.record["resumed_at"])
            found = outcome(run)
            parts = [name for name in whole if found[name] != whole[name]]
            if parts:
                report.different.append(
                    f"{case}, resumed at {run.record['resumed_at']}: other {', '.join(parts)}; files {found['files']}"
                )
        report.trainings += 1
    return report


CHANGES = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "os.link", "os.symlink")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Killed(BaseException):
    """Like a kill, it runs no `except Exception`."""


@dataclass
class Death:
    """Before the `moment`-th change of something in a folder; nothing changes after it, whatever a `finally` tries."""

    folder: str = ""
    moment: int = -1
    changes: int = 0

    def watch(self, event: str, arguments: tuple) -> None:
        if not self.folder or (event != "open" and event not in CHANGES):
            return
        reads = event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING)
        if not reads and self.folder in str(arguments[0]):
            if self.changes >= self.moment:
                raise Killed
            self.changes += 1


DEATH = Death()  # an audit hook stays for good, so there is one


def dies_at(moment: int, folder: Path, work: Callable[[], object]) -> bool:
    """Do the work, which dies just before it changes something in the folder for the `moment`-th time.

    Whether it died: a work that changes less is done.
    """
    if not DEATH.folder and DEATH.moment < 0:
        sys.addaudithook(DEATH.watch)
    DEATH.folder, DEATH.moment, DEATH.changes = str(folder), moment, 0
    try:
        work()
    except Killed:
        return True
    finally:
        DEATH.folder = ""
    return False
