"""How are the benchmark's data sets read as people already have them?

The benchmark's data sets in folders that people already have: torchvision's, those of task_vectors' users, and
class folders; else as a copy from the hub.

Class folders hold PART/CLASS/picture; what a part counts as:

- `test` is the test split; without it `val` is, as in task_vectors' copies of DTD and SUN397;
- beside `test`, `val` is a part of the training images, except of EuroSAT, RESISC45 and the data sets of WITH_VALIDATION,
  whose published training images leave it out: there it is the validation split;
- ImageNet's `val` is its test split.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ...checks import text
from ...identity import fields_of
from ...optimisation import epoch_order
from ...tasks import Listing, Place, Source, Task
from ..classes import class_labels
from ..folders import data_folder, existing
from ..image_files import PARTS, class_folders
from ..listings import Reader, from_parts, lines_of, matlab, three_parts, two_parts, unzip
from ..torchvision_layouts import TORCHVISION, VALID_H5, WITH_VALIDATION, mnist
from . import hub
from .hub import Hub

HELD_OUT = 270  # of EuroSAT, images of a class that are for testing, and as many for validation
VALIDATION = (
    "val",
    "valid",
    "resisc45-val.txt",
    "2750",
    "setid.mat",
    VALID_H5,
)  # what tells that a folder has a validation split of its own


@dataclass(frozen=True)
class Published(Source):
    """A data set of the benchmark, in a folder of a layout that people have, or else as a copy from the hub."""

    data: str
    hub: Hub
    keys = ("published", "hub")
    own = False
    version = 1

    @classmethod
    def from_entry(cls, what: str, entry: Mapping) -> "Published":
        return cls(text(f"published of {what}", entry["published"]), Hub.from_entry(what, entry))

    def locate(self, task: Task) -> Place:
        """A folder wins over a copy from the hub. All parts are from the same place: those of two may overlap."""
        if found := layout(task):
            folder, _, reader = found
            apart = reader in VALIDATION_APART and any((folder / sign).exists() for sign in VALIDATION)
            return Place(str(folder), PARTS if apart else ("train", "test"), partial(reader, task, folder))
        names = dict.fromkeys(f"{name}/{mark}".removeprefix("./") for name, mark, _ in layouts(task))
        copy = hub.place(task, self.hub, hub.files(task, self.hub, f"neither as {', '.join(names)} nor"))
        return Place(copy.name, self.parts_of_copy(), copy.read)

    def parts_of_copy(self) -> tuple[str, ...]:
        """Validation images of a copy are published ones if the suite says which they are."""
        return tuple(part for part in PARTS if part != "val" or part in hub.needed(self.hub))

    def identity(self, task: Task, place: Place | None) -> dict:
        """With what tells the layout of the folder, whose reader decides order and splits. Pictures that are not there
        yet are taken for a copy from the hub, which a download brings."""
        found = layout(task)
        parts = place.parts if place else self.parts_of_copy()
        return {**fields_of(self), "layout": found[1] if found else "hub", "parts": parts}


def layout(task: Task) -> tuple[Path, str, Reader] | None:
    """The folder that is there, what tells that it is, and who reads it."""
    folders = ((data_folder() / name, mark, reader) for name, mark, reader in layouts(task))
    return next((found for found in folders if (found[0] / found[1]).exists()), None)


def layouts(task: Task) -> list[tuple[str, str, Reader]]:
    """Folders that may hold the data set, what tells that they do, and who reads them; the best ones first."""
    return [*LAYOUTS.get(task.source.data, []), (task.source.data, "train", two_parts)]


def imagenet(task: Task, folder: Path, part: str) -> Listing:
    test = "val_in_folder" if (folder / "val_in_folder").is_dir() else "val"
    parts = {part: class_folders(folder / part).pictures for part in ("train", test) if (folder / part).is_dir()}
    return from_parts(task, folder, parts, [test if part == "test" else "train"])


def cars(task: Task, folder: Path, part: str) -> Listing:
    """torchvision: devkit/cars_train_annos.mat, cars_test_annos_withlabels.mat, cars_train, cars_test; classes from 1."""
    path = folder / {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}[part]
    (annotations,) = matlab(path, "annotations")
    images = folder / f"cars_{part}"
    return unzip([(images / str(one["fname"]), int(one["class"]) - 1) for one in np.atleast_1d(annotations)])


def dtd(task: Task, folder: Path, part: str) -> Listing:
    """The published archive, partition 1: images/CLASS, labels/train1.txt, val1.txt, test1.txt."""
    lists = ["test1.txt"] if part == "test" else ["train1.txt", "val1.txt"]
    files = [folder / "images" / line for name in lists for line in lines_of(folder / "labels" / name)]
    labels = class_labels(task, {file.parent.name for file in files}, folder)
    return unzip([(file, labels[file.parent.name]) for file in files])


def eurosat(task: Task, folder: Path, part: str) -> Listing:
    """torchvision: 2750/CLASS, without splits. Of each class HELD_OUT images are for testing, and as many for
    validation, drawn with seed 0 from the sorted names: 21600, 2700 and 2700 images as published, another choice.
    """
    classes = class_folders(folder / "2750").pictures
    labels = class_labels(task, classes, folder)
    pairs = []
    for name, files in classes.items():
        if len(files) <= 2 * HELD_OUT:
            raise ValueError(f"{folder / '2750' / name} has {len(files)} images: more than {2 * HELD_OUT} are needed")
        order = epoch_order(len(files), 0, labels[name])
        chosen = {"test": order[:HELD_OUT], "val": order[HELD_OUT : 2 * HELD_OUT], "train": order[2 * HELD_OUT :]}[part]
        pairs += [(files[i], labels[name]) for i in sorted(chosen)]
    return unzip(pairs)


def gtsrb(task: Task, folder: Path, part: str) -> Listing:
    """torchvision: GTSRB/Training/000NN/*.ppm; GTSRB/Final_Test/Images/*.ppm with labels in GT-final_test.csv."""
    if part == "train":
        part = "GTSRB/Training"
        return from_parts(task, folder, {part: class_folders(folder / part).pictures}, [part])
    path = existing(folder / "GT-final_test.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";", skipinitialspace=True))
    try:
        return unzip([(folder / "GTSRB/Final_Test/Images" / row["Filename"], int(row["ClassId"])) for row in rows])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged, or lacks the columns Filename and ClassId: {error!r}") from None


def resisc45(task: Task, folder: Path, part: str) -> Listing:
    """torchgeo: NWPU-RESISC45/CLASS/*.jpg and lists of file names, resisc45-train.txt, -val.txt, -test.txt."""
    classes = class_folders(folder / "NWPU-RESISC45").pictures
    labels = class_labels(task, classes, folder)
    places = {file.name: (file, labels[name]) for name, files in classes.items() for file in files}
    path = folder / f"resisc45-{part}.txt"
    names = lines_of(path)
    missing = [name for name in names if name not in places]
    if missing:
        raise FileNotFoundError(f"{len(missing)} images of {path} do not exist: {', '.join(missing[:3])}")
    return unzip([places[name] for name in names])


def sun397(task: Task, folder: Path, part: str) -> Listing:
    """torchvision's folder, with the lists of partition 1, which torchvision does not use, in it or in Partitions."""
    name = {"train": "Training_01.txt", "test": "Testing_01.txt"}[part]
    path = next((path for path in (folder / name, folder / "Partitions" / name) if path.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{folder / name} does not exist: the published splits are in Partitions.zip, apart from the images, "
            "at https://vision.princeton.edu/projects/2010/SUN/"
        )
    images = folder / "SUN397" if (folder / "SUN397").is_dir() else folder
    lines = [line.lstrip("/") for line in lines_of(path)]
    labels = class_labels(task, {line.rpartition("/")[0] for line in lines}, path)
    return unzip([(images / line, labels[line.rpartition("/")[0]]) for line in lines])


def svhn(task: Task, folder: Path, part: str) -> Listing:
    """torchvision: train_32x32.mat, test_32x32.mat with X [32, 32, 3, n] and y [n]; 10 stands for the digit 0."""
    path = folder / f"{part}_32x32.mat"
    images, labels = matlab(path, "X", "y")
    if images.ndim != 4 or images.dtype != np.uint8 or labels.shape != images.shape[3:]:
        raise ValueError(f"{path} should hold bytes X [32, 32, 3, n] and y [n], not {images.shape} and {labels.shape}")
    return list(np.ascontiguousarray(images.transpose(3, 0, 1, 2))), (labels.astype(int) % 10).tolist()


LAYOUTS: dict[str, list[tuple[str, str, Reader]]] = {
    "cars": [("stanford_cars", "devkit", cars), ("stanford_cars_folder_based", "train", two_parts)],
    # Lists first: copies made of them by hand are where test images got into training folders.
    "dtd": [("dtd/dtd", "labels", dtd), ("dtd", "labels", dtd)],
    "eurosat": [
        ("EuroSAT_splits", "train", three_parts),
        ("eurosat", "train", three_parts),
        ("eurosat", "2750", eurosat),
    ],
    "gtsrb": [("gtsrb", "GTSRB", gtsrb)],
    "mnist": [("MNIST", "raw", mnist)],
    "resisc45": [("resisc45", "NWPU-RESISC45", resisc45), ("resisc45", "train", three_parts)],
    "sun397": [
        *(("SUN397", mark, sun397) for mark in ("Training_01.txt", "Partitions")),
        *(("sun397", mark, sun397) for mark in ("Training_01.txt", "Partitions")),
        *((name, "train", two_parts) for name in ("sun397", "SUN397")),
        ("SUN397", "ClassName.txt", sun397),
    ],
    "svhn": [("svhn", "train_32x32.mat", svhn), (".", "train_32x32.mat", svhn)],
    "imagenet": [("imagenet", "val_in_folder", imagenet), ("imagenet", "val", imagenet)],
    **TORCHVISION,
}

# Readers that know a validation split.
VALIDATION_APART = (three_parts, eurosat, resisc45, *WITH_VALIDATION)

SOURCE = Published
