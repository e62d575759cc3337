"""How does torchvision lay out the twelve further data sets of the benchmark of twenty?

Folders begin as torchvision makes them below its `root`, or as the code of TALL masks and task singular vectors does, with
a `root` of its own for each data set.
"""

import csv
import importlib
import json
import os
import pickle
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from ..tasks import Listing, Task
from .classes import class_labels
from .folders import existing
from .listings import Reader, lines_of, matlab, read_idx, three_parts, unzip

SIDE = 32  # pixels of a picture of CIFAR
STL_SIDE = 96
VALID_H5 = "camelyonpatch_level_2_split_valid_x.h5"
# Labels of FER2013 in its own files; the task has them in the order of the hub's copy.
EMOTIONS = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral")


def mnist(task: Task, folder: Path, part: str) -> Listing:
    """torchvision: raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte, packed (.gz) or not."""
    start = {"train": "train", "test": "t10k"}[part]
    images = read_idx(folder / "raw" / f"{start}-images-idx3-ubyte", 3)
    labels = read_idx(folder / "raw" / f"{start}-labels-idx1-ubyte", 1)
    return list(images), labels.tolist()


def emnist(task: Task, folder: Path, part: str) -> Listing:
    """torchvision: EMNIST/raw/emnist-digits-{train,test}-{images-idx3,labels-idx1}-ubyte; rows and columns are exchanged
    in the file, and put right here.
    """
    start = folder / f"emnist-digits-{part}"
    images = read_idx(start.with_name(f"{start.name}-images-idx3-ubyte"), 3)
    labels = read_idx(start.with_name(f"{start.name}-labels-idx1-ubyte"), 1)
    return list(images.transpose(0, 2, 1)), labels.tolist()


class Arrays(pickle.Unpickler):
    """Reads what CIFAR's files hold: dictionaries, lists, texts and NumPy arrays. Nothing else is made or imported."""

    MADE: ClassVar = {"_reconstruct": np.zeros(0).__reduce__()[0], "ndarray": np.ndarray, "dtype": np.dtype}

    def find_class(self, module: str, name: str) -> object:
        if module.partition(".")[0] != "numpy" or name not in self.MADE:
            raise pickle.UnpicklingError(f"it names {module}.{name}; nothing was executed")
        return self.MADE[name]


def cifar(files: dict[str, Sequence[str]], key: str) -> Reader:
    """torchvision: pickled batches with `data` [n, 3072], a picture's red, green and blue plane in a row, and labels."""

    def read(task: Task, folder: Path, part: str) -> Listing:
        batches = [batch(folder / name, key) for name in files[part]]
        images = np.concatenate([data for data, _ in batches]).reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
        return list(np.ascontiguousarray(images)), [label for _, labels in batches for label in labels]

    return read


def batch(path: Path, key: str) -> tuple[np.ndarray, list[int]]:
    """Raises ValueError for a damaged file and for one that names anything but arrays."""
    try:
        with existing(path).open("rb") as file:
            content = Arrays(file, encoding="latin1").load()
        data, labels = content["data"], [int(label) for label in content[key]]
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged pickle may raise nearly anything
        raise ValueError(f"{path} is damaged or not the file that it should be: {error!r}") from None
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape != (len(labels), 3 * SIDE**2):
        raise ValueError(f"{path} should hold bytes [n, {3 * SIDE**2}] and as many labels")
    return data, labels


def stl10(task: Task, folder: Path, part: str) -> Listing:
    """torchvision: {train,test}_X.bin, planes of each picture column by column, and {train,test}_y.bin with classes from 1."""
    labels = np.fromfile(existing(folder / f"{part}_y.bin"), np.uint8)
    path = existing(folder / f"{part}_X.bin")
    if path.stat().st_size != len(labels) * 3 * STL_SIDE**2:
        raise ValueError(
            f"{path} is damaged: it does not hold a picture for each of the {len(labels)} labels beside it"
        )
    images = np.memmap(path, np.uint8, "r").reshape(-1, 3, STL_SIDE, STL_SIDE).transpose(0, 3, 2, 1)
    return list(images), (labels.astype(int) - 1).tolist()


def flowers102(task: Task, folder: Path, part: str) -> Listing:
    """torchvision: jpg/image_00001.jpg, classes from 1 in imagelabels.mat, the pictures' numbers in setid.mat."""
    (labels,) = matlab(folder / "imagelabels.mat", "labels")
    (numbers,) = matlab(folder / "setid.mat", {"train": "trnid", "val": "valid", "test": "tstid"}[part])
    chosen = np.atleast_1d(numbers).astype(int).tolist()
    return unzip([(folder / f"jpg/image_{number:05}.jpg", int(labels[number - 1]) - 1) for number in chosen])


def pets(task: Task, folder: Path, part: str) -> Listing:
    """torchvision: images/NAME.jpg; annotations/trainval.txt and test.txt with lines `NAME CLASS SPECIES BREED`, from 1."""
    path = folder / "annotations" / {"train": "trainval.txt", "test": "test.txt"}[part]
    rows = [line.split() for line in lines_of(path) if not line.startswith("#")]
    try:
        return unzip([(folder / f"images/{row[0]}.jpg", int(row[1]) - 1) for row in rows])
    except (IndexError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error!r}") from None


