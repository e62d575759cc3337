"""What is read is what was made: pictures, labels, names, fair beginnings and identity, of small data sets of every source."""

import io
import itertools
import json
import os
import struct
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import numpy as np
import open_clip
import pytest
import timm.data
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import Dataset
from written import COMMIT, encoded, noise, write_class_folders, write_hub_copy, write_picture

from taujp_core.datasets import load_images, load_split, task_identity
from taujp_core.datasets.__main__ import main
from taujp_core.datasets.load import find
from taujp_core.datasets.pictures import Pictures, in_bytes
from taujp_core.datasets.sources import hub
from taujp_core.datasets.sources.hub import Hub
from taujp_core.datasets.split import Split, fair_order
from taujp_core.files import write_json
from taujp_core.suites import load_suite, own_suite, own_task
from taujp_core.tasks import Task

CONTROL = load_suite("mini").control
SOURCES = ("folders", "folders in folders", "linked folders", "table", "table of paths", "table of texts", "hub")
IN_MEMORY = ("tensors", "pictures")
PARTS = {"train": "train", "val": "validation", "test": "test"}  # their names, and those of splits


# Pictures: each a grey of its own, so that it is known again at any size.


def tiff12(level: int) -> bytes:
    """A TIFF of 16 × 16 pixels with 12 bits each, two of which stand in three bytes."""
    pair = bytes([level >> 4, (level & 15) << 4 | level >> 8, level & 255])
    data = pair * 128
    tags = [(256, 3, 16), (257, 3, 16), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 122), (277, 3, 1), (278, 3, 16), (279, 4, len(data))]  # fmt: skip
    entries = b"".join(
        struct.pack("<HHIHxx" if kind == 3 else "<HHII", tag, kind, 1, value) for tag, kind, value in tags
    )
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + data


def picture(level: int, bits: int) -> bytes:
    """A file of one grey, `level` of 255, in this many bits a channel; 24: three of 8."""
    if bits == 12:
        return tiff12(round(level / 255 * 4095))
    if bits == 1:
        return encoded(Image.new("1", (16, 16), int(level > 127)))
    if bits == 24:
        return encoded(Image.new("RGB", (16, 16), (level,) * 3))
    scale, kind = {8: (1, np.uint8), 16: (257, np.uint16)}[bits]
    return encoded(Image.fromarray(np.full((16, 16), level * scale, kind)))


def as_read(level: int, bits: int) -> int:
    return 255 * (level > 127) if bits == 1 else level


@dataclass(frozen=True)
class Made:
    """Class names, and for each part its pictures in order: a grey level, its bits, a label."""

    names: tuple[str, ...]
    parts: dict[str, list[tuple[int, int, int]]]


@st.composite
def data_sets(draw) -> Made:
    classes = draw(st.integers(1, 20))
    names = tuple(f"class_{k:02}" for k in draw(st.permutations(range(classes))))
    parts = {"train": range(12, 25) if classes < 4 else range(3, 7)}
    parts |= {part: range(1, 5) for part in ("val", "test") if draw(st.booleans())}
    kinds = draw(st.sampled_from([(8,), (1,), (12,), (16,), (24,), (8, 16, 12, 24)]))
    levels, made = itertools.cycle(range(0, 256, 3)), {}
    for part, sizes in parts.items():
        rows = [(next(levels), draw(st.sampled_from(kinds)), label) for label in range(classes) for _ in range(draw(st.sampled_from(sizes)))]  # fmt: skip
        made[part] = draw(st.permutations(rows)) if draw(st.booleans()) else rows
    return Made(names, made)


# Sources


