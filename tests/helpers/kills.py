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
import trainings
from tqdm import tqdm

import taujp_core.training.state as training_state
from taujp_core.pretrained import load_clip

VECTORS = {
    "standard": {},
    "linear": {"accumulation": 2},
    "taujp-strict": {"penalty_start": 3},
    "taujp-efficient": {"penalty_reservoir": 20, "least_crop": 0.9},
}
# All four kinds first: few kills reach no more.
CASES = [
    ("standard", False), ("jointly", False), ("pre-training", False), ("network by irm-game-variable", False),
    *((method, started) for started in (False, True) for method in VECTORS if (method, started) != ("standard", False)),
    ("network by pair", False),
]  # fmt: skip


@dataclass
class Report:
    """kills; resumptions: times that a saved state was found; different: cases that ended in something else."""

    kills: int = 0
    resumptions: int = 0
    trainings: int = 0
    different: list[str] = field(default_factory=list)


def trained(name: str, started: bool, steps: int, store: Path, begun: Path | None = None) -> dict:
    """The outcome of a case. `begun` is a file that is made when the training begins; a state is then saved as often as
    saving allows."""
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own is a semaphore between processes, which a kill would leave behind
    store.mkdir(parents=True, exist_ok=True)
    clip = load_clip("mini", device="cpu")
    if begun:
        training_state.SAVE_SECONDS, training_state.SAVE_SHARE = 0.0, 1.0
        begun.touch()
    if name in VECTORS:
        return trainings.vector(name, started, steps, store, clip, **VECTORS[name])
    return trainings.OTHERS[name](steps, store, clip)


def kill_trainings(kills: int, folder: Path, seed: int, steps: int = 30) -> Report:
    """Cases in turn, each killed until it is through, until so many kills have been made."""
    moments, report = random.Random(seed), Report()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["taujp_core.training.finetune"])  # torch is imported once
    expected: dict[tuple, tuple[dict, float]] = {}
    while report.kills < kills:
        case = CASES[report.trainings % len(CASES)]
        if case not in expected:
            began = time.perf_counter()
            whole = trained(*case, steps, folder / "whole" / case[0] / str(case[1]))
            expected[case] = whole, time.perf_counter() - began
        whole, seconds = expected[case]
        store, taken_up = folder / f"killed-{report.trainings}", 0
        while True:
            begun = folder / f"begun-{report.trainings}-{report.kills}"
            taken_up += any(store.rglob("state.safetensors"))
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
        report.resumptions += taken_up
        if process.exitcode != 0:
            report.different.append(f"{case}: ended with exit code {process.exitcode}")
        else:
            found = trained(*case, steps, store)  # loads what is finished
            if parts := [name for name in whole if found[name] != whole[name]]:
                report.different.append(
                    f"{case}, taken up {taken_up} times: other {', '.join(parts)}; {found['files']}"
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
