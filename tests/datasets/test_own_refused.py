"""What is wrong with data of one's own is said in one sentence, when the suite is loaded: before anything is trained."""

from functools import partial
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from test_own_data import CLASSES, Pairs, root, some_images, table, write_suite  # noqa: F401
from torch.utils.data import Dataset, IterableDataset
from written import noise, write_class_folders, write_picture

from taujp_core.datasets import load_split
from taujp_core.suites import load_suite, own_suite, own_task
from taujp_core.training.config import run_config

PETS = {"pets": {"folder": "pets"}}


def refusal(kind: type[Exception], make) -> str:
    with pytest.raises(kind) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("model: mini\n tasks: {", "mine.yaml is not YAML in line 2: "),
        ("model: 'mini", "mine.yaml is not YAML in line 1: found unexpected end of stream"),
        ("model: \x07", "mine.yaml is not YAML: "),
        ("- mini", "mine.yaml must hold the keys model, tasks, control, not list"),
        ("", "mine.yaml must hold the keys model, tasks, control, not NoneType"),
    ],
)
def test_malformed_yaml(root, text, sentence):  # noqa: F811
    (root.parent / "suites/mine.yaml").write_text(text)
    assert sentence in refusal(ValueError, lambda: load_suite("mine"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"tasks": PETS, "modle": "mini"}, "mine.yaml has the unknown key 'modle': accepted are like, model, pretrained, tasks, control"),
        ({}, "mine.yaml is without tasks: a suite has model, tasks, control"),
        ({"tasks": PETS, "control": {}}, "control of .*mine.yaml must be a mapping of names to what they are, not {}"),
        ({"tasks": PETS, "control": {"a": {"from": "mini/uci"}, "b": {"from": "mini/uci"}}}, "a suite has one control, not a, b"),
        ({"tasks": PETS, "model": "Vit-B-32"}, "unknown model 'Vit-B-32': accepted are mini, "),
        ({"tasks": PETS, "pretrained": 5}, "pretrained must be a tag of open_clip or null, not 5"),
        ({"tasks": PETS, "recipe": {"stepz": 3}}, "the recipe has the unknown key 'stepz': accepted are "),
        ({"tasks": PETS, "recipe": {"peak_lr": "1e-4"}}, r"peak_lr of the recipe must be a number, not '1e-4' \(YAML reads 1.0e-5"),
        ({"tasks": PETS, "recipe": [1]}, r"recipe of .* must be a mapping, not \[1\]"),
        ({"tasks": {"pets": {"folder": "pets", "clases": ["a"]}}}, "the task pets has the unknown key 'clases': accepted are classes, "),
        ({"tasks": {"pets": {"classes": CLASSES}}}, "the task pets does not say where its pictures are: give one of folder, hub"),
        ({"tasks": {"pets": {"folder": "pets", "hub": "a/b"}}}, "the task pets has folder and hub: give one of"),
        ({"tasks": {"pets": {"folder": 3}}}, "folder of the task pets must be a text, not 3"),
        ({"tasks": {"pets": "pets"}}, "the task pets must be a mapping with keys such as folder and classes, not 'pets'"),
        ({"tasks": {"../pets": PETS["pets"]}}, r"the name of a task must be letters, digits and any of '. _\+-', not '../pets'"),
        ({"tasks": {"shapes": PETS["pets"]}}, "two data sets of the suite mine have the name 'shapes': the control is one"),
        ({"tasks": {"pets": {"from": "mini/cats"}}}, "unknown task of mini, in .*mine.yaml, 'cats': accepted are mnist"),
        ({"tasks": {"pets": {"from": "maxi"}}}, "unknown suite to take a task from 'maxi': accepted are clip14"),
        ({"tasks": {"pets": {"folder": "pets", "templates": ["a photo"]}}}, "templates of the task pets must hold {} once, where the class goes, not 'a photo'"),
        ({"tasks": {"pets": {"folder": "pets", "templates": "NO"}}}, "templates of the task pets must be a list of texts such as .*, not 'NO'"),
        ({"tasks": {"pets": {"folder": "pets", "classes": [1, 2]}}}, "classes of the task pets must be texts, not 1: write it in quotes"),
        ({"tasks": {"pets": {"folder": "pets", "classes": ["Cat", "cat", "dog"]}}}, "`classes` of the task pets has two spellings of one class, 'Cat' and 'cat': keep one"),
        ({"tasks": {"pets": {"folder": "pets", "classes": ["cat", "dog", "eel"]}}}, "the class 'eel' of pets is without a folder: .*/pets/train/eel does not exist"),
        ({"tasks": {"pets": {"folder": "pets", "classes": ["cat"]}}}, "pets/train/dog is a folder without a class: pets has cat"),
        ({"tasks": {"pets": {"folder": "pets", "severity": 1}}}, "the task pets has the key .severity., which goes with package, not with folder"),
        ({"tasks": {"pets": {"folder": "nowhere"}}}, "the folder .*/data/nowhere of pets does not exist"),
        ({"tasks": {"pets": {"dataset": "pets/train/cat"}}}, "cat is no folder that the library `datasets` reads: |the column 'label' of|has no column 'label'"),
        ({"tasks": {"pets": {"hub": {"revision": "main"}}}}, "hub of the task pets is without repo"),
        ({"tasks": {"pets": {"from": "mini/signs", "severity": 3}}}, "severity of signs must be a number from 0 to 1, not 3"),
    ],
)  # fmt: skip
def test_suite_files(root, changes, sentence):  # noqa: F811
    write_class_folders(root / "pets", {"train": 10, "test": 1}, CLASSES)
    write_suite(root, **changes)
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=sentence) as caught:
        load_suite("mine")
    assert "\n" not in str(caught.value)
    assert "mine" in str(caught.value)


def empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda pets: (pets / "train/Cat").mkdir(), "pets/train has two spellings of one class, 'Cat' and 'cat': keep one"),
        (lambda pets: write_picture(pets / "test/Dog/1.png", 1), "pets/test/Dog is a second spelling of the class folder 'dog': keep one"),
        (lambda pets: write_picture(pets / "test/eel/1.png", 1), "pets/test/eel is a folder without a class: pets has cat, dog"),
        (lambda pets: empty(pets / "train/dog"), "the class 'dog' of pets is without a folder: .*pets/train/dog has no pictures"),
        (lambda pets: [empty(pets / "test" / name) for name in CLASSES], "pets test in .*/pets has no pictures"),
        (lambda pets: (pets / "val").mkdir(), "pets val in .*/pets has no pictures"),
        (lambda pets: (pets / "train").rename(pets / "trian"), "pets/train does not exist: it should hold a folder for each class"),
        (lambda pets: [(pets / f"train/{name}/{k:03}.png").unlink() for name in CLASSES for k in range(6)], "pets has 8 training images, too few to hold a tenth of them out for validation"),
        (lambda pets: (pets / "test/dog/000.png").write_bytes(b"no picture"), "pets/test/dog/000.png cannot be decoded: "),
        (lambda pets: truncate(pets / "train/dog/003.png"), "pets/train/dog/003.png cannot be decoded: "),
    ],
)  # fmt: skip
def test_class_folders(root, spoil, sentence):  # noqa: F811
    write_class_folders(root / "pets", {"train": 10, "test": 1}, CLASSES)
    write_suite(root, tasks=PETS)
    load_suite("mine")  # all is well, and noted
    spoil(root / "pets")
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as caught:
        load_suite("mine")
    assert "\n" not in str(caught.value)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:400])


def test_pictures_are_decoded_once_as_long_as_they_stay(root, monkeypatch):  # noqa: F811
    write_class_folders(root / "pets", {"train": 10, "test": 1}, CLASSES)
    write_suite(root, tasks=PETS)
    load_suite("mine")
    monkeypatch.setattr("taujp_core.datasets.check.digests", lambda data: pytest.fail("decoded again"))
    load_suite("mine")
    write_picture(root / "pets/test/cat/new.png", 3)
    with pytest.raises(pytest.fail.Exception):
        load_suite("mine")


