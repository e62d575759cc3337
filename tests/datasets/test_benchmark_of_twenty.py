"""The twelve further data sets of clip20: torchvision's folders as torchvision reads them, the hub's copies, bad ones."""

import csv
import io
import json
import pickle
import struct
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import scipy.io
import torchvision
from fake_hub import FakeHub
from hub_copies import PARTS, SUITE, hub_files, labels_of
from PIL import Image
from written import COMMIT, write_class_folders, write_idx, write_picture

from taujp_core.datasets import load_split
from taujp_core.datasets.load import find
from taujp_core.datasets.sources import hub
from taujp_core.files import read_json
from taujp_core.tasks import Task

FURTHER = list(SUITE.tasks)[8:]
EMOTIONS = ["angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral"]


def task_of(name: str) -> Task:
    return SUITE.task(name).sized(16)


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TAUJP_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def pixels(part: str, count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(sum(part.encode())).integers(0, 256, (count, *shape), dtype=np.uint8)


class Python2(pickle._Pickler):
    """Writes texts and bytes as Python 2 did, which wrote CIFAR's files."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def save_text(self, value: str | bytes) -> None:
        data = value.encode("latin1") if isinstance(value, str) else value
        self.write(b"T" + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_text


def write_batch(path: Path, part: str, key: str, labels: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    Python2(file, 2).dump({"data": pixels(path.name, len(labels), 3072), key: labels, "batch_label": "one of 5"})
    path.write_bytes(file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


def write_cifar10(root: Path) -> None:
    folder = root / "cifar-10-batches-py"
    for k, label in enumerate(labels_of("cifar10", "train"), 1):
        write_batch(folder / f"data_batch_{k}", "train", "labels", [label])
    write_batch(folder / "test_batch", "test", "labels", labels_of("cifar10", "test"))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [*SUITE.task("cifar10").classes]}))


def write_cifar100(root: Path) -> None:
    folder = root / "cifar-100-python"
    for part in PARTS:
        write_batch(folder / part, part, "fine_labels", labels_of("cifar100", part))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [*SUITE.task("cifar100").classes]}))


def write_stl10(root: Path) -> None:
    folder = root / "stl10_binary"
    folder.mkdir()
    (folder / "class_names.txt").write_text("\n".join(SUITE.task("stl10").classes))
    for part, count in PARTS.items():
        pixels(part, count, 3, 96, 96).tofile(folder / f"{part}_X.bin")
        np.array([label + 1 for label in labels_of("stl10", part)], np.uint8).tofile(folder / f"{part}_y.bin")


def write_flowers102(root: Path) -> None:
    folder = root / "flowers-102"
    labels = [*labels_of("flowers102", "train"), *labels_of("flowers102", "test"), 7]
    for k in range(9):
        write_picture(folder / f"jpg/image_{k + 1:05}.jpg", k)
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": np.array([[label + 1 for label in labels]], np.uint8)})
    ids = {"trnid": [[1, 2, 3, 4, 5]], "valid": [[9]], "tstid": [[8, 6, 7]]}
    scipy.io.savemat(folder / "setid.mat", {name: np.array(numbers, np.uint16) for name, numbers in ids.items()})


def write_pets(root: Path) -> None:
    folder = root / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    for part, listing in (("train", "trainval"), ("test", "test")):
        lines = []
        for k, label in enumerate(labels_of("oxfordiiitpet", part)):
            name = f"{SUITE.task('oxfordiiitpet').classes[label].replace(' ', '_')}_{part}{k}"
            write_picture(folder / f"images/{name}.jpg", 10 * len(part) + k)
            lines.append(f"{name} {label + 1} 1 1\n")
        (folder / f"annotations/{listing}.txt").write_text("".join(lines))


def write_pcam(root: Path) -> None:
    folder = root / "pcam"
    folder.mkdir()
    for part, count in (*PARTS.items(), ("valid", 2)):
        for name, array in (("x", pixels(part, count, 96, 96, 3)), ("y", (np.arange(count) % 2).reshape(-1, 1, 1, 1))):
            with (folder / f"camelyonpatch_level_2_split_{part}_{name}.h5").open("wb") as file:
                np.savez(file, **{name: array})


def write_fer2013(root: Path, name: str = "icml_face_data.csv") -> None:
    columns = ["emotion", " Usage", " pixels"] if name.startswith("icml") else ["emotion", "Usage", "pixels"]
    (root / "fer2013").mkdir()
    with (root / "fer2013" / name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for k, usage in enumerate(["Training", "PublicTest", "Training", "PrivateTest", "Training", "PublicTest"]):
            writer.writerow([k + 1, usage, " ".join(map(str, pixels("x" * k, 1, 48 * 48)[0]))])


def write_food101(root: Path) -> None:
    folder = root / "food-101"
    (folder / "meta").mkdir(parents=True)
    classes = [name.replace(" ", "_") for name in SUITE.task("food101").classes]
    for name, title in (("classes", 1), ("labels", 2)):
        (folder / f"meta/{name}.txt").write_text("\n".join(classes) if title else "")
    for part in PARTS:
        listed: dict[str, list[str]] = {}
        for k, label in enumerate(labels_of("food101", part)):
            listed.setdefault(classes[label], []).append(f"{classes[label]}/{len(part)}{k}")
            write_picture(folder / f"images/{classes[label]}/{len(part)}{k}.jpg", 10 * len(part) + k)
        (folder / f"meta/{part}.json").write_text(json.dumps(listed))


def write_renderedsst2(root: Path) -> None:
    write_class_folders(root / "rendered-sst2", {"train": 3, "valid": 2, "test": 1}, ["negative", "positive"])


def write_digits(folder: str, starts: dict[str, str], name: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        for part, start in starts.items():
            write_idx(root / folder / f"{start}-images-idx3-ubyte", pixels(part, PARTS[part], 28, 28))
            write_idx(root / folder / f"{start}-labels-idx1-ubyte", np.array(labels_of(name, part)))

    return write


MNIST = {"train": "train", "test": "t10k"}
EMNIST = {"train": "emnist-digits-train", "test": "emnist-digits-test"}
# For each data set what writes it, and torchvision's own class of it, for a part.
WRITTEN: dict[str, tuple[Callable[[Path], None], Callable]] = {
    "stl10": (write_stl10, lambda root, part: torchvision.datasets.STL10(root, part)),
    "oxfordiiitpet": (
        write_pets,
        lambda root, part: torchvision.datasets.OxfordIIITPet(root, "trainval" if part == "train" else part),
    ),
    "flowers102": (write_flowers102, lambda root, part: torchvision.datasets.Flowers102(root, part)),
    "cifar100": (write_cifar100, lambda root, part: torchvision.datasets.CIFAR100(root, part == "train")),
    "pcam": (write_pcam, lambda root, part: torchvision.datasets.PCAM(root, part)),
    "fer2013": (write_fer2013, lambda root, part: torchvision.datasets.FER2013(root, part)),
    "cifar10": (write_cifar10, lambda root, part: torchvision.datasets.CIFAR10(root, part == "train")),
    "food101": (write_food101, lambda root, part: torchvision.datasets.Food101(root, part)),
    "fashionmnist": (
        write_digits("FashionMNIST/raw", MNIST, "fashionmnist"),
        lambda root, part: torchvision.datasets.FashionMNIST(root, part == "train"),
    ),
    "renderedsst2": (write_renderedsst2, lambda root, part: torchvision.datasets.RenderedSST2(root, part)),
    "emnist": (
        write_digits("EMNIST/raw", EMNIST, "emnist"),
        lambda root, part: torchvision.datasets.EMNIST(root, "digits", train=part == "train"),
    ),
    "kmnist": (
        write_digits("KMNIST/raw", MNIST, "kmnist"),
        lambda root, part: torchvision.datasets.KMNIST(root, part == "train"),
    ),
}


@pytest.fixture
def h5(monkeypatch):
    """Stands for h5py, which nothing but PCam needs: files of NumPy."""
    module = types.ModuleType("h5py")
    module.File = lambda path, mode="r": np.load(path)
    monkeypatch.setitem(sys.modules, "h5py", module)
    monkeypatch.setattr("torchvision.datasets.pcam.h5py", module, raising=False)


def read(task: Task, part: str) -> list[tuple[bytes, int]]:
    data = find(task, part)
    pairs = zip(range(len(data)), data.labels.tolist(), strict=True)
    return sorted((data.pictures.picture(k).tobytes(), label) for k, label in pairs)


@pytest.mark.parametrize("name", FURTHER)
def test_torchvisions_folders_are_read_as_torchvision_reads_them(root, monkeypatch, h5, name):
    for module in ("cifar", "stl10", "flowers102", "fer2013"):  # checksums of the real files
        monkeypatch.setattr(f"torchvision.datasets.{module}.check_integrity", lambda *_, **__: True)
    write, theirs = WRITTEN[name]
    write(root)
    task = task_of(name)
    for part in PARTS:
        expected, data = [], theirs(root, part)
        for image, label in data:
            image = image.transpose(Image.Transpose.TRANSPOSE) if name == "emnist" else image
            label = task.classes.index(EMOTIONS[label]) if name == "fer2013" else int(label)
            if name == "food101":  # torchvision numbers the classes that are listed, which are all of the real files
                label = task.classes.index(data.classes[label].replace("_", " "))
            expected.append((image.convert("RGB").tobytes(), label))
        assert read(task, part) == sorted(expected)
        assert len({image for image, _ in expected}) == len(expected) > 1


@pytest.mark.parametrize("name", ["flowers102", "pcam", "renderedsst2"])
def test_published_validation_images_are_the_validation_split(root, h5, name):
    WRITTEN[name][0](root)
    task = task_of(name)
    assert task.locate().parts == ("train", "val", "test")
    train, validation = read(task, "train"), read(task, "val")
    assert not {image for image, _ in train} & {image for image, _ in validation}
    assert (
        len(load_split(task, "validation")) == len(validation) == {"flowers102": 1, "pcam": 2, "renderedsst2": 4}[name]
    )
    assert len(load_split(task, "train")) == len(train)  # nothing is held out of them


@pytest.mark.parametrize("name", FURTHER)
def test_a_folder_of_the_data_sets_own_and_class_folders_are_found_too(root, h5, name):
    own = {
        "stl10": "stl10", "oxfordiiitpet": "OxfordIIITPet", "flowers102": "flowers102", "cifar100": "cifar100",
        "pcam": "PCAM", "fer2013": ".", "cifar10": "cifar10", "food101": "food101", "fashionmnist": "FashionMNIST",
        "renderedsst2": "RenderedSST2", "emnist": "EMNIST", "kmnist": "KMNIST",
    }  # fmt: skip
    (root / own[name]).mkdir(exist_ok=True)
    WRITTEN[name][0](root / own[name])
    task = task_of(name)
    assert len(find(task, "test")) == len(load_split(task, "test")) > 1
    two = replace(task, classes=task.classes[:2], source=replace(task.source, data=f"{name}-2"))
    write_class_folders(root / f"{name}-2", PARTS, [two.classes[0].replace("/", " "), two.classes[1]])
    assert len(find(two, "test")) == 6


@pytest.mark.parametrize("name", FURTHER)
def test_the_hubs_copy_is_downloaded_and_read(root, monkeypatch, name):
    task = task_of(name)
    source = task.source.hub
    fake = FakeHub({})
    fake.repos, fake.sha = {source.repo: hub_files(task)}, COMMIT if source.revision == "main" else source.revision
    monkeypatch.setattr(huggingface_hub, "HfApi", fake.api)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    try:
        folder = hub.download(name, source, root)
    finally:
        fake.stop()
    assert read_json(folder / hub.RECORD)["commit"] == fake.sha
    for part in PARTS:
        assert find(task, part).labels.tolist() == labels_of(name, part)
    assert task.locate().parts == (("train", "val", "test") if task.validation_images else ("train", "test"))


def refused(root: Path, name: str, match: str, part: str = "train") -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=match) as caught:
        find(task_of(name), part).pictures.picture(0)
    assert "\n" not in str(caught.value)


def test_a_batch_of_cifar_that_is_a_program_does_not_run(root):
    write_cifar10(root)
    touched = root / "touched"
    (root / "cifar-10-batches-py/data_batch_3").write_bytes(f"cos\nsystem\n(S'touch {touched}'\ntR.".encode())
    refused(root, "cifar10", r"data_batch_3 is damaged .*it names os\.system; nothing was executed")
    assert not touched.exists()


def test_damaged_and_missing_files_are_named(root, h5):
    write_cifar100(root)
    path = root / "cifar-100-python/train"
    path.write_bytes(path.read_bytes()[:-2000])
    refused(root, "cifar100", "cifar-100-python/train is damaged")
    write_batch(path, "train", "fine_labels", [1, 2])
    write_batch(root / "cifar-100-python/test", "test", "coarse_labels", [1, 2])
    refused(root, "cifar100", r"cifar-100-python/test is damaged .*fine_labels", "test")
    write_stl10(root)
    path = root / "stl10_binary/train_X.bin"
    path.write_bytes(path.read_bytes()[:-1])
    refused(root, "stl10", "train_X.bin is damaged: it does not hold a picture for each of the 5 labels")
    write_food101(root)
    (root / "food-101/meta/train.json").write_text("{")
    refused(root, "food101", "meta/train.json is damaged")
    (root / "food-101/meta/test.json").unlink()
    refused(root, "food101", "meta/test.json does not exist", "test")
    write_pets(root)
    (root / "oxford-iiit-pet/annotations/test.txt").write_text("Abyssinian_1\n")
    refused(root, "oxfordiiitpet", "annotations/test.txt is damaged", "test")
    write_fer2013(root, "fer2013.csv")
    path = root / "fer2013/fer2013.csv"
    path.write_text(path.read_text().replace("Usage", "usage"))
    refused(root, "fer2013", "fer2013.csv is damaged, or lacks the columns emotion, pixels and Usage: KeyError")
    write_flowers102(root)
    (root / "flowers-102/imagelabels.mat").write_bytes(b"MATLAB")
    refused(root, "flowers102", "imagelabels.mat is damaged")
    write_pcam(root)
    (root / "pcam/camelyonpatch_level_2_split_train_y.h5").unlink()
    refused(root, "pcam", "split_train_y.h5 does not exist")


def test_without_h5py_one_sentence_says_what_to_do(root, monkeypatch):
    write_pcam(root)
    monkeypatch.setitem(sys.modules, "h5py", None)
    refused(root, "pcam", "is read by h5py, which is not installed: `pip install h5py`, or use the copy from the hub")
