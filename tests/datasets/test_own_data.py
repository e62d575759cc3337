"""Data of one's own: class folders, tables, repositories, tensors and Datasets, in suites from files and from Python."""

import re
import shutil
from pathlib import Path

import datasets
import numpy as np
import open_clip
import pytest
import torch
import yaml
from PIL import Image
from torch.utils.data import Dataset, TensorDataset
from written import encoded, noise, small_task, write_class_folders, write_hub_copy

from taujp_core.datasets import load_images, load_split, task_identity
from taujp_core.datasets.__main__ import main
from taujp_core.datasets.sources.hub import Hub
from taujp_core.datasets.sources.published import Published
from taujp_core.suites import as_suite, load_suite, own_suite, own_task
from taujp_core.tasks import Task
from taujp_core.training.config import run_config

CLASSES = ["cat", "dog"]


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """The data folder; suites and the cache lie beside it, outside the checkout."""
    for name, folder in (("TAUJP_DATA", "data"), ("TAUJP_SUITES", "suites"), ("TAUJP_CACHE", "cache")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    return tmp_path / "data"


def write_suite(root: Path, name: str = "mine", **changes) -> None:
    suite = {"model": "mini", "control": {"shapes": {"from": "mini"}}, **changes}
    (root.parent / "suites" / f"{name}.yaml").write_text(yaml.safe_dump(suite, sort_keys=False))


def sizes(task: Task) -> tuple[int, int, int]:
    return tuple(len(load_split(task, split)) for split in ("train", "validation", "test"))


def some_images(count: int, size: int = 40, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)


# Class folders


def test_class_folders_with_their_own_validation_and_test(root):
    write_class_folders(root / "pets", {"train": 6, "val": 2, "test": 3}, ["golden_retriever", "cat"])
    write_suite(root, tasks={"pets": {"folder": "pets"}})
    pets = load_suite("mine").task("pets")
    assert (pets.classes, pets.templates) == (("cat", "golden retriever"), ("a photo of a {}.",))
    assert sizes(pets) == (12, 4, 6)
    images, labels = load_split(pets, "test").tensors
    assert images.shape == (6, 3, 32, 32) and images.dtype == torch.uint8  # from 20 × 24 pixels
    assert sorted(labels.tolist()) == [0, 0, 0, 1, 1, 1]


def test_without_test_images_a_fifth_is_held_out_once_and_said(root, capsys):
    write_class_folders(root / "pets", {"train": 30}, CLASSES)
    write_suite(root, tasks={"pets": {"folder": str(root / "pets")}})
    pets = load_suite("mine").task("pets")
    assert sizes(pets) == (44, 4, 12)
    seen = [
        {str(source) for source in load_split(pets, split).pictures.sources}
        for split in ("train", "validation", "test")
    ]
    assert len(set.union(*seen)) == 60
    assert seen[2] == {str(source) for source in load_split(load_suite("mine").task("pets"), "test").pictures.sources}
    assert main(["check", "--suite", "mine"]) == 0
    said = capsys.readouterr().out
    assert "pets: no test images: a fifth of train is held out for testing, drawn with seed 2, always the same" in said
    rows = [line.split()[:8] for line in said.splitlines()[1:3]]
    assert rows == [["pets", "train", "48", "-", "2", "0", "0", "-"], ["pets", "test", "12", "-", "2", "0", "0", "0"]]


@pytest.mark.parametrize(
    ("classes", "names", "labels"),
    [(None, ("a Cat", "dog"), [0, 1]), (["dog", "A-cat"], ("dog", "A-cat"), [1, 0]), ({"a_Cat": "kitten", "dog": "hound"}, ("kitten", "hound"), [0, 1])],
)  # fmt: skip
def test_class_names_are_those_of_the_folders_or_of_the_file(root, classes, names, labels):
    write_class_folders(root / "pets", {"train": 13, "test": 1}, ["a_Cat", "dog"])
    write_suite(root, tasks={"pets": {"folder": "pets"} | ({"classes": classes} if classes else {})})
    pets = load_suite("mine").task("pets")
    assert pets.classes == names
    test = load_split(pets, "test")
    assert [
        test.labels[k].item() for k in np.argsort([source.parent.name for source in test.pictures.sources])
    ] == labels


def test_steps_or_epochs(root):
    write_class_folders(root / "pets", {"train": 20, "val": 2, "test": 1}, CLASSES)
    tasks = {"pets": {"folder": "pets"}, "uci": {"from": "mini"}}
    write_suite(root, tasks=tasks, recipe={"steps": 40})
    config = run_config("mine", "pets", "linear")
    assert (config.steps, config.warmup_steps, config.batch_size) == (40, 4, 64)  # mini's: 8 of 80 steps
    write_suite(root, tasks=tasks, recipe={"epochs": 3, "batch_size": 16})
    config = run_config("mine", "pets", "linear")
    assert (config.steps, config.warmup_steps) == (9, 0)  # 40 images: 3 batches, the last of 8
    train = len(load_split(load_suite("mini").task("uci"), "train"))
    assert run_config("mine", "uci", "linear").steps == 3 * -(-train // 16)
    write_suite(root, tasks=tasks, recipe={"epochs": {"uci": 1, "pets": 0.5}})
    assert run_config("mine", "pets", "linear").steps == 1
    with pytest.raises(ValueError, match="the recipe has both steps and epochs: give one"):
        own_suite(
            "mini", [own_task("pets", folder="pets")], load_suite("mini").control, recipe={"steps": 1, "epochs": 1}
        )


# Tables of `datasets`, and the hub


def table(count: int, names: list[str] | None = CLASSES, text: bool = False) -> datasets.Dataset:
    label = datasets.Value("string") if text else datasets.ClassLabel(names=names) if names else datasets.Value("int64")
    labels = [CLASSES[k % 2] if text else k % 2 for k in range(count)]
    pictures = [{"bytes": encoded(noise(count * 100 + k)), "path": None} for k in range(count)]
    features = datasets.Features({"img": datasets.Image(), "kind": label})
    return datasets.Dataset.from_dict({"img": pictures, "kind": labels}, features=features)


COLUMNS = {"image": "img", "label": "kind"}


def test_a_saved_table_by_its_columns(root):
    datasets.DatasetDict({"train": table(14), "validation": table(4), "test": table(6)}).save_to_disk(root / "pets")
    table(20, text=True).save_to_disk(root / "texts")
    entries = {name: {"dataset": {"path": name, **COLUMNS}} for name in ("pets", "texts")}
    write_suite(root, tasks=entries)
    suite = load_suite("mine")
    assert {task.classes for task in suite.tasks.values()} == {("cat", "dog")}
    assert sizes(suite.task("pets")) == (14, 4, 6)
    assert sizes(suite.task("texts")) == (15, 1, 4)
    before = load_split(suite.task("pets"), "test").labels
    assert before.bincount().tolist() == [3, 3]
    entries["pets"]["classes"] = entries["texts"]["classes"] = ["Dog", "Cat"]  # labels follow the names
    write_suite(root, tasks=entries)
    assert torch.equal(load_split(load_suite("mine").task("pets"), "test").labels, 1 - before)


def test_an_image_folder_and_parquet_files(root):
    write_class_folders(root / "pets", {"train": 7, "test": 2}, CLASSES)
    (root / "flat").mkdir()
    for split in ("train", "test"):
        table(20).to_parquet(root / "flat" / f"{split}-00000-of-00001.parquet")
    tasks = [own_task("pets", dataset="pets"), own_task("flat", dataset={"path": "flat", **COLUMNS})]
    assert [task.classes for task in tasks] == [("cat", "dog")] * 2
    suite = own_suite("mini", tasks, load_suite("mini").control)
    assert sizes(suite.task("pets")) == (13, 1, 4)
    assert load_split(suite.task("pets"), "test")[:][0].shape == (4, 3, 32, 32)
    assert sizes(suite.task("flat")) == (18, 2, 20)


def test_a_repository_of_the_hub_names_its_classes(root, capsys):
    write_suite(root, tasks={"pets": {"hub": "someone/pets"}})
    with pytest.raises(
        FileNotFoundError, match=r"mine.yaml: the data set pets is not below .* not as someone/pets from"
    ):
        load_suite("mine")
    assert main(["check", "--suite", "mine"]) == 1
    assert "pets: not found: python -m taujp_core.datasets download --suite mine" in capsys.readouterr().out
    copied = small_task("pets", *CLASSES)
    copied = Task(**{**vars(copied), "source": type(copied.source)("pets", Hub("someone/pets"))})
    pairs = [(encoded(noise(k)), k % 2) for k in range(20)]
    write_hub_copy(copied, root, {"train": pairs, "test": pairs[:4]}, CLASSES)
    pets = load_suite("mine").task("pets")
    assert (pets.classes, sizes(pets)) == (("cat", "dog"), (18, 2, 4))
    assert task_identity(pets)["source"]["commit"].startswith("0123456789")


# Pictures in Python


class Pairs(Dataset):
    def __init__(self, images: list, labels: list):
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple:
        return self.images[index], self.labels[index]


def test_tensors_and_datasets_without_any_file(root):
    images, labels = some_images(20), torch.arange(20) % 2
    tensors = own_task("tensors", CLASSES, train=(images, labels), test=(images[:6, :1], labels[:6].tolist()))
    pils = own_task("pils", CLASSES, train=Pairs([noise(k) for k in range(20)], [k % 2 for k in range(20)]))
    stacked = own_task(
        "stacked", CLASSES, train=TensorDataset(images, labels), val=TensorDataset(images[:3], labels[:3])
    )
    suite = own_suite("mini", [tensors, pils, stacked], load_suite("mini").control, recipe={"steps": 2})
    assert [sizes(task) for task in suite.tasks.values()] == [(18, 2, 6), (15, 1, 4), (16, 3, 4)]
    for task in suite.tasks.values():
        got, found = load_split(task, "test").tensors
        assert got.shape[1:] == (3, 32, 32) and len(got) == len(found)
    same = own_suite("mini", [own_task("small", CLASSES, train=(some_images(20, 32), labels))], suite.control)
    assert isinstance(load_split(same.task("small"), "train").pictures, torch.Tensor)
    assert as_suite(suite) is suite
    assert run_config(suite, "pils", "linear").warmup_steps == 0  # of 2 steps


@pytest.mark.parametrize("part", ["train", "."])
def test_what_a_run_sees_is_part_of_its_identity(root, part):
    write_class_folders(root / "pets", {part: 13}, CLASSES)
    images, labels = some_images(20), torch.arange(20) % 2
    changed = images.clone()
    changed[3, 0, 0, 0] ^= 1

    of_tensors = [task_identity(own_task("t", CLASSES, train=(x, labels))) for x in (images, images.clone(), changed)]
    assert of_tensors[0] == of_tensors[1] != of_tensors[2]
    assert task_identity(own_task("t", CLASSES, train=(images, 1 - labels))) != of_tensors[0]
    before = task_identity(own_task("pets", folder="pets"))
    path = root / "pets" / part / "cat/003.png"
    assert task_identity(own_task("pets", folder="pets")) == before
    original = path.read_bytes()
    whole = Image.open(path).copy()
    whole.putpixel((0, 0), (1, 2, 3))
    whole.save(path)
    assert task_identity(own_task("pets", folder="pets")) != before
    path.write_bytes(original)
    assert task_identity(own_task("pets", folder="pets")) == before
    shutil.move(root / "pets", root / "elsewhere")
    assert task_identity(own_task("pets", folder="elsewhere")) == before  # the same files in another place
    path = root / "elsewhere" / part / "cat/003.png"
    path.rename(path.with_name("300.png"))
    assert task_identity(own_task("pets", folder="elsewhere")) != before


def test_the_benchmarks_layout_decides_which_pictures_are_in_which_split(root):
    """EuroSAT's published splits, and those that are drawn here where only its pictures are there, are other pictures; a
    data set that is not there yet is the copy that a download brings."""
    task = load_suite("clip8-b32", complete=False).task("eurosat")
    source = task_identity(task)["source"]
    assert source["layout"] == "hub" and source["parts"] == ["train", "test"]
    (root / "eurosat/2750").mkdir(parents=True)
    drawn = task_identity(task)["source"]
    assert drawn == {**source, "layout": "2750", "parts": ["train", "val", "test"]}
    (root / "EuroSAT_splits/train").mkdir(parents=True)
    assert task_identity(task)["source"] == {**source, "layout": "train"}


# Mixtures


def test_tasks_of_all_suites_mix_in_one(root):
    write_class_folders(root / "pets", {"train": 10, "val": 1, "test": 1}, CLASSES)
    tasks = {
        "digits": {"from": "mini/mnist", "templates": ["the digit {}."]},
        "eurosat": {"from": "clip8"},
        "pets": {"folder": "pets"},
    }
    write_suite(root, model="ViT-B-32-quickgelu", pretrained="openai", tasks=tasks, recipe={"steps": 20})
    suite = load_suite("mine")
    assert {task.image_size for task in suite.datasets().values()} == {224}
    images, labels = load_split(suite.task("digits"), "test")[:2]
    assert images.shape == (2, 3, 224, 224)
    of_mini, labels_of_mini = load_split(load_suite("mini").task("mnist"), "test")[:2]
    assert torch.equal(labels, labels_of_mini)
    small = torch.nn.functional.avg_pool2d(images.float(), 7)
    assert (small - of_mini.float()).abs().mean() < 12  # the same scan, larger
    assert suite.task("digits").templates == ("the digit {}.",)
    assert suite.task("eurosat").source == load_suite("clip8-b32").task("eurosat").source
    assert (suite.recipe["peak_lr"]["linear"], suite.recipe["warmup_steps"]) == (1e-5, 5)  # the paper's, 500 of 2000
    mixed = own_suite("mini", [load_suite("clip8-b32").task("dtd"), suite.task("pets")], suite.control)
    assert {task.image_size for task in mixed.datasets().values()} == {32}


@pytest.mark.parametrize("model", ["ViT-L-14-336", "ViT-B-16-SigLIP", "RN50x4"])
def test_the_size_of_pictures_is_the_models(root, model):
    suite = own_suite(model, [load_suite("mini").task("uci")], load_suite("mini").control)
    assert suite.control.image_size == open_clip.get_model_config(model)["vision_cfg"]["image_size"]


# Pictures without labels


def test_unlabelled_pictures_of_a_folder(root):
    write_class_folders(root / "pets", {"any": 4}, CLASSES)
    noise(99, 50, 41).save(root / "pets/large.jpg")
    images = load_images(root / "pets", 32)
    assert images.shape == (9, 3, 32, 32) and images.dtype == torch.uint8
    few = load_images(str(root / "pets"), 32, most=4)
    assert torch.equal(few, images[:4]) and len(few.unique(dim=0)) == 4
    (root / "pets/any/cat/000.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"cat/000.png cannot be decoded"):
        load_images(root / "pets", 32)
    with pytest.raises(FileNotFoundError, match=r"the folder .*/nowhere does not exist"):
        load_images(root / "nowhere", 32)
    (root / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty has no pictures: accepted are files that end in \.jpg"):
        load_images(root / "empty", 32)
    with pytest.raises(ValueError, match="most must be at least 1 image, not 0"):
        load_images(root / "pets", 32, most=0)


# The page about it


def test_the_suite_file_and_the_hub_of_the_page(root):
    """What the page's own test cannot run, for it needs a network: with a small copy in the place of the hub's."""
    page = (Path(__file__).parents[2] / "docs/own_data.md").read_text(encoding="utf-8")
    write_class_folders(root / "pets", {"train": 6}, CLASSES)
    (root / "holidays").mkdir()
    (root / "holidays" / "beach.png").write_bytes(encoded(noise(0)))
    cifar = Task("cifar", tuple(CLASSES), ("{}",), 32, Published("cifar", Hub("uoft-cs/cifar10")))
    copy = write_hub_copy(cifar, root, {"train": [(encoded(noise(k)), k % 2) for k in range(20)]}, CLASSES)
    for path in (copy / "data").glob("*.parquet"):
        datasets.Dataset.from_parquet(str(path)).rename_column("image", "img").to_parquet(path)
    (suite_file,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    entries = yaml.safe_load(suite_file)
    assert entries["tasks"].pop("signs") == {"from": "clip8/gtsrb"}
    write_suite(root, **entries | {"model": "mini", "pretrained": None, "control": {"shapes": {"from": "mini"}}})
    config = run_config(load_suite("mine"), "pets", "taujp-efficient")
    assert config.task == "pets" and config.method == "taujp-efficient"
    assert [*config.suite.auxiliary] == ["holidays", "dead-leaves"]
    (hub,) = re.findall(r"<!-- not run: needs a network -->\n```python\n(.*?)```", page, re.DOTALL)
    given = {"own_task": own_task}
    exec(hub, given)
    assert given["cifar"].classes == load_suite("mine").task("pets").classes == tuple(CLASSES)
