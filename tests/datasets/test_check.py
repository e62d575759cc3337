"""`python -m taujp_core.datasets check` and `download`, on small suites that are right, wrong or not there."""

import shutil
from functools import partial
from pathlib import Path

import huggingface_hub
import pytest
from fake_hub import FakeHub
from PIL import Image
from written import (
    encoded,
    noise,
    small_task,
    write_class_folders,
    write_hub_copy,
    write_mnist,
    write_suite,
    write_svhn,
)

from taujp_core.datasets.__main__ import main
from taujp_core.datasets.check import check_task
from taujp_core.suites import load_suite

DIGITS = [str(k) for k in range(10)]
PETS = small_task("pets", "ant", "bee", "cat", train_images=15, test_images=6)
MNIST = small_task("mnist", *DIGITS, train_images=20, test_images=10)
FLOWERS = small_task("flowers", "rose", "lily", train_images=4, test_images=2)
SVHN = small_task("svhn", *DIGITS, test_images=10)


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A suite `small` of folders and a hub copy, a suite `formats` of published formats too, all right."""
    root = tmp_path / "data"
    monkeypatch.setenv("TAUJP_DATA", str(root))
    monkeypatch.setenv("TAUJP_SUITES", str(tmp_path / "suites"))
    write_suite(tmp_path / "suites", "small", [PETS], FLOWERS)
    write_suite(tmp_path / "suites", "formats", [PETS, MNIST, FLOWERS], SVHN)
    write_class_folders(root / "pets", {"train": 5, "test": 2}, [*PETS.classes])
    write_mnist(root)
    write_svhn(root)
    splits = {"train": range(4), "test": range(10, 12)}
    pairs = {split: [(encoded(noise(k)), k % 2) for k in seeds] for split, seeds in splits.items()}
    write_hub_copy(FLOWERS, root, pairs, [*FLOWERS.classes])
    return root


def checked(capsys, suite: str = "small") -> tuple[int, list[str]]:
    code = main(["check", "--suite", suite])
    return code, capsys.readouterr().out.splitlines()


def test_all_is_well(root, capsys):
    code, lines = checked(capsys, "formats")
    assert code == 0
    assert [line.split()[:8] for line in lines[1:9]] == [
        ["pets", "train", "15", "15", "3", "0", "0", "-"],
        ["pets", "test", "6", "6", "3", "0", "0", "0"],
        ["mnist", "train", "20", "20", "10", "0", "0", "-"],
        ["mnist", "test", "10", "10", "10", "0", "0", "0"],
        ["flowers", "train", "4", "4", "2", "0", "0", "-"],
        ["flowers", "test", "2", "2", "2", "0", "0", "0"],
        ["svhn", "train", "20", "-", "10", "0", "0", "-"],
        ["svhn", "test", "10", "10", "10", "0", "0", "0"],
    ]
    assert lines[1].endswith(str(root / "pets"))
    assert lines[5].endswith("someone/flowers at 0123456789ab")
    assert lines[-1] == "All 4 data sets of formats are there and whole, with no test image in train or validation."
    assert {line.index(start) for line, start in zip(lines[:5], ("found", *["/"] * 4), strict=True)} == {
        lines[0].index("found")
    }


def test_a_missing_data_set_is_told_with_the_command_that_gets_it(root, capsys):
    shutil.rmtree(root / "pets")
    code, lines = checked(capsys)
    assert code == 1
    get = f"python -m taujp_core.datasets download --suite small --root {root}"
    assert f"pets: not found: {get} --tasks pets" in lines
    assert lines[-1] == f"Of 2 data sets of small, 1 is missing: get what is missing by `{get}`."


def test_wrong_counts_and_empty_classes(root, capsys):
    for file in (root / "pets/test/bee").iterdir():
        file.unlink()
    (root / "pets/train/ant/000.png").unlink()
    code, lines = checked(capsys)
    assert code == 1
    assert "pets: train has 14 images, published are 15" in lines
    assert "pets: test has 4 images, published are 6" in lines
    assert "pets: 1 of 3 classes of test are without images: bee" in lines
    assert lines[-1] == "Of 2 data sets of small, 1 has problems."


def test_unreadable_files_are_counted_and_named(root, capsys):
    for k in range(5):
        path = root / f"pets/train/cat/{k:03}.png"
        path.write_bytes(path.read_bytes()[:300])
    (root / "pets/train/ant/003.png").write_text("no picture")
    code, lines = checked(capsys)
    assert code == 1
    (line,) = [line for line in lines if "unreadable:" in line]
    assert line.startswith("pets: 6 of 15 images of train are unreadable: ")
    assert f"{root}/pets/train/ant/003.png cannot be decoded" in line
    assert line.endswith(", …")
    assert lines[1].split()[:8] == ["pets", "train", "15", "15", "3", "0", "6", "-"]


def test_test_images_in_train_are_found_by_their_pixels(root, capsys):
    # Another format and another name; the pixels are the same.
    noise(1).save(root / "pets/test/cat/leak.bmp")
    code, lines = checked(capsys)
    assert code == 1
    leaked, first = root / "pets/test/cat/leak.bmp", root / "pets/train/ant/000.png"
    assert f"pets: 1 of 7 test images stand in train or validation: {leaked} is {first}" in lines
    assert lines[2].split()[7] == "1"


def test_twins_within_a_split_are_no_leak_nor_are_other_shapes(root, capsys):
    shutil.copy(root / "pets/train/ant/000.png", root / "pets/train/ant/001.png")
    # The same bytes in another shape are another picture.
    Image.frombytes("RGB", (20, 24), noise(1).tobytes()).save(root / "pets/test/ant/000.png")
    code, _ = checked(capsys)
    assert code == 0


def test_a_leak_between_hub_splits_is_named(root, capsys):
    pairs = {
        "train": [(encoded(noise(k)), k % 2) for k in range(4)],
        "test": [(encoded(noise(k)), k % 2) for k in (3, 8)],
    }
    write_hub_copy(FLOWERS, root, pairs, [*FLOWERS.classes])
    code, lines = checked(capsys)
    assert code == 1
    where = "in someone/flowers at 0123456789ab"
    twin = f"picture 0 of flowers test {where} is picture 3 of flowers train {where}"
    assert f"flowers: 1 of 2 test images stand in train or validation: {twin}" in lines


def test_a_damaged_part_does_not_stop_the_rest(root, capsys):
    path = root / "svhn/test_32x32.mat"
    path.write_bytes(path.read_bytes()[:1000])
    (root / "MNIST/raw/train-labels-idx1-ubyte").unlink()
    code, lines = checked(capsys, "formats")
    assert code == 1
    assert any(line.startswith(f"svhn: {path} is damaged") for line in lines)
    assert any(line.startswith("mnist: neither ") for line in lines)
    assert lines[-1] == "Of 4 data sets of formats, 2 have problems."
    assert sum(line.startswith("pets ") for line in lines) == 2


def test_a_root_and_unknown_names(root, capsys, tmp_path):
    elsewhere = tmp_path / "with space"
    assert main(["check", "--suite", "small", "--root", str(elsewhere)]) == 1
    assert f"--root '{elsewhere}' --tasks pets" in capsys.readouterr().out
    assert main(["check", "--suite", "smal"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("unknown suite 'smal': accepted are clip14-b16, ")
    assert "formats, mini, " in said and ", small, " in said
    assert main(["download", "--suite", "formats", "--tasks", "dogs"]) == 1
    assert capsys.readouterr().err == "unknown task 'dogs': accepted are pets, mnist, flowers, svhn\n"


def test_download_gets_what_is_missing_and_tells_the_rest(root, capsys, monkeypatch, tmp_path):
    shutil.rmtree(root / "pets")
    shutil.rmtree(root / "hub")
    splits = {"train": [(encoded(noise(k)), k % 3) for k in range(15)], "test": [(encoded(noise(99)), 0)]}
    copy = write_hub_copy(PETS, tmp_path / "server", splits, [*PETS.classes])
    fake = FakeHub({f"data/{path.name}": path.read_bytes() for path in (copy / "data").iterdir()})
    monkeypatch.setattr("huggingface_hub.HfApi", fake.api)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    code = main(["download", "--suite", "formats"])
    fake.stop()
    said = capsys.readouterr()
    assert code == 1
    assert said.out.splitlines()[1] == f"mnist: is there, {root / 'MNIST'}"
    assert said.out.startswith(f"pets: downloaded to {root / 'hub/someone/pets'}")
    assert said.err.startswith(
        "someone/flowers at revision 0123456789abcdef0123456789abcdef01234567 is not to be had from"
    )
    assert main(["download", "--suite", "formats", "--tasks", "pets", "svhn"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "pets: is there, someone/pets at 0123456789ab"


def test_the_control_may_be_left_out(root, capsys):
    control = load_suite("formats", complete=False).control.name
    for flags, there in (([], True), (["--without-control"], False)):
        assert main(["download", "--suite", "formats", *flags]) == 0
        assert (f"\n{control}: is there" in capsys.readouterr().out) is there
    with pytest.raises(SystemExit):
        main(["download", "--suite", "formats", "--without-control", "--tasks", "pets"])


def test_without_a_network_one_sentence_says_what_is_needed_and_from_where(root, capsys, monkeypatch):
    shutil.rmtree(root / "hub")
    (root / "pets").rename(root / "cats")
    monkeypatch.setattr("huggingface_hub.HfApi", partial(huggingface_hub.HfApi, endpoint="http://127.0.0.1:9"))
    assert main(["download", "--suite", "formats"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pets needs someone/pets from http://127.0.0.1:9, which cannot be reached (")
    assert line.endswith("of a layout that docs/reproduce.md names; missing too: flowers")


@pytest.mark.parametrize("name", ["uci", "signs"])
def test_shipped_and_rendered_tasks_are_whole(name):
    finding = check_task(load_suite("mini").task(name), "mini")
    assert finding.problems == []
    assert [row[1] for row in finding.rows] == ["train", "test"]
    assert finding.rows[1][7] == "0"
