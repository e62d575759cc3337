"""Does a study get done, each training once, however often its processes are killed? Kills with −9 at random moments.

    python tests/tools/kill_batches.py --kills 200 --seed 0 --json results/batch-kills.json

A grid of 20 short trainings by two workers, whose driver, workers and kernels (in a step, and in the middle of writing
a file) are killed until so many kills are made, with a new grid whenever one is through. Each grid must end with the
results of one that nobody disturbed. CI makes 15 kills over four trainings.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from drivers import Place, place_in

from taujp_core.files import UNFINISHED, read_json, write_json
from taujp_core.pretrained import load_clip
from taujp_core.progress import say
from taujp_core.provenance import provenance
from taujp_core.task_vectors import TaskVector

TARGETS = ("driver", "worker", "kernel in a step", "kernel in a write")
TASKS = ("uci", "signs", "street", "terrain", "textures")
METHODS = ["standard", "linear", "taujp-strict", "taujp-efficient"]
# A state is saved after each step, and a file takes long to write, so that steps and writes can be met.
STARTUP = """
import os, time
import taujp_core.training.state as training_state
training_state.SAVE_SECONDS, training_state.SAVE_SHARE = 0.0, 1.0
fsync = os.fsync
os.fsync = lambda file: (time.sleep(0.05), fsync(file))
"""


@dataclass
class Report:
    """kills: by target; grids: studies that came to their end; compared: runs; wrong: sentences."""

    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TARGETS, 0))
    grids: int = 0
    compared: int = 0
    resumptions: int = 0
    wrong: list[str] = field(default_factory=list)


def kill_batches(kills: int, folder: Path, seed: int, report: Report, tasks: int = len(TASKS)) -> None:
    """Fills the report, so that of a script that is stopped what it found so far is there."""
    chance = random.Random(seed)
    with place_in(folder, quick_workers=True) as place:
        startup = Path(place.environment["IPYTHONDIR"]) / "profile_default" / "startup" / "kills.py"
        startup.parent.mkdir(parents=True)
        startup.write_text(STARTUP)
        recipe = {"steps": 6, "batch_size": 8, "penalty_batch_size": 4}
        grid = {"suites": ["mini"], "methods": METHODS, "tasks": list(TASKS[:tasks]), "recipe": recipe}
        study = place.study("grid", **grid)
        began = time.monotonic()
        whole = place.driver(study, "--workers", "2")
        whole.join()
        seconds = min(10.0, time.monotonic() - began)  # within which a kill comes
        expected = {run.name: outcome(run) for run in runs_of(place)}
        if whole.exitcode or len(expected) != len(METHODS) * tasks:
            raise RuntimeError(f"the undisturbed study did not get done: {place.said()}")
        while sum(report.kills.values()) < kills:
            shutil.rmtree(place.home)
            disturb(place, study, kills, seconds, chance, report)
            report.grids += 1
            found = {run.name: outcome(run) for run in runs_of(place)}
            for name, of in expected.items():
                parts = [part for part in of if found.get(name, {}).get(part) != of[part]]
                report.wrong += [f"{name}: other {', '.join(parts)}"] if parts else []
            report.compared += len(found)
            report.resumptions += sum(len(read_json(run / "record.json")["resumed_at"]) for run in runs_of(place))


def disturb(place: Place, study: Path, kills: int, seconds: float, chance: random.Random, report: Report) -> None:
    """One grid to its end. What is finished must stay as it is: no file vanishes, is written again, or half written."""
    seen: dict[Path, int] = {}
    while True:
        driver = place.driver(study, "--workers", "2")
        while driver.exitcode is None and sum(report.kills.values()) < kills:
            target = chance.choice(TARGETS)
            if killed := kill(target, place, driver, seconds, chance):
                report.kills[killed] += 1
                say(
                    f"{sum(report.kills.values())} of {kills} kills, {len(seen)} files finished in grid {report.grids + 1}"
                )
            report.wrong += look(place, seen)
        driver.join()
        report.wrong += look(place, seen)
        if driver.exitcode == 0:
            return
        if driver.exitcode not in (-9, 1):  # killed, or with a point that was killed three times
            report.wrong.append(f"the driver ended with {driver.exitcode}: {place.said()[-500:]}")
            return


def kill(target: str, place: Place, driver, seconds: float, chance: random.Random) -> str:
    """The target that was killed; empty if there was none to be met within some seconds."""
    if target == "driver":
        driver.join(chance.uniform(0, seconds))
        driver.kill()
        driver.join()
        return target if driver.exitcode == -9 else ""
    end = time.monotonic() + chance.uniform(0, 0.3 * seconds)
    while time.monotonic() < end and driver.exitcode is None:
        time.sleep(0.02)
    victims, end = [], time.monotonic() + 10
    while not victims and driver.exitcode is None and time.monotonic() < end:
        time.sleep(0.002)
        victims = place.worker_processes() if target == "worker" else kernels(place, target == "kernel in a write")
    if not victims:
        return ""
    victim = chance.choice(victims)
    if target == "worker":
        return target if slain(victim) else ""
    process, run = victim
    if not slain(process):
        return ""
    return "kernel in a write" if list(run.glob(f".*{UNFINISHED}")) else "kernel in a step"


def slain(process: psutil.Process) -> bool:
    try:
        process.kill()
        process.wait(10)
    except psutil.NoSuchProcess:
        return False
    except psutil.TimeoutExpired:
        return True
    return True


def kernels(place: Place, writing: bool) -> list[tuple[psutil.Process, Path]]:
    """Those with a file half written, or past their first step without one, and the runs whose locks they hold."""
    found = []
    runs = [run for run in runs_of(place) if (run / "state.safetensors").exists() or writing]
    wanted = [run for run in runs if writing == bool(list(run.glob(f".*{UNFINISHED}")))]
    for process in place.kernel_processes() if wanted else ():
        try:
            files = {file.path for file in process.open_files()}
        except psutil.Error:
            continue
        found += [(process, run) for run in wanted if str(run / ".lock") in files]
    return found


def runs_of(place: Place) -> list[Path]:
    return sorted((place.home / "runs" / "mini").glob("*/*-*"))


def look(place: Place, seen: dict[Path, int]) -> list[str]:
    """Finished files, that each reader may read at any moment."""
    wrong = [f"{path} is gone" for path in seen if not path.exists()]
    records, notebooks = place.home.glob("runs/mini/*/*/record.json"), place.home.glob("runs/grid/points/*.ipynb")
    for path in [*records, *(path for path in notebooks if path.name[0] != "." and ".failed" not in path.name)]:
        inode = path.stat().st_ino
        if path not in seen:
            try:
                json.loads(path.read_text())
            except ValueError:
                wrong.append(f"{path} is half written")
        elif seen[path] != inode:
            wrong.append(f"{path} was written twice")
        seen[path] = inode
    return wrong


def outcome(run: Path) -> dict:
    """What must not depend on kills."""
    record = read_json(run / "record.json")
    parts = {name: record[name] for name in ("config", "theta0", "metrics", "history", "curve")}
    files = sorted(path.name for path in run.iterdir() if path.name != ".lock")
    return {**parts, "vector": TaskVector.load(run / "vector.safetensors", load_clip("mini")).digest(), "files": files}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    report, began = Report(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
        kill_batches(chosen.kills, Path(folder), chosen.seed, report)
    seconds = round(time.perf_counter() - began)
    if chosen.json:
        write_json(chosen.json, {**asdict(report), "seconds": seconds, "seed": chosen.seed, **provenance()})
    print(
        f"{sum(report.kills.values())} kills ({', '.join(f'{name} {count}' for name, count in report.kills.items())}) of "
        f"{report.grids} grids of {len(METHODS) * len(TASKS)} trainings in {seconds} s; {report.resumptions} times a saved "
        f"state was taken up; {report.compared} runs compared, {len(report.wrong)} things wrong"
    )
    print("\n".join(report.wrong))
    sys.exit(bool(report.wrong))
