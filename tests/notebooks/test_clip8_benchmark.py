"""`make benchmark` from the first command to the last table: a hub on this machine has twenty data sets of a few made-up pictures in
the published layouts, and checkpoints of a ViT-B/32 with random weights in their repository's.

The ViT-B/32 has two narrow blocks: what its size costs is seen elsewhere (`make clip8`, the first lines, `benchmarks/`).
"""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import open_clip.factory
import pandas as pd
import pytest
import torch
import yaml
from fake_hub import FakeHub
from foreign import image_state
from hub_copies import SUITE, hub_files

from taujp_core.checkpoints import families
from taujp_core.pretrained import load_clip

ROOT = Path(__file__).parents[2]
FAMILY = families()["tall-masks-b32"]
REPO, COMMIT = "nik-dim/tall_masks", "c8d352f" + "0" * 33  # begins as the family's revision
DIFFERENT = 4  # checkpoints; the others are one of these again, for the hub holds them in memory
SMALL = {
    "embed_dim": 32, "quick_gelu": True,
    "vision_cfg": {"image_size": 224, "layers": 2, "width": 64, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
}  # fmt: skip
COUNTS = {2: [2], 8: [8], 20: [8, 14, 20]}


def served(tasks: list[str]) -> FakeHub:
    """A hub that has these tasks' data sets and checkpoints."""
    clip, fake, contents = load_clip(FAMILY.model, "random"), FakeHub({}), []
    for seed in range(min(DIFFERENT, len(tasks))):
        generator, content = torch.Generator().manual_seed(seed), io.BytesIO()
        theta = {
            name: value + 0.003 * torch.randn(value.shape, generator=generator) for name, value in clip.theta0.items()
        }
        torch.save(image_state(theta), content)
        contents.append(content.getvalue())
    fake.sha, fake.repos = COMMIT, {REPO: {}}
    for place, name in enumerate(tasks):
        file = f"single_task/ViT-B-32/{FAMILY.tasks[name]}Val/nonlinear_finetuned.pt"
        fake.repos[REPO][file] = contents[place % DIFFERENT]
        source = SUITE.task(name).source.hub
        fake.repos.setdefault(source.repo, {}).update(hub_files(SUITE.task(name), times=2))
        fake.others += [source.revision] * (source.revision != "main")
    return fake


def write_suite(folder: Path, count: int, tasks: list[str]) -> None:
    """The published suite with these tasks, one prompt for each class, and random weights."""
    entries = {name: {"from": "clip20", "templates": ["a photo of a {}."]} for name in tasks}
    suite = {"like": "clip20", "model": FAMILY.model, "pretrained": "random", "tasks": entries}
    (folder / f"clip{count}-fixture.yaml").write_text(yaml.safe_dump(suite, sort_keys=False))


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A folder for PYTHONPATH: Python processes that start with it, and this one, know the small ViT-B/32 by its name."""
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, FAMILY.model, SMALL)
    folder = tmp_path / "start"
    folder.mkdir()
    (folder / f"{FAMILY.model}.json").write_text(json.dumps(SMALL))
    (folder / "sitecustomize.py").write_text(f"import open_clip\nopen_clip.add_model_config({str(folder)!r})\n")
    return folder


@pytest.mark.clip8
@pytest.mark.parametrize(
    ("count", "of", "merges"),
    [(8, 2, ["task arithmetic", "TIES", "TSV-M", "RegMean"]), (20, 20, ["task arithmetic", "TIES"])],
    ids=["two tasks", "twenty tasks"],
)
def test_data_and_checkpoints_come_from_the_hub_and_it_goes_on_after_a_kill(count, of, merges, small, tmp_path):
    tasks = list(SUITE.tasks)[:of]
    write_suite(tmp_path, count, tasks)
    fake = served(tasks)
    environment = os.environ | {
        "TAUJP_SUITES": str(tmp_path), "TAUJP_DATA": str(tmp_path / "data"), "TAUJP_HOME": str(tmp_path),
        "TAUJP_CACHE": str(tmp_path / "cache"), "HF_ENDPOINT": fake.api().endpoint, "HF_HUB_OFFLINE": "0",
        "PYTHONPATH": str(small),
    }  # fmt: skip
    # Ours takes minutes at this size on a CPU; the others tell as much of the way.
    settings = f"merges: [{', '.join(merges)}], merge_images: 4, task_counts: {COUNTS[of]}, tuning_images: 2"
    command = [
        "make", "benchmark", "MODEL=fixture", f"TASKS={count}", "CHECKPOINTS=tall-masks-b32",
        f"BIN={Path(sys.executable).parent}", f"RUNS={tmp_path}/runs", f"SETTINGS={settings}",
    ]  # fmt: skip
    folder = tmp_path / "runs" / f"clip{count}-fixture-benchmark" / "tall-masks-b32"
    finished = tmp_path / "runs" / f"clip{count}-fixture" / "merges"
    try:
        with (tmp_path / "first.log").open("w") as log:
            first = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, stdout=log, stderr=log)
        while not (done := sorted(finished.glob("*.json"))):
            assert first.poll() is None, (tmp_path / "first.log").read_text()[-3000:]
            time.sleep(0.02)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        assert not (folder / "merges.csv").exists()
        written, sent = done[0].stat().st_mtime_ns, len(fake.sent)
        made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    finally:
        fake.stop()
    assert made.returncode == 0, made.stderr[-3000:]
    assert done[0].stat().st_mtime_ns == written and len(fake.sent) == sent  # nothing twice
    assert sum(name.endswith(".pt") for name in fake.sent) == of
    table = pd.read_csv(folder / "merges.csv")
    assert table[["tasks", "merge"]].values.tolist() == [[n, name] for n in COUNTS[of] for name in merges]
    assert table[["one_shot", "tuned"]].notna().all(axis=None) and table.control.isna().all()
    checkpoints = pd.read_csv(folder / "checkpoints.csv")
    assert checkpoints.task.tolist() == tasks and (checkpoints.test_images == 6).all()
    assert len(list(finished.glob("*.json"))) == len(table)
    if wrong := FAMILY.wrong.keys() & set(tasks):
        assert re.search(
            f"known of tall-masks-b32: .*{min(wrong)}", made.stderr + (folder / "54_benchmark.ipynb").read_text()
        )