class Items(Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        level, bits, label = self.rows[index]
        return Image.open(io.BytesIO(picture(level, bits))), label


def write_folders(root: Path, made: Made, source: str) -> Path:
    """Class folders; pictures in folders inside them, or class folders that are links."""
    for part, rows in made.parts.items():
        for number, (level, bits, label) in enumerate(rows):
            name = made.names[label]
            folder = root / "pets" / part / name
            if source == "linked folders" and not folder.exists():
                (root / "elsewhere" / part / name).mkdir(parents=True)
                folder.parent.mkdir(parents=True, exist_ok=True)
                folder.symlink_to(root / "elsewhere" / part / name)
            inside = folder / str(number % 3) if source == "folders in folders" else folder
            inside.mkdir(parents=True, exist_ok=True)
            (inside / f"{number:03}.{'TIF' if bits == 12 else 'png'}").write_bytes(picture(level, bits))
    return root / "pets"


def write_table(root: Path, made: Made, source: str) -> Path:
    tables = {}
    for part, rows in made.parts.items():
        files = [{"bytes": picture(level, bits), "path": None} for level, bits, _ in rows]
        labels, kind = [label for *_, label in rows], datasets.ClassLabel(names=list(made.names))
        if source == "table of texts":
            labels, kind = [made.names[label] for label in labels], datasets.Value("string")
        features, image = datasets.Features({"image": datasets.Image(), "label": kind}), files
        if source == "table of paths":
            (root / "files").mkdir(exist_ok=True)
            image = [str(root / "files" / f"{part}{number}") for number in range(len(rows))]
            for path, file in zip(image, files, strict=True):
                Path(path).write_bytes(file["bytes"])
            features = datasets.Features({"image": datasets.Value("string"), "label": kind})
        tables[part] = datasets.Dataset.from_dict({"image": image, "label": labels}, features=features)
    datasets.DatasetDict(tables).save_to_disk(root / "table")
    return root / "table"


def write_copy(root: Path, made: Made) -> Hub:
    source = Hub("someone/pets", COMMIT)
    folder = hub.copy_folder(source, root / "data")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(made.names))})
    for part, rows in made.parts.items():
        columns = {"image": [{"bytes": picture(*row[:2]), "path": None} for row in rows], "label": [row[2] for row in rows]}  # fmt: skip
        path = folder / "latest" / PARTS[part] / "0000.parquet"
        path.parent.mkdir(parents=True)
        datasets.Dataset.from_dict(columns, features=features).to_parquet(path)
    write_json(folder / hub.RECORD, {"repo": source.repo, "commit": COMMIT, "complete": True})
    return source


def task_of(root: Path, made: Made, source: str, classes: list[str] | None = None) -> Task:
    root.mkdir()
    if source == "tensors":
        images = {part: torch.tensor([as_read(*row[:2]) for row in rows], dtype=torch.uint8) for part, rows in made.parts.items()}  # fmt: skip
        parts = {part: (images[part][:, None, None, None].expand(-1, 3, 32, 32), [row[2] for row in rows]) for part, rows in made.parts.items()}  # fmt: skip
        task = own_task("pets", list(made.names), **parts)
    elif source == "pictures":
        task = own_task("pets", list(made.names), **{part: Items(rows) for part, rows in made.parts.items()})
    elif source == "hub":
        source = write_copy(root, made)
        task = own_task("pets", classes, hub={"repo": source.repo, "revision": source.revision})
    elif source.startswith("table"):
        task = own_task("pets", classes, dataset=str(write_table(root, made, source)))
    else:
        task = own_task("pets", classes, folder=str(write_folders(root, made, source)))
    return own_suite("mini", [task], CONTROL).task("pets")


def contents(task: Task, splits) -> Counter:
    """Grey level and class name of each picture."""
    found: Counter = Counter()
    for split in splits:
        images, labels = load_split(task, split).tensors
        assert images.dtype == torch.uint8 and images.shape[1:] == (3, 32, 32)
        assert torch.equal(images.amin((1, 2, 3)), images.amax((1, 2, 3)))
        found.update((level, task.classes[label]) for level, label in zip(images[:, 0, 0, 0].tolist(), labels.tolist(), strict=True))  # fmt: skip
    return found


def unfairness(labels: torch.Tensor) -> float:
    """By how many images a class is furthest from its proportion, over all beginnings."""
    here = torch.nn.functional.one_hot(labels).double()
    share = here.mean(0) * torch.arange(1, len(labels) + 1)[:, None]
    return (here.cumsum(0) - share).abs().max().item()


