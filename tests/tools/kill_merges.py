"""Is a merge the same however often it is killed? Kills with −9 at random moments, and compares with one left alone.

    python tests/tools/kill_merges.py --kills 60 --seed 0 --json results/merge-kills.json

Open_clip's file, Hugging Face's folder and the task vector of a linearised merge in turn; every third merge is done by two
processes at once. About a second per kill. CI does six.
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import open_clip
import torch
from tqdm import tqdm

from analysis.merging.merge import Merged
from analysis.merging.output import STATE, merge_to, unfinished
from taujp_core.checkpoints import load_checkpoint
from taujp_core.files import write_json
from taujp_core.models import Clip, wrap_clip
from taujp_core.progress import say
from taujp_core.provenance import provenance
from taujp_core.task_vectors import TaskVector

LAYOUTS = {"merged.safetensors": "standard", "merged": "standard", "linear.safetensors": "linear"}
SYNC = 0.05  # seconds that a file takes to be written, so that writes can be met
PLACES = ("before its first state", "between states", "in a write", "after the model")


@dataclass
class Report:
    """kills: by what was there when the process died; looked: times that a reader found the whole model after a kill."""

    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PLACES, 0))
    merges: int = 0
    resumptions: int = 0
    looked: int = 0
    wrong: list[str] = field(default_factory=list)


def small_clip() -> Clip:
    """Merged in a fifth of a second, so that a merge spends much of its time in its writes."""
    vision = {"image_size": 8, "patch_size": 4, "layers": 2, "width": 8, "head_width": 4}
    text = {"context_length": 4, "vocab_size": 20, "width": 8, "heads": 2, "layers": 1}
    torch.manual_seed(0)
    model = open_clip.CLIP(embed_dim=6, vision_cfg=vision, text_cfg=text).eval().requires_grad_(False)
    model.visual.preprocess_cfg = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
    return wrap_clip("small", model, None, "cpu")


def merged(name: str, folder: Path, begun: Path | None = None) -> Merged:
    """The merge of a layout. `begun` is a file that is made when it begins; files are then written slowly."""
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own is a semaphore between processes, which a kill would leave behind
    clip = small_clip()
    vectors, images = [], {}
    for seed, task in enumerate(("uci", "signs")):
        generator = torch.Generator().manual_seed(seed)
        tau = {key: 0.05 * torch.randn(value.shape, generator=generator) for key, value in clip.theta0.items()}
        vectors.append(TaskVector(tau, clip.fingerprint, task, LAYOUTS[name]))
        images[task] = torch.randint(0, 256, (10, 3, 8, 8), generator=generator, dtype=torch.uint8)
    if begun:
        fsync = os.fsync
        os.fsync = lambda file: (time.sleep(SYNC), fsync(file))
        begun.touch()
    return merge_to(folder / name, vectors, clip, images, rounds=3, round_images=4)


def outcome(found: Merged, folder: Path) -> dict[str, object]:
    """What must not depend on kills."""
    tables = {"distances": found.distances.to_dict("records"), "history": found.history.astype(str).to_dict("records")}
    return {"vector": found.vector.digest(), **tables, "files": sorted(path.name for path in folder.iterdir())}


def kill_merges(kills: int, folder: Path, seed: int, report: Report) -> None:
    """Merges in turn, each killed until it is through, until so many kills have been made."""
    chance, clip = random.Random(seed), small_clip()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["analysis.merging.output"])  # torch is imported once
    expected: dict[str, tuple[dict, float]] = {}
    while sum(report.kills.values()) < kills:
        name = list(LAYOUTS)[report.merges % len(LAYOUTS)]
        if name not in expected:
            start = time.perf_counter()
            whole = outcome(merged(name, folder / "whole" / name), folder / "whole" / name)
            expected[name] = whole, time.perf_counter() - start
        whole, seconds = expected[name]
        place = folder / f"killed-{report.merges}"
        place.mkdir()
        together = 1 + (report.merges % 3 == 2)
        while True:
            processes = []
            for number in range(together):
                begun = folder / f"begun-{report.merges}-{sum(report.kills.values())}-{number}"
                processes.append((context.Process(target=merged, args=(name, place, begun)), begun))
                processes[-1][0].start()
            if sum(report.kills.values()) < kills:
                process, begun = chance.choice(processes)
                while not begun.exists() and process.exitcode is None:
                    time.sleep(0.005)
                process.join(chance.uniform(0, seconds + 8 * SYNC))
                kill(process, place / name, clip, whole, report)
            for process, _ in processes:
                process.join()
            codes = [process.exitcode for process, _ in processes]
            report.wrong += [
                f"{name}: ended with exit code {code}" for code in codes if code not in (0, -signal.SIGKILL)
            ]
            if -signal.SIGKILL not in codes:
                break
        found = outcome(merged(name, place), place)  # loads what is finished
        parts = [part for part in whole if found[part] != whole[part]]
        report.wrong += [f"{name}: other {', '.join(parts)}; files {found['files']}"] if parts else []
        report.merges += 1
        say(f"{sum(report.kills.values())} of {kills} kills, {report.merges} merges")


def kill(process: BaseProcess, output: Path, clip: Clip, whole: dict, report: Report) -> None:
    """Kill it, unless it is done; what a reader finds then is nothing or the whole model."""
    process.kill()
    process.join()
    if process.exitcode != -signal.SIGKILL:
        return
    folder = unfinished(output)
    writes = folder.exists() and any(path.name != STATE for path in folder.iterdir())
    state = (folder / STATE).exists()
    where = "after the model" if output.exists() else "in a write" if writes else PLACES[state]
    report.kills[where] += 1
    report.resumptions += state and not output.exists()
    if output.exists():
        report.looked += 1
        if load_checkpoint(output, clip).digest() != whole["vector"]:
            report.wrong.append(f"{output.name}: a reader found another model")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    report, began = Report(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        kill_merges(chosen.kills, Path(folder), chosen.seed, report)
    seconds = round(time.perf_counter() - began)
    if chosen.json:
        write_json(chosen.json, {**asdict(report), "seconds": seconds, "seed": chosen.seed, **provenance()})
    print(
        f"{sum(report.kills.values())} kills ({', '.join(f'{name} {count}' for name, count in report.kills.items())}) of "
        f"{report.merges} merges in {seconds} s; {report.resumptions} times a saved state was there, {report.looked} times "
        f"the whole model; {len(report.wrong)} things wrong"
    )
    print("\n".join(report.wrong))
    sys.exit(bool(report.wrong))