def test_suites_that_shadow_the_packages_and_a_folder_that_is_not_there(root, monkeypatch):  # noqa: F811
    for name in ("mini", "clip8"):
        path = root.parent / "suites" / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"like": "mini"}))
        said = refusal(ValueError, lambda: load_suite("clip8-b32"))
        assert said == f"{path} has the name of a suite of the package: rename it"
        path.unlink()
    monkeypatch.setenv("TAUJP_SUITES", str(root / "nowhere"))
    said = refusal(FileNotFoundError, lambda: load_suite("mini"))
    assert said == f"TAUJP_SUITES names {root}/nowhere, which is not a folder that exists"


IMAGES, LABELS = some_images(12), [0, 1] * 6


class Endless(IterableDataset):
    def __iter__(self):
        yield noise(0), 0


@pytest.mark.parametrize(
    ("train", "kind", "sentence"),
    [
        ((IMAGES, [0, 2] * 6), ValueError, "train of pets: picture 1 has label 2, accepted are 0 to 1"),
        ((IMAGES, [0, -1] * 6), ValueError, "train of pets: picture 1 has label -1, accepted are 0 to 1"),
        ((IMAGES, LABELS[:11]), ValueError, "train of pets has 12 images and 11 labels"),
        ((IMAGES / 255, LABELS), TypeError, r"images of train of pets must be a tensor of bytes \(uint8, 0 to 255\), not torch.float32"),
        ((IMAGES.numpy(), LABELS), TypeError, "must be a tensor of bytes .*, not ndarray"),
        ((IMAGES.permute(0, 2, 3, 1), LABELS), ValueError, r"must have the shape \[n, 3, h, w\] or \[n, 1, h, w\], not \[12, 40, 40, 3\]"),
        ((IMAGES, torch.rand(12)), TypeError, r"labels of train of pets must be whole numbers \[n\], not torch.float32 \[12\]"),
        ((IMAGES, ["cat"] * 12), TypeError, r"labels of train of pets must be whole numbers \[n\], not list"),
        ((IMAGES[:0], []), ValueError, "train of pets has no pictures"),
        (IMAGES, TypeError, r"train of pets must be \(images, labels\) or a torch Dataset, not Tensor"),
        (Pairs([IMAGES[0] / 255], [0]), TypeError, "image 0 of train of pets must be a PIL image or a tensor of bytes .*, not torch.float32: leave out ToTensor"),
        ((IMAGES, [None] * 12), TypeError, r"labels of train of pets must be whole numbers \[n\], not list"),
        ((IMAGES, [2**70] * 12), TypeError, r"labels of train of pets must be whole numbers \[n\], not list"),
        ((IMAGES, torch.eye(2).long().repeat(6, 1)), TypeError, r"must be whole numbers \[n\], not torch.int64 \[12, 2\]"),
        (Pairs([noise(1), noise(2)], [0, torch.eye(2)[1]]), TypeError, r"label 1 of train of pets must be a whole number, not Tensor \[2\]: the number of"),
        (Pairs([noise(1)], [np.array([0, 1])]), TypeError, r"label 0 of train of pets must be a whole number, not ndarray \[2\]: the number of"),
        (Pairs([noise(1)], [torch.tensor(1.0)]), TypeError, "label 0 of train of pets must be a whole number, not 1.0"),
        (Pairs([noise(1)], [np.float32(0.5)]), TypeError, "label 0 of train of pets must be a whole number, not 0.5"),
        (Pairs([noise(1)], [None]), TypeError, "label 0 of train of pets must be a whole number, not None"),
        (Endless(), TypeError, "train of pets must be a Dataset with a length"),
        (Pairs([noise(1)], ["cat"]), TypeError, "label 0 of train of pets must be a whole number, not 'cat'"),
        (Pairs([noise(1), noise(2)], [0, 7]), ValueError, "train of pets: picture 1 has label 7, accepted are 0 to 1"),
        (Pairs([], []), ValueError, "train of pets has no pictures"),
    ],
)  # fmt: skip
def test_pictures_in_python(train, kind, sentence):
    with pytest.raises(kind, match=sentence):
        own_task("pets", CLASSES, train=train)


class Random(Dataset):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple:
        return Image.fromarray(np.random.default_rng().integers(0, 256, (8, 8, 3), dtype=np.uint8)), 0