@pytest.mark.parametrize("source", [*SOURCES, *IN_MEMORY])
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=data_sets(), data=st.data())
def test_what_is_read_is_what_was_made(tmp_path_factory, source, made, data):
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAUJP_CACHE", str(root / "cache"))
        patch.setenv("TAUJP_DATA", str(root / "first/data"))
        spoken = [name.replace("_", " ") for name in made.names]
        # Names in an order of their own, where a source takes any: labels follow the names.
        classes = data.draw(st.sampled_from([None, spoken]))
        task = task_of(root / "first", made, source, classes)
        assert sorted(task.classes) == sorted(made.names if source in IN_MEMORY else spoken)
        if classes and source not in IN_MEMORY:
            assert list(task.classes) == classes

        def expected(parts) -> Counter:
            rows = [row for part in parts for row in made.parts[part]]
            name = made.names.__getitem__ if source in IN_MEMORY else spoken.__getitem__
            return Counter((as_read(level, bits), name(label)) for level, bits, label in rows)

        published = [part for part in ("val", "test") if part in made.parts]
        rest = [split for part, split in PARTS.items() if part not in published]
        for part in published:
            assert contents(task, [PARTS[part]]) == expected([part])
        assert contents(task, rest) == expected(["train"])

        for part, split in PARTS.items():
            labels = load_split(task, split).tensors[1]
            assert torch.equal(labels, load_split(task, split).tensors[1])
            if part in published:
                assert unfairness(labels) <= 0.5 + labels.bincount().max() / len(labels) * len(made.names) / 2 + 0.5

        identity = task_identity(task)
        patch.setenv("TAUJP_DATA", str(root / "second/data"))
        if source != "table of paths":  # files elsewhere are files of another name
            assert task_identity(task_of(root / "second", made, source, classes)) == identity
        part = data.draw(st.sampled_from(sorted(made.parts)))
        number = data.draw(st.integers(0, len(made.parts[part]) - 1))
        level, bits, label = made.parts[part][number]
        changed = [*made.parts[part]]
        changed[number] = (255 - level, bits, label)
        other = replace(made, parts={**made.parts, part: changed})
        patch.setenv("TAUJP_DATA", str(root / "third/data"))
        if source == "hub":  # a commit stays what it is
            return
        if source == "table of paths":
            (root / "first/files" / f"{part}{number}").write_bytes(picture(255 - level, bits))
            assert task_identity(task) != identity
        else:
            assert task_identity(task_of(root / "third", other, source, classes)) != identity


# The first N


@pytest.mark.parametrize("sizes", [[100] * 10, [1000, 10, 1], [7], [3, 0, 500, 20, 20], list(range(1, 21))])
def test_every_beginning_holds_each_class_in_its_proportion(sizes):
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    order = fair_order(labels)
    assert order.sort().values.tolist() == list(range(len(labels)))
    # A class is rounded by half an image, and so are all others, of whose error it takes its share.
    bound = 1 if len({*sizes}) == 1 else 0.5 + max(sizes) / sum(sizes) * len(sizes) / 2
    assert unfairness(labels[order]) <= bound
    assert torch.equal(order, fair_order(labels))
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    assert unfairness(labels[shuffled][fair_order(labels[shuffled])]) <= bound
    if len(sizes) == 10:
        assert labels[order][:10].unique().tolist() == list(range(10))
        assert not torch.equal(order[:10] % 100, order[10:20] % 100), "classes are not taken in their own order"


def test_whoever_takes_some_of_a_split_takes_a_fair_sample(tmp_path):
    labels = torch.arange(10).repeat_interleave(20)
    images = labels[:, None, None, None].expand(-1, 3, 32, 32).to(torch.uint8).contiguous()
    task = own_task("sorted", [f"class {k}" for k in range(10)], train=(images, labels), val=(images, labels), test=(images, labels))  # fmt: skip
    suite = own_suite("mini", [task], CONTROL)
    for split in PARTS.values():
        pictures, drawn = load_split(suite.task("sorted"), split).first(20).tensors
        assert drawn.bincount().tolist() == [2] * 10
        assert torch.equal(load_split(suite.task("sorted"), split)[:20][0], pictures), "so is the beginning itself"
        assert torch.equal(pictures[:, 0, 0, 0].long(), drawn)
        assert len(load_split(suite.task("sorted"), split).first(0)) == 200
    assert load_split(suite.task("sorted"), "train").first(30).images[:, 0, 0, 0].bincount().tolist() == [3] * 10


def test_the_first_of_mini_are_those_that_its_results_are_of():
    suite = load_suite("mini")
    for name in ("mnist", "street"):
        for split in PARTS.values():
            whole = load_split(suite.task(name), split)
            assert torch.equal(whole.first(40).images, whole.tensors[0][:40])
        published = find(suite.task(name), "test")
        assert torch.equal(load_split(suite.task(name), "test").tensors[1], published.tensors[1])


def test_a_picture_keeps_its_number_in_whatever_is_chosen_of_it():
    pictures = Split(Pictures("a table", [b"", b"", encoded(noise(2))], 16), torch.arange(3))
    part = pictures.subset(torch.tensor([2, 0])).subset(torch.tensor([1]))
    with pytest.raises(ValueError, match="picture 0 of a table cannot be decoded"):
        _ = part.tensors
    assert part.pictures.name(0) == "picture 0 of a table"


# More than 8 bits


def test_grey_of_more_bits_is_scaled_and_what_has_no_range_is_refused(tmp_path):
    ramp = np.linspace(0, 1, 64)[None].repeat(8, 0)
    eight = (ramp * 255).round().astype(np.uint8)
    sixteen = Image.fromarray((ramp * 65535).round().astype(np.uint16))
    for kind in ("PNG", "TIFF", "PPM", "JPEG2000"):
        read = np.asarray(in_bytes(Image.open(io.BytesIO(encoded(sixteen, kind)))))
        assert np.abs(read[..., 0].astype(int) - eight).max() <= 1, kind  # JPEG 2000 and rounding
    assert np.asarray(in_bytes(Image.open(io.BytesIO(tiff12(4095))))).min() == 255
    for array, said in ((ramp.astype(np.float32), "floating-point numbers"), ((ramp * 9).astype(np.int32), "whole numbers of 32 bits")):  # fmt: skip
        Image.fromarray(array).save(tmp_path / "a.tif")
        with pytest.raises(ValueError, match=f"a.tif cannot be decoded: it holds {said}, and nothing says which is white"):  # fmt: skip
            load_images(tmp_path, 16)


# Names or numbers


def pets(classes, names, tmp_path, labels=(0, 1, 2)) -> Task:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    rows = [(picture(10 * label, 8), label) for label in labels for _ in range(12)]
    columns = {"image": [{"bytes": data, "path": None} for data, _ in rows], "label": [label for _, label in rows]}
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(tmp_path / "pets")
    return own_suite("mini", [own_task("pets", classes, dataset=str(tmp_path / "pets"))], CONTROL).task("pets")


def test_classes_by_name_or_by_number_but_no_mixture(tmp_path, monkeypatch):
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path / "cache"))
    names = ["cat", "dog", "eel"]
    for classes in (["dog", "eel", "Cat"], ["eel", "cat", "dog"]):
        read = contents(pets(classes, names, tmp_path), PARTS.values())
        assert {(level, name.lower()) for level, name in read} == {(0, "cat"), (10, "dog"), (20, "eel")}
    read = contents(pets(["Katze", "Hund", "Aal"], names, tmp_path), PARTS.values())
    assert set(read) == {(0, "Katze"), (10, "Hund"), (20, "Aal")}
    for classes, unknown in ((["dog", "cat", "moray eel"], "eel"), (["cat", "hound", "eel"], "dog"), (["cat", "x", "y", "z"], "dog")):  # fmt: skip
        with pytest.raises(ValueError, match=f"'label' has the class '{unknown}', which is not among the classes of pets"):  # fmt: skip
            pets(classes, names, tmp_path)


def imagenet_copy(names: list[str]) -> list[int]:
    """Labels of a copy of ImageNet whose label column has these names, of one picture of each of some classes."""
    task = replace(load_suite("clip8-b32").control, image_size=16)
    rows = [(encoded(Image.new("RGB", (16, 16))), label) for label in range(0, 1000, 7)]
    source = Hub("someone/imagenet", COMMIT, "data/train-*.parquet", "data/test-*.parquet")
    task = replace(task, source=replace(task.source, hub=source))
    write_hub_copy(task, Path(os.environ["TAUJP_DATA"]), {"train": rows}, names)
    return find(task, "train").labels.tolist()


def test_imagenets_names_with_their_synonyms_count_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setenv("TAUJP_DATA", str(tmp_path / "a"))
    info = timm.data.ImageNetInfo("imagenet-1k")
    names = [info.index_to_description(k) for k in range(1000)]
    names = [f"{name}, {k}" if names.count(name) > 1 else name for k, name in enumerate(names)]  # two are a crane
    assert sum(name in open_clip.IMAGENET_CLASSNAMES for name in names) > 100, "some are CLIP's own"
    assert imagenet_copy(names) == list(range(0, 1000, 7))
    monkeypatch.setenv("TAUJP_DATA", str(tmp_path / "b"))
    with pytest.raises(ValueError, match=r"the label column of this copy of imagenet has its class '.*' at another number"):  # fmt: skip
        imagenet_copy(sorted(names))


# Holes and fractions in columns


@pytest.mark.parametrize(
    ("labels", "kind", "sentence"),
    [
        ([0.7, 1.6] * 6, "float64", "'label' of row 0 is '0.7': labels are whole numbers, or names"),
        ([0.0] * 11 + [float("nan")], "float64", "'label' of row 11 is 'nan'"),
        ([0] * 11 + [None], "int64", "'label' of row 11 is empty"),
        (["a"] * 11 + [None], "string", "'label' of row 11 is empty"),
        (["a", ""] * 6, "string", "'label' of row 1 is empty"),
        (["a", "NA"] * 6, "string", "has the class 'NA', which is not among the classes of pets"),
        ([[0, 1]] * 12, datasets.Sequence(datasets.Value("int64")), r"'label' of row 0 is '\[0, 1\]'"),
    ],
)
def test_a_label_that_is_none_is_named_with_its_row(tmp_path, labels, kind, sentence):
    kind = datasets.Value(kind) if isinstance(kind, str) else kind
    features = datasets.Features({"image": datasets.Image(), "label": kind})
    images = [{"bytes": picture(k, 8), "path": None} for k in range(12)]
    datasets.Dataset.from_dict({"image": images, "label": labels}, features=features).save_to_disk(tmp_path / "pets")
    with pytest.raises(ValueError, match=sentence) as caught:
        own_suite("mini", [own_task("pets", ["a", "b"], dataset=str(tmp_path / "pets"))], CONTROL)
    assert "\n" not in str(caught.value)


def test_columns_that_a_table_hides_or_leaves_empty(tmp_path, monkeypatch):
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path / "cache"))
    for hole in (False, True):
        images = [{"bytes": picture(k, 8), "path": None} for k in range(30)]
        images[17] = None if hole else images[17]
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("float32")})
        table = datasets.Dataset.from_dict({"image": images, "label": [k % 2 for k in range(30)]}, features=features)
        table = table.select(range(29, -1, -1)).with_format("numpy", columns=["label"])
        table.save_to_disk(tmp_path / f"pets{hole}")
        task = own_task("pets", ["a", "b"], dataset=str(tmp_path / f"pets{hole}"))
        if hole:
            with pytest.raises(ValueError, match=r"picture 12 of pets train in .* is missing: its place in the table"):
                own_suite("mini", [task], CONTROL)
        else:
            read = contents(own_suite("mini", [task], CONTROL).task("pets"), PARTS.values())
            assert read == Counter((k, "ab"[k % 2]) for k in range(30))


def test_a_path_in_a_table_starts_at_the_tables_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table/files").mkdir(parents=True)
    for k in range(30):
        (tmp_path / f"table/files/{k}.png").write_bytes(picture(k, 8))
    columns = {"image": [f"files/{k}.png" for k in range(30)], "label": [k % 2 for k in range(30)]}
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "table")
    task = own_task("pets", ["a", "b"], dataset=str(tmp_path / "table"))
    read = contents(own_suite("mini", [task], CONTROL).task("pets"), PARTS.values())
    assert read == Counter((k, "ab"[k % 2]) for k in range(30))
    (tmp_path / "table/files/7.png").unlink()
    with pytest.raises((FileNotFoundError, ValueError), match=r"table/files/7\.png does not exist"):
        own_suite("mini", [task], CONTROL)


