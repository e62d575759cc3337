"""`make clip8` from the first command to the last table: a ViT-B/32 with random weights, and made-up pictures in the published formats
(MNIST's IDX, SVHN's .mat, ImageNet's class folders)."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from scipy.io import savemat

from taujp_core.pretrained import load_clip
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune

ROOT = Path(__file__).parents[2]
CLASSES = [str(digit) for digit in range(10)]
HUB = {"repo": "nobody/nothing", "revision": "0" * 40, "train": "train-*.parquet", "test": "test-*.parquet"}


def write_suite(folder: Path) -> None:
    task = {"hub": HUB, "classes": CLASSES, "templates": ['a photo of the number: "{}".']}
    suite = {
        "like": "clip8",
        "model": "ViT-B-32-quickgelu",
        "pretrained": "random",
        "tasks": {
            name: {**task, "published": name, "train_images": 20, "test_images": 10} for name in ("mnist", "svhn")
        },
        "control": {"imagenet": {**task, "published": "imagenet", "test_images": 10}},
        "recipe": {"steps": 2, "batch_size": 8, "penalty_batch_size": 4, "warmup_steps": 1},
    }
    (folder / "clip8-fixture.yaml").write_text(yaml.safe_dump(suite))


def write_data(folder: Path) -> None:
    rng = np.random.default_rng(0)
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, count in (("train", 20), ("t10k", 10)):
        images, labels = rng.integers(0, 256, (count, 28, 28), np.uint8), (np.arange(count) % 10).astype(np.uint8)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, count, 28, 28) + images.tobytes())
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, count) + labels.tobytes())
    for split, count in (("train", 20), ("test", 10)):
        images, labels = rng.integers(0, 256, (32, 32, 3, count), np.uint8), np.arange(count)[:, None] % 10 + 1
        savemat(folder / f"{split}_32x32.mat", {"X": images, "y": labels})
    for split, count in (("train", 2), ("val", 1)):
        for name in CLASSES:
            for k in range(count):
                path = folder / "imagenet" / split / f"n{int(name):08}" / f"{split}{k}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 256, (50, 70, 3), np.uint8)).save(path, "JPEG")


@pytest.mark.clip8
def test_one_command_goes_from_data_to_the_report(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    write_suite(tmp_path)
    write_data(tmp_path / "data")
    environment = {
        "TAUJP_SUITES": str(tmp_path), "TAUJP_DATA": str(tmp_path / "data"),
        "TAUJP_HOME": str(tmp_path), "TAUJP_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # What an earlier call had trained when it was stopped.
    clip = load_clip("ViT-B-32-quickgelu", "random")
    done = finetune(run_config("clip8-fixture", "mnist", "standard"), tmp_path / "runs", clip).folder / "record.json"
    before = done.stat().st_mtime_ns
    made = subprocess.run(
        ["make", "clip8", "MODEL=fixture", f"BIN={Path(sys.executable).parent}", f"RUNS={tmp_path}/runs"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-3000:]
    assert done.stat().st_mtime_ns == before
    report = pd.read_csv(tmp_path / "runs" / "clip8-fixture-report" / "report.csv")
    assert len(report) == 13 + 14
    assert report.measured.notna().all()
    for table in ("addition", "negation"):
        summary = json.loads((tmp_path / "runs" / f"clip8-fixture-{table}" / "summary.json").read_text())
        assert [row["method"] for row in summary["rows"]] == ["standard", "linear", "taujp-efficient"]
    assert len(list((tmp_path / "runs" / "clip8-fixture").rglob("vector.safetensors"))) == 6
