"""Files: whole or not at all, and damaged ones named."""

from unittest.mock import patch

import pytest
import torch

from taujp_core.files import read_json, read_tensors, remove_temporaries, write_atomically, write_json, write_tensors


def test_tensors_and_metadata_come_back(tmp_path):
    tensors = {"a": torch.randn(3, 4), "b": torch.arange(5)}
    write_tensors(tmp_path / "deep" / "file.safetensors", tensors, {"step": 3, "names": ["x"]})
    read, metadata = read_tensors(tmp_path / "deep" / "file.safetensors")
    assert metadata == {"step": 3, "names": ["x"]}
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)


def test_a_writer_that_dies_leaves_the_old_file_and_no_other(tmp_path):
    write_json(tmp_path / "record.json", {"good": 1})

    def die(temporary):
        temporary.write_text("{half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "record.json", die)
    assert read_json(tmp_path / "record.json") == {"good": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_what_killed_writers_left_can_be_removed(tmp_path):
    write_json(tmp_path / "record.json", {"good": 1})
    (tmp_path / ".lock").touch()

    def die(temporary):
        temporary.with_name(".tmpAbCd").write_text("a writer's own temporary file")
        raise KeyboardInterrupt

    with patch("shutil.rmtree"), pytest.raises(KeyboardInterrupt):  # a kill runs no clean-up
        write_atomically(tmp_path / "record.json", die)
    assert len(list(tmp_path.iterdir())) == 3
    remove_temporaries(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "record.json"]
    assert read_json(tmp_path / "record.json") == {"good": 1}


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_truncated_tensors_are_named(tmp_path, keep):
    path = tmp_path / "v.safetensors"
    write_tensors(path, {"a": torch.randn(30)}, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"v\.safetensors is truncated"):
        read_tensors(path)


def test_missing_and_damaged_json_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json does not exist"):
        read_json(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"a": ')
    with pytest.raises(ValueError, match=r"bad\.json is not a JSON file"):
        read_json(tmp_path / "bad.json")


def test_nan_is_not_json(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []
