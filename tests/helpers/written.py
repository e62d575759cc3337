"""Small data sets written in their real formats, and tasks that read them."""

import csv
import gzip
import io
import struct
from pathlib import Path

import datasets
import numpy as np
import scipy.io
import yaml
from PIL import Image

from taujp_core.datasets.sources import hub
from taujp_core.datasets.sources.hub import Hub
from taujp_core.datasets.sources.published import Published
from taujp_core.files import write_json
from taujp_core.tasks import Task

COMMIT = "0123456789abcdef0123456789abcdef01234567"
EUROSAT = ["AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial"]
EUROSAT += ["Pasture", "PermanentCrop", "Residential", "River", "SeaLake"]


def small_task(name: str, *classes: str, size: int = 16, **more) -> Task:
    source = Hub(f"someone/{name}", COMMIT, "data/train-*.parquet", "data/test-*.parquet")
    return Task(name, classes, ("a photo of a {}",), size, Published(name, source), **more)


def noise(seed: int, height: int = 20, width: int = 24) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def write_picture(path: Path, seed: int) -> Path:
    """By the ending of its name; .ppm and .png lose nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise(seed).save(path)
    return path


def write_class_folders(folder: Path, parts: dict[str, int], classes: list[str], ending: str = "png") -> None:
    """For each part that number of pictures of each class; no two pictures are alike."""
    seed = 0
    for part, count in parts.items():
        for name in classes:
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            for k in range(count):
                seed += 1
                write_picture(folder / part / name / f"{k:03}.{ending}", seed)


def write_hub_copy(task: Task, root: Path, splits: dict[str, list[tuple[bytes, int]]], names: list[str]) -> Path:
    """What `download` leaves behind."""
    folder = hub.copy_folder(task.source.hub, root)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for split, pairs in splits.items():
        columns = {
            "image": [{"bytes": data, "path": None} for data, _ in pairs],
            "label": [label for _, label in pairs],
        }
        table = datasets.Dataset.from_dict(columns, features=features)
        table.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    write_json(folder / hub.RECORD, {"repo": task.source.hub.repo, "commit": COMMIT, "complete": True})
    return folder


def write_idx(path: Path, array: np.ndarray, packed: bool = False) -> None:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = header + array.astype(np.uint8).tobytes()
    path.with_name(path.name + ".gz" * packed).write_bytes(gzip.compress(content) if packed else content)


def write_mnist(root: Path, packed: bool = False) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(0)
    written = {}
    for split, start, count in (("train", "train", 20), ("test", "t10k", 10)):
        images, labels = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8), np.arange(count) % 10
        write_idx(root / "MNIST/raw" / f"{start}-images-idx3-ubyte", images, packed)
        write_idx(root / "MNIST/raw" / f"{start}-labels-idx1-ubyte", labels, packed)
        written[split] = images, labels
    return written


def write_svhn(root: Path) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    written = {}
    for split, count in (("train", 20), ("test", 10)):
        images = generator.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        labels = (np.arange(count) % 10 + 1).astype(np.uint8)[:, None]  # 1, …, 9, 10 for the digit 0
        (root / "svhn").mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(root / "svhn" / f"{split}_32x32.mat", {"X": images, "y": labels}, do_compression=True)
        written[split] = images
    return written


def write_cars(root: Path) -> None:
    """Annotations as in the devkit: a struct array [1, n] with a box, the class counted from 1, and the file."""
    kinds = [(name, object) for name in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")]
    for split, path, classes in (
        ("train", "devkit/cars_train_annos.mat", [3, 1, 2, 2]),
        ("test", "cars_test_annos_withlabels.mat", [2, 3, 1]),
    ):
        rows = np.empty((1, len(classes)), dtype=kinds)
        for k, label in enumerate(classes):
            file = f"{k + 1:05}.jpg"
            rows[0, k] = (*(np.uint8([[side]]) for side in (1, 1, 9, 9)), np.uint8([[label]]), file)
            write_picture(root / "stanford_cars" / f"cars_{split}" / file, 10 * (split == "test") + k)
        (root / "stanford_cars/devkit").mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(root / "stanford_cars" / path, {"annotations": rows})


def write_gtsrb(root: Path, classes: int) -> None:
    """Folders of .ppm, each with its csv; test images in one folder, their classes in one csv."""
    columns = ["Filename", "Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId"]

    def write_csv(path: Path, rows: list[tuple[str, int]]) -> None:
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter=";")
            writer.writerow(columns)
            writer.writerows([name, 24, 20, 1, 1, 22, 18, label] for name, label in rows)

    base = root / "gtsrb/GTSRB"
    for label in range(classes):
        folder = base / "Training" / f"{label:05}"
        rows = [(f"00000_0000{k}.ppm", label) for k in range(2)]
        for k, (name, _) in enumerate(rows):
            write_picture(folder / name, 100 + 10 * label + k)
        write_csv(folder / f"GT-{label:05}.csv", rows)
    rows = [(f"{k:05}.ppm", (k + 1) % classes) for k in range(2 * classes)]
    for k, (name, _) in enumerate(rows):
        write_picture(base / "Final_Test/Images" / name, 500 + k)
    write_csv(root / "gtsrb/GT-final_test.csv", rows)


def write_dtd(folder: Path, classes: list[str]) -> None:
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(("train", "val", "test")):
        lines = [f"{name}/{name}_{number}{k}.png" for name in classes for k in range(2)]
        for k, line in enumerate(lines):
            write_picture(folder / "images" / line, 100 * number + k)
        (folder / "labels" / f"{part}1.txt").write_text("".join(f"{line}\n" for line in lines))


def write_sun397(folder: Path, classes: list[str], lists: Path) -> None:
    lists.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(("Training_01.txt", "Testing_01.txt")):
        lines = [f"{place}/sun_{number}{k}.png" for place in classes for k in range(2)]
        for k, line in enumerate(lines):
            write_picture(folder / line[1:], 100 * number + k)
        (lists / name).write_text("\r\n".join(lines))
    (folder / "ClassName.txt").write_text("".join(f"{place}\n" for place in classes))


def write_suite(folder: Path, name: str, tasks: list[Task], control: Task) -> None:
    """A suite file for the folder that TAUJP_SUITES names."""

    def entry(task: Task) -> dict:
        parts = ("train_images", "test_images")
        counts = {key: getattr(task, key) for key in parts if getattr(task, key) is not None}
        source = {"published": task.source.data, "hub": vars(task.source.hub)}
        return {"classes": [*task.classes], "templates": [*task.templates], **source, **counts}

    suite = {"model": "mini", "pretrained": None, "recipe": {}}
    suite |= {"tasks": {task.name: entry(task) for task in tasks}, "control": {control.name: entry(control)}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(suite, sort_keys=False))
