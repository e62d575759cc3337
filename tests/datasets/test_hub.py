"""Data sets as copies of repositories of the hub, and their download from a hub that the test serves."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import datasets
import huggingface_hub
import pytest
import torch
from fake_hub import FakeHub
from written import COMMIT, encoded, noise, small_task, write_class_folders, write_hub_copy

from taujp_core.datasets import load_split
from taujp_core.datasets.load import find
from taujp_core.datasets.sources import hub
from taujp_core.datasets.sources.published import Published
from taujp_core.datasets.sources.tables import Encoded
from taujp_core.files import read_json
from taujp_core.tasks import Task

CLASSES = ["ant", "bee", "cat"]
TASK = small_task("pets", *CLASSES)


def with_hub(**change) -> Task:
    return replace(TASK, source=Published("pets", replace(TASK.source.hub, **change)))


def download(task: Task, root: Path) -> Path:
    return hub.download(task.name, task.source.hub, root)


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TAUJP_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def pairs(count: int, start: int = 0) -> list[tuple[bytes, int]]:
    return [(encoded(noise(start + k)), k % 3) for k in range(count)]


def test_hub_and_folders_give_the_same_tensors(root, tmp_path, monkeypatch):
    write_class_folders(root / "pets", {"train": 10, "test": 4}, CLASSES)
    folders = {split: load_split(TASK, split).tensors for split in ("train", "validation", "test")}
    files = {split: find(TASK, split) for split in ("train", "test")}
    splits = {
        split: [
            (source.read_bytes(), label)
            for source, label in zip(data.pictures.sources, data.labels.tolist(), strict=True)
        ]
        for split, data in files.items()
    }
    monkeypatch.setenv("TAUJP_DATA", str(tmp_path / "other"))
    write_hub_copy(TASK, tmp_path / "other", splits, CLASSES)
    for split, (images, labels) in folders.items():
        data = load_split(TASK, split)
        assert "someone/pets at 0123456789ab" in data.pictures.title
        assert torch.equal(data.tensors[0], images)
        assert torch.equal(data.tensors[1], labels)
        assert images.shape == ({"train": 27, "validation": 3, "test": 12}[split], 3, 16, 16)


def test_sources_are_encoded_pictures_looked_up_when_asked_for(root):
    written = pairs(5)
    write_hub_copy(TASK, root, {"train": written, "test": pairs(3, 10)}, CLASSES)
    sources = find(TASK, "train").pictures.sources
    assert isinstance(sources, Encoded)
    assert [sources[k] for k in range(len(sources))] == [data for data, _ in written]


def test_a_repository_with_other_label_numbers_goes_by_names(root):
    written = [(encoded(noise(k)), k % 3) for k in range(6)]
    write_hub_copy(TASK, root, {"train": written}, ["Cat", "ant", "bee"])
    assert find(TASK, "train").labels.tolist() == [2, 0, 1, 2, 0, 1]


def test_a_repository_with_other_names_keeps_its_numbers(root):
    write_hub_copy(TASK, root, {"train": pairs(4)}, ["ant, pismire", "bee, Apis", "cat, Felis"])
    assert find(TASK, "train").labels.tolist() == [0, 1, 2, 0]


def test_a_folder_wins_over_the_copy(root):
    write_hub_copy(TASK, root, {"train": pairs(4)}, CLASSES)
    write_class_folders(root / "pets", {"train": 2, "test": 1}, CLASSES)
    assert len(find(TASK, "train")) == 6


def test_an_unknown_column_is_named(root):
    write_hub_copy(TASK, root, {"train": pairs(4)}, CLASSES)
    for column, source in (("img", {"image": "img"}), ("fine_label", {"label": "fine_label"})):
        task = with_hub(**source)
        with pytest.raises(ValueError, match=f"has no column '{column}', which the suite names: it has image, label"):
            find(task, "train")
    task = with_hub(image="label", label="image")
    with pytest.raises(ValueError, match="'label' are no images: "):
        find(task, "train")


def test_a_label_outside_the_classes_is_named(root):
    write_hub_copy(TASK, root, {"train": [*pairs(4), (encoded(noise(9)), 3)]}, [*CLASSES, "dog"])
    with pytest.raises(ValueError, match="the label column of this copy of pets has 4 classes, pets has 3"):
        find(TASK, "train")
    write_hub_copy(TASK, root, {"test": [*pairs(4), (encoded(noise(9)), None)]}, CLASSES)
    with pytest.raises(ValueError, match="'label' of row 4 is empty: every picture needs a label"):
        find(TASK, "test")


def test_an_empty_and_a_missing_split_are_named(root):
    write_hub_copy(TASK, root, {"train": pairs(4), "test": []}, CLASSES)
    with pytest.raises(
        ValueError, match=r"test-\*.parquet is empty or damaged, delete the folder and download it again"
    ):
        find(TASK, "test")
    next(root.rglob("train-*.parquet")).unlink()
    with pytest.raises(FileNotFoundError, match=r"has no file data/train-\*.parquet: delete the folder and download"):
        find(TASK, "train")


def test_a_truncated_table_and_a_truncated_picture_are_named(root):
    folder = write_hub_copy(TASK, root, {"train": pairs(4), "test": [(encoded(noise(0))[:200], 0)]}, CLASSES)
    with pytest.raises(ValueError, match=r"picture 0 of pets test in someone/pets at .* cannot be decoded"):
        find(TASK, "test")[[0]]
    file = folder / "data/train-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(ValueError, match="is empty or damaged, delete the folder and download it again"):
        find(TASK, "train")


def test_another_revision_is_another_copy(root):
    write_hub_copy(TASK, root, {"train": pairs(4)}, CLASSES)
    other = with_hub(revision="refs/convert/parquet")
    with pytest.raises(FileNotFoundError, match="the data set pets is not below"):
        find(other, "train")
    write_hub_copy(other, root, {"train": pairs(5)}, CLASSES)
    assert (len(find(TASK, "train")), len(find(other, "train"))) == (4, 5)


@pytest.fixture
def served(tmp_path, monkeypatch, request):
    copy = write_hub_copy(TASK, tmp_path / "server", {"train": pairs(6), "test": pairs(3, 10)}, CLASSES)
    files = {f"data/{path.name}": path.read_bytes() for path in sorted((copy / "data").iterdir(), reverse=True)}
    fake = FakeHub({**files, "README.md": b"---\n", "data/extra-0.parquet": b"not asked for"})
    monkeypatch.setattr(huggingface_hub, "HfApi", fake.api)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    yield fake
    fake.stop()


def test_download_fetches_what_the_suite_names(root, served):
    folder = download(TASK, root)
    assert sorted(served.sent) == ["README.md", "data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"]
    assert read_json(folder / hub.RECORD) == {"repo": "someone/pets", "commit": COMMIT, "complete": True}
    assert (len(find(TASK, "train")), len(find(TASK, "test"))) == (6, 3)
    served.sent.clear()
    download(TASK, root)
    assert served.sent == []


def test_a_download_that_was_stopped_goes_on_with_its_commit(root, served):
    moving = with_hub(revision="main")
    served.refused = {"data/test-00000-of-00001.parquet"}
    with pytest.raises(
        PermissionError, match=r"someone/pets wants consent: accept its terms at http://.*, then log in"
    ):
        download(moving, root)
    with pytest.raises(FileNotFoundError, match="is not below"):
        find(moving, "train")
    served.refused, served.sha = set(), "f" * 40  # somebody commits to main meanwhile
    served.sent.clear()
    folder = download(moving, root)
    assert "data/train-00000-of-00001.parquet" not in served.sent
    assert len(find(moving, "test")) == 3
    assert read_json(folder / hub.RECORD)["commit"] == COMMIT


@pytest.mark.parametrize("name", ["data/train-00000-of-00001.parquet", "README.md"])
def test_a_file_of_the_right_length_with_another_checksum_does_not_count(root, served, name):
    served.damaged = {name}
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"{name} of someone/pets came damaged .* call the download again"):
            download(TASK, root)
        assert not list(root.rglob(Path(name).name))
        with pytest.raises(FileNotFoundError, match="is not below"):
            find(TASK, "train")
    served.damaged = set()
    download(TASK, root)
    assert len(find(TASK, "train")) == 6


def test_of_two_downloads_at_once_the_second_waits(root, served):
    with ThreadPoolExecutor(4) as pool:
        folders = {*pool.map(lambda _: download(TASK, root), range(4))}
    assert len(folders) == 1
    assert sorted(served.sent) == ["README.md", "data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"]


@pytest.mark.parametrize(
    ("status", "headers", "sentence"),
    [
        (429, {"Retry-After": "120"}, r"wants fewer requests \(429\): call the download again after 120 seconds"),
        (503, {}, r"is not available \(503\): call the download again later, it goes on where it was"),
        (500, {}, "answers with the error 500"),
    ],
)
def test_a_busy_hub_is_told_as_what_it_is(root, served, monkeypatch, status, headers, sentence):
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    served.status = status, headers
    with pytest.raises(ConnectionError, match=sentence) as caught:
        download(TASK, root)
    assert "\n" not in str(caught.value)


def test_what_the_hub_does_not_have_is_named(root, served):
    with pytest.raises(
        ValueError, match=r"someone/pets at 0123456789ab has no file data/dev-\*, which the suite names"
    ):
        download(with_hub(test="data/dev-*"), root)
    with pytest.raises(ValueError, match="someone/pets at revision other is not to be had from"):
        download(with_hub(revision="other"), root)
    assert not list(root.rglob("*.json"))


def test_without_a_network_one_sentence_says_what_is_needed(root, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(huggingface_hub, "HfApi", partial(huggingface_hub.HfApi, endpoint="http://127.0.0.1:9"))
    with pytest.raises(
        ConnectionError, match=r"^pets needs someone/pets from http://127.0.0.1:9, which cannot be reached"
    ):
        download(TASK, root)
    assert not list(root.rglob("*.parquet"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="cannot be reached"):
        download(TASK, root)


def test_tables_are_kept_below_the_data_folder(root):
    write_hub_copy(TASK, root, {"train": pairs(4)}, CLASSES)
    table = find(TASK, "train").pictures.sources.table
    assert isinstance(table, datasets.Dataset)
    assert all(Path(file["filename"]).is_relative_to(root / "hub/cache") for file in table.cache_files)
    assert table.cache_files
