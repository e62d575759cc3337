"""Data sets in folders, in the formats in which they are published, and damaged ones."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import torchvision.datasets as tv
from torch.utils.data import ConcatDataset
from written import (
    EUROSAT,
    noise,
    small_task,
    write_cars,
    write_class_folders,
    write_dtd,
    write_gtsrb,
    write_mnist,
    write_picture,
    write_sun397,
    write_svhn,
)

from taujp_core.datasets import Split, load_split
from taujp_core.datasets.classes import class_labels
from taujp_core.datasets.load import find
from taujp_core.datasets.sources import published

DIGITS = [str(k) for k in range(10)]
CARS = small_task("cars", "AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012", "Acura RL Sedan 2012")


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TAUJP_DATA", str(tmp_path))
    return tmp_path


def names(split: Split) -> list[str]:
    return [f"{source.parent.name}/{source.name}" for source in split.pictures.sources]


def size(task, split: str) -> int:
    return len(find(task, split))


@pytest.mark.parametrize("packed", [False, True])
def test_mnist(root, packed):
    written = write_mnist(root, packed)
    task = small_task("mnist", *DIGITS, size=28)
    for split, (images, labels) in written.items():
        read, found = find(task, split).tensors
        assert torch.equal(read, torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1))
        assert found.tolist() == labels.tolist()


def test_svhn_counts_from_one_and_ten_is_the_digit_zero(root):
    written = write_svhn(root)
    task = small_task("svhn", *DIGITS, size=32)
    for split, images in written.items():
        read, labels = find(task, split).tensors
        assert torch.equal(read, torch.from_numpy(images).permute(3, 2, 0, 1))
        assert labels.tolist() == [(k % 10 + 1) % 10 for k in range(len(labels))]


def test_cars_count_from_one_in_the_order_of_the_annotations(root):
    write_cars(root)
    train, test = find(CARS, "train"), find(CARS, "test")
    assert train.labels.tolist() == [2, 0, 1, 1]
    assert test.labels.tolist() == [1, 2, 0]
    assert names(train)[0] == "cars_train/00001.jpg"
    assert names(test)[0] == "cars_test/00001.jpg"
    assert train[range(4)][0].shape == (4, 3, 16, 16)


def test_gtsrb(root):
    write_gtsrb(root, 3)
    task = small_task("gtsrb", "stop", "yield", "no entry", size=20)
    train, test = find(task, "train"), find(task, "test")
    assert train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert test.labels.tolist() == [1, 2, 0, 1, 2, 0]
    assert names(test)[:2] == ["Images/00000.ppm", "Images/00001.ppm"]
    assert np.array_equal(np.asarray(test.pictures.picture(1)), np.asarray(noise(501)))


@pytest.mark.parametrize("place", ["dtd/dtd", "dtd"])
def test_dtd_trains_on_train_and_val_of_the_first_partition(root, place):
    write_dtd(root / place, ["banded", "polka-dotted"])
    task = small_task("dtd", "banded", "polka-dotted")
    train = find(task, "train")
    assert len(train) == 8
    assert train.labels.tolist() == [0, 0, 1, 1] * 2
    assert {name[-6] for name in names(train)} == {"0", "1"}
    assert {name[-6] for name in names(find(task, "test"))} == {"2"}


def test_lists_win_over_folders_made_of_them(root):
    write_dtd(root / "dtd", ["banded", "veined"])
    write_class_folders(root / "dtd", {"train": 3, "val": 1}, ["banded", "veined"])
    assert size(small_task("dtd", "banded", "veined"), "train") == 8


def test_eurosat_is_split_the_same_way_each_time(root, monkeypatch):
    monkeypatch.setattr(published, "HELD_OUT", 2)
    write_class_folders(root / "eurosat", {"2750": 7}, EUROSAT)
    task = small_task("eurosat", *(f"prompt {k}" for k in range(10)))
    train, validation, test = (load_split(task, split) for split in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (30, 20, 20)
    assert train.labels.bincount().tolist() == [3] * 10
    assert len({*names(train), *names(validation), *names(test)}) == 70
    assert sorted(names(test)) == sorted(names(find(task, "test")))
    assert names(test) == names(load_split(task, "test"))
    chosen = {name.split("/")[1] for name in names(test)}
    assert len(chosen) > 2, "each class has its own draw"
    monkeypatch.setattr(published, "HELD_OUT", 4)
    with pytest.raises(ValueError, match="AnnualCrop has 7 images: more than 8 are needed"):
        find(task, "train")


@pytest.mark.parametrize(
    ("folder", "lists"),
    [("SUN397", "SUN397"), ("SUN397", "SUN397/Partitions"), ("sun397/SUN397", "sun397"), ("sun397", "sun397")],
)
def test_sun397_goes_by_its_lists_and_by_names(root, folder, lists):
    # Sorted by path, jail/indoor is before jail_cell; the published labels have them the other way round.
    write_sun397(root / folder, ["/a/abbey", "/j/jail/indoor", "/j/jail_cell"], root / lists)
    task = small_task("sun397", "abbey", "jail cell", "jail indoor")
    assert find(task, "train").labels.tolist() == [0, 0, 2, 2, 1, 1]
    assert {source.name for source in find(task, "test").pictures.sources} == {"sun_10.png", "sun_11.png"}
    assert find(task, "test")[[0]][0].shape == (1, 3, 16, 16)


def test_sun397_without_lists_tells_where_they_are(root):
    write_sun397(root / "SUN397", ["/a/abbey", "/a/alley"], root / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"SUN397/Training_01.txt does not exist: .* Partitions.zip"):
        find(small_task("sun397", "abbey", "alley"), "train")


def test_resisc45_lists(root):
    write_class_folders(root / "resisc45", {"NWPU-RESISC45": 0}, ["airplane", "baseball_diamond"])
    for seed, name in enumerate(
        ("airplane/airplane_001", "airplane/airplane_002", "baseball_diamond/baseball_diamond_001")
    ):
        write_picture(root / "resisc45/NWPU-RESISC45" / f"{name}.jpg", seed)
    (root / "resisc45/resisc45-train.txt").write_text("baseball_diamond_001.jpg\nairplane_002.jpg\n")
    (root / "resisc45/resisc45-test.txt").write_text("airplane_001.jpg\nairplane_003.jpg\n")
    (root / "resisc45/resisc45-val.txt").write_text("airplane_001.jpg\n")
    task = small_task("resisc45", "airplane", "baseball diamond")
    assert [len(load_split(task, split)) for split in ("train", "validation")] == [2, 1]
    assert find(task, "train").labels.tolist() == [1, 0]
    with pytest.raises(FileNotFoundError, match=r"1 images of .*test.txt do not exist: airplane_003.jpg"):
        find(task, "test")


def test_what_val_counts_as(root):
    classes = ["cat", "dog"]
    write_class_folders(root / "pets", {"train": 5, "val": 2, "test": 1}, classes)
    assert (size(small_task("pets", *classes), "train"), size(small_task("pets", *classes), "test")) == (14, 2)
    write_class_folders(root / "two", {"train": 5, "val": 2}, classes)
    assert (size(small_task("two", *classes), "train"), size(small_task("two", *classes), "test")) == (10, 4)
    write_class_folders(root / "resisc45", {"train": 5, "val": 2, "test": 1}, classes)
    assert (size(small_task("resisc45", *classes), "train"), size(small_task("resisc45", *classes), "test")) == (10, 2)


@pytest.mark.parametrize("folder", ["EuroSAT_splits", "eurosat"])
def test_a_published_validation_split_is_used_and_all_of_train_is_trained_on(root, folder):
    write_class_folders(root / folder, {"train": 3, "val": 2, "test": 1}, EUROSAT)
    task = small_task("eurosat", *(f"prompt {k}" for k in range(10)))
    splits = [load_split(task, split) for split in ("train", "validation", "test")]
    assert [len(split) for split in splits] == [30, 20, 10]
    parts = [{source.parent.parent.name for source in split.pictures.sources} for split in splits]
    assert parts == [{"train"}, {"val"}, {"test"}]


def test_imagenet_tests_on_val_and_sorts_wordnet_identifiers(root):
    write_class_folders(root / "imagenet", {"train": 3, "val": 2}, ["n02000000", "n01000000"], "JPEG")
    (root / "imagenet/test").mkdir()  # the published test images have no classes
    task = small_task("imagenet", "tench", "shark")
    assert find(task, "train").labels.tolist() == [0, 0, 0, 1, 1, 1]
    test = find(task, "test")
    assert names(test)[0] == "n01000000/000.JPEG"
    assert test.labels.tolist() == [0, 0, 1, 1]


def test_torchvision_reads_the_same(root):
    """The fixtures have torchvision's layouts, and the labels are torchvision's."""
    write_cars(root)
    scipy.io.savemat(root / "stanford_cars/devkit/cars_meta.mat", {"class_names": np.array([*CARS.classes], object)})
    write_dtd(root / "dtd/dtd", ["banded", "veined"])
    write_gtsrb(root, 3)
    write_mnist(root)
    dtd, gtsrb = small_task("dtd", "banded", "veined", size=20), small_task("gtsrb", *"abc", size=20)
    mnist = small_task("mnist", *DIGITS, size=28)
    for task, split, theirs in (
        (CARS, "train", tv.StanfordCars(root, "train")),
        (CARS, "test", tv.StanfordCars(root, "test")),
        (dtd, "train", ConcatDataset([tv.DTD(root, "train"), tv.DTD(root, "val")])),
        (dtd, "test", tv.DTD(root, "test")),
        (gtsrb, "train", tv.GTSRB(root, "train")),
        (gtsrb, "test", tv.GTSRB(root, "test")),
        (mnist, "train", tv.MNIST(root, train=True)),
        (mnist, "test", tv.MNIST(root, train=False)),
    ):
        ours = find(task, split)
        assert len(ours) == len(theirs)
        for index, (image, label) in enumerate(theirs):
            assert np.array_equal(np.asarray(ours.pictures.picture(index)), np.asarray(image.convert("RGB")))
            assert ours.labels[index] == label


def test_class_folders_go_by_name_not_by_order(root):
    write_class_folders(
        root / "cars",
        {"train": 1, "test": 1},
        ["Acura RL Sedan 2012", "AM General Hummer SUV 2000", "Ram C-V Cargo Van Minivan 2012"],
    )
    assert dict(zip(names(find(CARS, "train")), find(CARS, "train").labels.tolist(), strict=True)) == {
        "AM General Hummer SUV 2000/000.png": 0,
        "Acura RL Sedan 2012/000.png": 2,
        "Ram C-V Cargo Van Minivan 2012/000.png": 1,
    }


def test_a_class_may_be_absent_from_one_part(root):
    write_class_folders(root / "pets", {"train": 2, "test": 1}, ["ant", "bee", "cat"])
    for file in (root / "pets/test/ant").iterdir():
        file.unlink()
    (root / "pets/test/ant").rmdir()
    assert find(small_task("pets", "ant", "bee", "cat"), "test").labels.tolist() == [1, 2]


def test_other_files_are_not_pictures(root):
    write_class_folders(root / "pets", {"train": 2, "test": 1}, ["cat"])
    for name in ("Thumbs.db", ".hidden.png", "notes.txt"):
        (root / "pets/train/cat" / name).write_text("no picture")
    (root / "pets/train/.ipynb_checkpoints").mkdir()
    assert size(small_task("pets", "cat"), "train") == 2


def test_names_of_all_eight_tasks_are_found():
    task = small_task("eurosat", *(f"prompt {k}" for k in range(10)))
    assert list(class_labels(task, EUROSAT).values()) == list(range(10))
    assert class_labels(small_task("gtsrb", *"abc"), ["00002", "1"]) == {"00002": 2, "1": 1}
    sun = small_task("sun397", "abbey", "jail indoor")
    for name in ("a_abbey", "abbey", "a/abbey"):
        assert class_labels(sun, [name, "j_jail_indoor"]) == {name: 0, "j_jail_indoor": 1}


def test_unknown_and_missing_class_folders_are_named(root):
    write_class_folders(root / "pets", {"train": 1, "test": 1}, ["cat", "dgo"])
    with pytest.raises(
        ValueError, match=r"pets: 1 of 2 names are not among the 2 classes of pets: dgo; classes are cat"
    ):
        find(small_task("pets", "cat", "dog"), "train")
    with pytest.raises(ValueError, match="has 2 class folders, pets has 3 classes"):
        find(small_task("pets", "cat", "dog", "eel"), "train")


def test_numbers_beyond_the_classes_are_refused(root):
    write_svhn(root)
    with pytest.raises(ValueError, match=r"svhn train .* picture 4 has label 5, accepted are 0 to 4"):
        find(small_task("svhn", *"01234"), "train")


def test_a_missing_data_set_says_where_it_was_looked_for_and_how_to_get_it(root):
    with pytest.raises(FileNotFoundError) as caught:
        load_split(CARS, "train")
    message = str(caught.value)
    assert f"cars is not below {root}" in message
    assert "stanford_cars/devkit" in message
    assert "cars/train" in message
    assert "someone/cars" in message
    assert f"python -m taujp_core.datasets download --suite NAME --tasks cars --root {root}" in message


@pytest.mark.parametrize(
    ("write", "task", "file"),
    [
        (write_mnist, small_task("mnist", *DIGITS), "MNIST/raw/t10k-images-idx3-ubyte"),
        (write_svhn, small_task("svhn", *DIGITS), "svhn/test_32x32.mat"),
        (write_cars, CARS, "stanford_cars/cars_test_annos_withlabels.mat"),
        (lambda root: write_gtsrb(root, 3), small_task("gtsrb", *"abc"), "gtsrb/GT-final_test.csv"),
        (lambda root: write_dtd(root / "dtd", ["a", "b"]), small_task("dtd", *"ab"), "dtd/labels/test1.txt"),
    ],
)
def test_a_missing_and_a_truncated_file_are_named(root, write, task, file):
    write(root)
    path = root / file
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(FileNotFoundError, match=path.name):
        find(task, "test")
    find(task, "train")
    path.write_bytes(whole[: len(whole) // 3] if path.suffix != ".csv" else b"Filename;Class\n0.ppm;1\n")
    if path.suffix == ".txt":  # a list of names may end anywhere: the count tells
        return
    with pytest.raises(ValueError, match=path.name):
        find(task, "test")


def test_a_packed_file_that_is_truncated(root):
    write_mnist(root, packed=True)
    path = root / "MNIST/raw/train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz is damaged"):
        find(small_task("mnist", *DIGITS), "train")


def test_a_missing_part_is_named(root):
    write_class_folders(root / "pets", {"train": 1}, ["cat"])
    with pytest.raises(FileNotFoundError, match="pets/val does not exist: it should hold a folder for each class"):
        find(small_task("pets", "cat"), "test")


def test_an_empty_split_is_refused(root):
    write_class_folders(root / "pets", {"train": 1, "test": 0}, ["cat"])
    with pytest.raises(ValueError, match=r"pets test in .* has no pictures"):
        find(small_task("pets", "cat"), "test")
