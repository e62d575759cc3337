"""The cache: what is damaged in it is made again, and where it cannot be, nothing stops."""

import os
import time
import warnings
from pathlib import Path

import pytest
import torch
from written import write_class_folders

import taujp_core.cache as cache
from taujp_core.cache import is_noted, note, read_cached, write_cached
from taujp_core.datasets.check import check_own
from taujp_core.datasets.sources import rendered
from taujp_core.datasets.sources.rendered import package_images
from taujp_core.models import zero_shot_head
from taujp_core.suites import load_suite, own_suite, own_task

TEMPLATES, NAMES = ("a {}",), ("kite", "green kite", "boat")
SIGNS = load_suite("mini").task("signs")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(rendered, "RENDERED_TEST", 20)
    return tmp_path / "cache"


def head(mini):
    return zero_shot_head(mini, NAMES, TEMPLATES)


def pictures(mini):
    return package_images(SIGNS, "test")[0]


def flip(file: Path, share: float) -> None:
    data = bytearray(file.read_bytes())
    data[int(share * (len(data) - 1))] ^= 0x40  # of a float32, also its exponent
    file.write_bytes(data)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.4, 0.7, 1.0])
@pytest.mark.parametrize("make", [head, pictures])
def test_a_flipped_bit_is_found_and_the_file_made_again(make, share, place, mini):
    made = make(mini)
    (file,) = place.rglob("*.safetensors")
    name = str(file.relative_to(place))
    before = read_cached(name)
    flip(file, share)
    assert read_cached(name) is None
    # Built twice: float32 sums may round otherwise in another place of the memory.
    assert torch.allclose(make(mini).double(), made.double(), rtol=1e-4, atol=1e-5)
    assert read_cached(name).keys() == before.keys()


def test_another_files_content_is_not_taken(place):
    write_cached("heads/one.safetensors", {"head": torch.ones(2)})
    (place / "heads/other.safetensors").write_bytes((place / "heads/one.safetensors").read_bytes())
    assert read_cached("heads/other.safetensors") is None
    assert torch.equal(read_cached("heads/one.safetensors")["head"], torch.ones(2))


def no_home(monkeypatch, tmp_path):
    for name in ("TAUJP_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])


def a_file_in_the_way(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path / "file" / "cache"))


def full(monkeypatch, tmp_path):
    def fsync(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)


def no_such_home(monkeypatch, tmp_path):
    monkeypatch.setenv("TAUJP_CACHE", "~nobody-of-this-name/cache")


@pytest.mark.parametrize(
    ("hinder", "reason"),
    [
        (no_home, "this user has no home folder, and so no folder for caches: set TAUJP_CACHE to one"),
        (a_file_in_the_way, "a file stands where a folder should be; set TAUJP_CACHE to another folder"),
        (full, "the disk is full; make room there, or set TAUJP_CACHE to another folder"),
        (no_such_home, "but there is no such home folder: give an absolute path"),
    ],
)
def test_a_cache_that_cannot_be_written_stops_nothing_and_is_said_once(
    hinder, reason, place, mini, tmp_path, monkeypatch
):
    expected = head(mini), pictures(mini)
    for file in place.rglob("*.safetensors"):
        file.unlink()
    hinder(monkeypatch, tmp_path)
    monkeypatch.setattr(cache, "SAID", set())
    write_class_folders(tmp_path / "pets", {"train": 20}, ["cat", "dog"])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        assert torch.allclose(head(mini), expected[0], rtol=1e-4, atol=1e-5)
        assert torch.equal(pictures(mini), expected[1])
        pets = own_task("pets", folder=str(tmp_path / "pets"))
        check_own(own_suite("mini", [pets], load_suite("mini").control).task("pets"))
        note("decoded/0123", "a note")
        assert not is_noted("decoded/0123")
    (sentence,) = [str(warning.message) for warning in said if "cache" in str(warning.message)]
    assert sentence.startswith("nothing is kept in the cache, and is made again each time: ")
    assert reason in sentence and "Errno" not in sentence


def test_what_killed_writers_left_goes_when_nobody_can_be_writing_it_any_more(place):
    write_cached("heads/one.safetensors", {"head": torch.ones(2)})
    left = [place / "heads" / f".two.safetensors.0123456{k}.part" for k in range(2)]
    for path in left:
        path.mkdir()
        (path / "two.safetensors").write_bytes(b"half")
    os.utime(left[0], (time.time() - 2 * 24 * 3600,) * 2)
    write_cached("heads/three.safetensors", {"head": torch.ones(2)})
    assert [path.exists() for path in left] == [False, True]