# Folders


def counts(folder: Path) -> dict[str, int]:
    suite = own_suite("mini", [own_task("pets", folder=str(folder))], CONTROL)
    return {part: len(load_split(suite.task("pets"), split)) for part, split in PARTS.items()}


def test_parts_by_the_names_that_people_give_them(tmp_path):
    write_class_folders(tmp_path / "a", {"Training": 6, "valid": 2, "TEST": 3}, ["cat", "dog"])
    assert counts(tmp_path / "a") == {"train": 12, "val": 4, "test": 6}
    write_class_folders(tmp_path / "b", {"train": 6, "validation": 2, "dev": 2}, ["cat", "dog"])
    with pytest.raises(ValueError, match="two val parts, 'dev' and 'validation': keep one"):
        counts(tmp_path / "b")


def test_a_link_in_a_circle_ends_and_one_to_nowhere_is_named(tmp_path):
    write_class_folders(tmp_path / "a", {"train": 12}, ["cat", "dog"])
    (tmp_path / "a/train/cat/again").symlink_to(tmp_path / "a/train/cat")
    (tmp_path / "a/train/cat/all").symlink_to(tmp_path / "a")
    assert sum(counts(tmp_path / "a").values()) > 24  # the folder above comes once more, and no further
    assert len(load_images(tmp_path / "a/train/dog", 16)) == 12
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "z.png").symlink_to(tmp_path / "nowhere.png")
        with pytest.raises(
            ValueError, match=r"z\.png is a link to a file that does not exist: mend it or take it away"
        ):
            load_images(tmp_path / folder, 16)


def test_check_says_what_is_not_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TAUJP_SUITES", str(tmp_path / "suites"))
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "pets"
    write_class_folders(folder, {"train": 12, "test": 2, "unused": 3}, ["cat", "dog"])
    write_picture(folder / "train/loose.png", 900)
    write_picture(folder / "train/cat/.ipynb_checkpoints/a.png", 901)
    (folder / "train/dog/._0.png").write_bytes(b"\0\5\x16\7")
    (folder / "train/dog/notes.txt").write_text("a note")
    table = datasets.Dataset.from_dict({"image": [{"bytes": picture(k, 8), "path": None} for k in range(24)], "label": [0, 1] * 12}, features=datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])}))  # fmt: skip
    datasets.DatasetDict({"train": table, "unsupervised": table}).save_to_disk(tmp_path / "table")
    (tmp_path / "suites").mkdir()
    suite = {"model": "mini", "control": {"shapes": {"from": "mini"}}, "tasks": {"pets": {"folder": str(folder)}, "table": {"dataset": str(tmp_path / "table")}}}  # fmt: skip
    (tmp_path / "suites/mine.yaml").write_text(json.dumps(suite))
    main(["check", "--suite", "mine"])
    said = capsys.readouterr().out
    assert f"pets: not read, for they are no parts: the folders unused of {folder}" in said
    assert f"pets: not read, for they are in no class folder: 1 pictures in {folder / 'train'}" in said
    assert "pets: not read, for they are no pictures or hidden: 1 .txt, 2 hidden in train" in said
    assert f"table: not read, for they are no parts: the tables unsupervised of {tmp_path / 'table'}" in said


# The hub


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("latest/train/0.parquet", "train"),
        ("data/train-00000-of-00002-ab12.parquet", "train"),
        ("plain_text/test/0000.parquet", "test"),
        ("default/partial-train/0000.parquet", "train"),
        ("data/validation-00000-of-00001.parquet", "val"),
        ("Valid/a.parquet", "val"),
        ("test_run/train/a.parquet", "train"),
        ("contest.parquet", None),
        ("train/a.csv", None),
        ("train_test/a.parquet", None),
    ],
)
def test_a_file_of_the_hub_belongs_to_one_part(path, part):
    assert [name for name in PARTS if hub.is_of(path, Hub("someone/pets"), name)] == ([part] if part else [])
    own = Hub("someone/pets", train="*", test="late*")
    assert hub.is_of(path, own, "train") and hub.is_of(path, own, "test") == path.startswith("late")