def test_calls_in_python(root):  # noqa: F811
    control, pair = load_suite("mini").control, (IMAGES, LABELS)
    task = own_task("pets", CLASSES, train=pair)
    for kind, make, sentence in (
        (ValueError, lambda: own_task("pets", CLASSES, train=Random()), "train of pets gives another image each time"),
        (ValueError, lambda: own_task("pets", train=pair), "is given pictures, but no classes: needed are train and classes"),
        (ValueError, lambda: own_task("pets", CLASSES, test=pair), "is given pictures, but no train"),
        (ValueError, lambda: own_task("pets", CLASSES, train=pair, folder="pets"), "is given pictures, but also folder"),
        (ValueError, lambda: own_task("pets", ["Cat", "cat"], train=pair), "two spellings of one class, 'Cat' and 'cat'"),
        (ValueError, lambda: own_task("pets", fold="pets"), "the task pets has the unknown key 'fold'"),
        (ValueError, lambda: own_task("x" * 81, CLASSES, train=pair), "the name of a task must have at most 80 bytes, not 81: xxxxx"),
        (ValueError, lambda: own_task("ä" * 41, folder="pets"), "the name of a task must have at most 80 bytes, not 82: ä"),
        (ValueError, lambda: own_suite("mini", [task], control, name="s" * 300), "the name of a suite must have at most 80 bytes, not 300"),
        (ValueError, lambda: load_split(task, "train"), "the size of the pictures of pets is not known yet: give `task.sized(clip.image_size)`"),
        (ValueError, lambda: run_config(own_suite("mini", [own_task("cats", ["cat"], train=(IMAGES, [0] * 12))], control), "cats", "standard"), "cats has one class, 'cat': every answer is right, and there is nothing to train"),
        (ValueError, lambda: own_suite("mini", [], control), "the suite own is without tasks"),
        (ValueError, lambda: own_suite("mini", [task, task], control), "two data sets of the suite own have the name 'pets'"),
        (ValueError, lambda: own_suite("mini", [task], control, name="mini"), "there is a suite mini in the package"),
        (ValueError, lambda: own_suite("mini", [task], control, recipe={"stepz": 1}), "the recipe has the unknown key 'stepz'"),
        (TypeError, lambda: own_suite("mini", [task], control, recipe={"epochs": "3"}), "epochs of the recipe must be a number, not '3'"),
        (ValueError, lambda: own_suite("mini", [own_task("few", CLASSES, train=(IMAGES[:4], [0, 1, 0, 1]))], control), "few has 4 training images, too few to hold a fifth"),
    ):  # fmt: skip
        assert sentence in refusal(kind, make)


def test_tables(root):  # noqa: F811
    table(20).save_to_disk(root / "pets")
    table(20, names=None).save_to_disk(root / "numbers")
    (root / "nothing").mkdir()
    columns = {"image": "img", "label": "kind"}
    for source, classes, sentence in (
        ({"path": "pets"}, None, "has no column 'label', which the suite names: it has img, kind"),
        ({"path": "numbers", **columns}, None, "does not name its classes: give numbers `classes`"),
        ({"path": "pets", **columns}, ["a", "b", "c"], "'kind' has 2 classes, pets has 3"),
        ({"path": "numbers", **columns}, ["a"], "picture 1 has label 1, accepted are 0 to 0"),
        ({"path": "nothing", **columns}, None, "nothing is no folder that the library `datasets` reads"),
    ):
        said = refusal(ValueError, partial(table_suite, classes, source))
        assert sentence in said
    broken = {"img": [{"bytes": b"no picture", "path": None}] * 20, "kind": [0, 1] * 10}
    features = datasets.Features({"img": datasets.Image(), "kind": datasets.ClassLabel(names=CLASSES)})
    datasets.Dataset.from_dict(broken, features=features).save_to_disk(root / "broken")
    said = refusal(ValueError, partial(table_suite, None, {"path": "broken", **columns}))
    assert "picture 0 of broken train in" in said


def table_suite(classes: list[str] | None, source: dict) -> None:
    own_suite("mini", [own_task(source["path"], classes, dataset=source)], load_suite("mini").control)
