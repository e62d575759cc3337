"""The data sets: the same bytes on every machine, splits that do not overlap, a cache that can be lost."""

import hashlib

import pytest
import torch

from taujp_core.datasets import load_split
from taujp_core.datasets.sources import rendered
from taujp_core.datasets.sources.rendered import RENDERERS, SCANS, Package, package_images, render_task
from taujp_core.mini import characters, shapes, signs, terrain, textures
from taujp_core.suites import load_suite
from taujp_core.tasks import Task

SUITE = load_suite("mini")
SHA256 = {
    "mnist train": "fcdc73241c830507",
    "mnist test": "a907a0382e7a7391",
    "fashion train": "0383246109dce457",
    "fashion test": "b259068337f54681",
    "uci train": "8b7a9ac3457e8a1f",
    "uci test": "085add014e477049",
    "street train": "0971d2ba45e9a7a7",
    "street test": "97cb712ba68d893b",
    "letters train": "df458b7b60857d9d",
    "letters test": "c2285c77dea1cf6e",
    "textures train": "f727989293336283",
    "textures test": "5ee70eb53e88e708",
    "signs train": "1333fea6f5fb2a1e",
    "signs test": "5a9ec4ebd5bbf92a",
    "terrain train": "e384f0ed76b47531",
    "terrain test": "27f969a54cfc5571",
    "shapes train": "3e1b3c93e05a3260",
    "shapes test": "5f98d9901e9d4184",
}


def digest(images: torch.Tensor, labels: torch.Tensor) -> str:
    return hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", [*SCANS, *RENDERERS])
def test_bytes_are_the_same_on_every_machine(name, split):
    task = SUITE.task(name)
    # Rendered anew, not read from the cache.
    images, labels = package_images(task, split) if name in SCANS else render_task(task, split)
    assert images.dtype == torch.uint8
    assert images.shape[1:] == (3, 32, 32)
    assert digest(images, labels) == SHA256[f"{name} {split}"]


@pytest.mark.parametrize("name", [*SCANS, *RENDERERS])
def test_splits_are_disjoint_and_hold_every_class(name):
    task = SUITE.task(name)
    parts = {split: load_split(task, split) for split in ("train", "validation", "test")}
    assert len(parts["validation"]) == (len(parts["train"]) + len(parts["validation"])) // 10
    seen: dict[bytes, str] = {}
    for split, part in parts.items():
        images, labels = part.tensors
        assert set(labels.tolist()) == set(range(len(task.classes)))
        for image in images:
            key = image.numpy().tobytes()
            assert seen.setdefault(key, split) == split, f"an image of {split} stands in {seen[key]}"


def test_classes_of_the_suite_stand_where_they_are_rendered():
    """A class has its renderer's name at its place, or a name that pre-training never used."""
    for name, module in {"shapes": shapes, "signs": signs, "terrain": terrain, "textures": textures}.items():
        ours, rendered = SUITE.task(name).classes, module.CLASSES
        assert len(ours) == len(rendered)
        for mine, theirs in zip(ours, rendered, strict=True):
            assert mine == theirs or mine not in rendered
    assert SUITE.task("letters").classes == characters.LETTERS
    assert len(SUITE.task("street").classes) == len(characters.DIGITS)


def test_a_damaged_cache_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path))
    monkeypatch.setattr(rendered, "RENDERED_TEST", 40)
    task = SUITE.task("signs")
    images, labels = package_images(task, "test")
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    again, labels_again = package_images(task, "test")
    assert torch.equal(images, again)
    assert torch.equal(labels, labels_again)
    assert file.stat().st_size > 40 * 3 * 32 * 32


def test_unknown_splits_and_pictures_are_named():
    with pytest.raises(ValueError, match="unknown split 'valid': accepted are train, validation, test"):
        load_split(SUITE.task("uci"), "valid")
    with pytest.raises(ValueError, match="unknown pictures of the package 'cars': accepted are mnist, "):
        load_split(Task("cars", ("a", "b"), ("{}",), 32, Package("cars")), "test")