def pcam(task: Task, folder: Path, part: str) -> Listing:
    """torchvision: camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5, pictures [n, 96, 96, 3] and labels."""
    start = f"camelyonpatch_level_2_split_{'valid' if part == 'val' else part}"
    labels = stored(existing(folder / f"{start}_y.h5"), "y")[:].reshape(-1).tolist()
    return Patches(existing(folder / f"{start}_x.h5")), labels


class Patches(Sequence):
    """Pictures in an HDF5 file, read when they are asked for, by each process from a file that it has opened itself."""

    def __init__(self, path: Path):
        self.path, self.count = path, len(stored(path, "x"))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> np.ndarray:
        return stored(self.path, "x")[index]


def stored(path: Path, name: str) -> np.ndarray:
    """An array of an HDF5 file. Raises ValueError without h5py, which nothing else needs, and for a damaged file."""
    try:
        return opened(path, os.getpid())[name]
    except ImportError:
        raise ValueError(
            f"{path} is read by h5py, which is not installed: `pip install h5py`, or use the copy from the hub"
        ) from None
    except (OSError, KeyError) as error:
        raise ValueError(f"{path} is damaged or not the file that it should be: {error}") from None


@cache
def opened(path: Path, process: int) -> Mapping:
    return importlib.import_module("h5py").File(path, "r")  # not a requirement: PCam alone needs it


def fer2013(task: Task, folder: Path, part: str) -> Listing:
    """Kaggle: fer2013.csv or icml_face_data.csv with the columns emotion, pixels and Usage; its public and private test
    images are the test split. torchvision reads the same file, and train.csv, which has no labelled test images beside it.
    """
    path = next(path for name in FER_FILES if (path := folder / name).is_file())
    images, labels = [], []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, skipinitialspace=True):
                if (row["Usage"] == "Training") == (part == "train"):
                    pixels = np.array(row["pixels"].split(), np.uint8)
                    images.append(pixels.reshape(48, 48))
                    labels.append(task.classes.index(EMOTIONS[int(row["emotion"])]))
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError) as error:
        raise ValueError(f"{path} is damaged, or lacks the columns emotion, pixels and Usage: {error!r}") from None
    return images, labels


def food101(task: Task, folder: Path, part: str) -> Listing:
    """torchvision: images/CLASS/NUMBER.jpg; meta/train.json and test.json with CLASS/NUMBER by class."""
    path = existing(folder / "meta" / f"{part}.json")
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        names = [(name, image) for name, images in listed.items() for image in images]
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error!r}") from None
    labels = class_labels(task, listed, path)
    return unzip([(folder / f"images/{image}.jpg", labels[name]) for name, image in names])


def below(own: str, folder: str, *marks: str, reader: Reader) -> list[tuple[str, str, Reader]]:
    """Layouts of a folder, at the top or below a folder of the data set's own."""
    return [(place, mark, reader) for place in (folder, f"{own}/{folder}") for mark in marks]


FER_FILES = ("fer2013.csv", "icml_face_data.csv")
DIGITS = "emnist-digits-train-labels-idx1-ubyte"
# Folders, what tells that they are the data set's, and who reads them, as in `sources/published.py`.
TORCHVISION: dict[str, list[tuple[str, str, Reader]]] = {
    "stl10": below("stl10", "stl10_binary", "train_X.bin", reader=stl10),
    "oxfordiiitpet": below("OxfordIIITPet", "oxford-iiit-pet", "annotations", reader=pets),
    "flowers102": [
        *below("flowers102", "flowers-102", "setid.mat", reader=flowers102),
        ("flowers102", "train", three_parts),
    ],
    "cifar100": below(
        "cifar100", "cifar-100-python", "train", reader=cifar({"train": ["train"], "test": ["test"]}, "fine_labels")
    ),
    "pcam": [*below("PCAM", "pcam", VALID_H5, reader=pcam), ("pcam", "train", three_parts)],
    "fer2013": [("fer2013", name, fer2013) for name in FER_FILES],
    "cifar10": below(
        "cifar10",
        "cifar-10-batches-py",
        "test_batch",
        reader=cifar({"train": [f"data_batch_{k}" for k in range(1, 6)], "test": ["test_batch"]}, "labels"),
    ),
    "food101": below("food101", "food-101", "meta", reader=food101),
    "fashionmnist": below("FashionMNIST", "FashionMNIST", "raw", reader=mnist),
    "renderedsst2": [
        *below("RenderedSST2", "rendered-sst2", "train", reader=three_parts),
        ("renderedsst2", "train", three_parts),
    ],
    "emnist": below("EMNIST", "EMNIST/raw", DIGITS, f"{DIGITS}.gz", reader=emnist),
    "kmnist": below("KMNIST", "KMNIST", "raw", reader=mnist),
}
WITH_VALIDATION = (flowers102, pcam)  # readers that know a validation split, as three_parts does
