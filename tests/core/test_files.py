"""Files: whole or not at all, and damaged ones named."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
import safetensors
import torch

from taujp_core.files import (
    Damaged,
    is_there,
    read_json,
    read_metadata,
    read_sealed,
    read_tensors,
    remove_temporaries,
    write_atomically,
    write_json,
    write_sealed,
    write_tensors,
)


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


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"3", b"\xff", b"[" * 200_000])
def test_what_is_no_object_is_damaged(content, tmp_path):
    (tmp_path / "bad.json").write_bytes(content)
    for read in (read_json, read_sealed):
        with pytest.raises(Damaged, match=r"bad\.json "):
            read(tmp_path / "bad.json")


@pytest.mark.parametrize("read", [read_json, read_sealed, read_tensors, read_metadata])
def test_a_folder_in_a_files_place_is_named(read, tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(Damaged, match="file is a folder, where a file should be"):
        read(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="file/below does not exist"):
        read(tmp_path / "file" / "below")
    (tmp_path / "plain").touch()
    with pytest.raises(FileNotFoundError, match="plain/below does not exist"):
        read(tmp_path / "plain" / "below")


@pytest.mark.parametrize("read", [read_json, read_tensors, is_there])
def test_a_file_without_permission_is_not_called_missing_or_damaged(read, tmp_path):
    """Root may read everything, so the operating system's answer is planted."""

    def refused(self, *arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    with (
        patch.object(Path, "open", refused),
        patch.object(Path, "stat", refused),
        pytest.raises(PermissionError, match="file is there, but this user may not read it: ask its owner"),
    ):
        read(tmp_path / "file")


def test_sealed_values_come_back_and_alterations_are_found(tmp_path):
    file, value = tmp_path / "sealed.json", {"b": 0.1 + 0.2, "a": (1, {"2": None}), "ü": [1e300, True]}
    write_sealed(file, value)
    assert read_sealed(file) == {**value, "a": [1, {"2": None}]}
    for old, new in (("0.30000000000000004", "0.3000000000000001"), ("true", "1"), ('"b"', '"c"'), ("null", '"null"')):
        write_sealed(file, value)
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(Damaged, match=r"sealed\.json is cut off or altered"):
            read_sealed(file)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("kind", ["json", "tensors"])
def test_what_cannot_be_written_is_a_sentence_with_the_path_and_what_to_change(kind, number, tmp_path, monkeypatch):
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TAUJP_DATA", str(tmp_path / "data"))

    def refuse(*arguments, **options):
        raise OSError(number, os.strerror(number))

    def refuse_as_safetensors_does(*arguments, **options):
        text = f"Error while serializing: I/O error: {os.strerror(number)} (os error {number})"
        raise safetensors.SafetensorError(text)

    for place, setting in (("runs", "TAUJP_HOME"), ("cache", "TAUJP_CACHE"), ("data", "TAUJP_DATA")):
        path = tmp_path / place / "file"
        with (
            patch.object(Path, "write_text", refuse),
            patch("taujp_core.files.save_file", refuse_as_safetensors_does),
            pytest.raises(OSError) as caught,
        ):
            write_json(path, {}) if kind == "json" else write_tensors(path, {"a": torch.zeros(3)}, {})
        sentence = str(caught.value)
        assert sentence.startswith(f"{path} cannot be written: ") and setting in sentence
        assert "rrno" not in sentence and "os error" not in sentence and "\n" not in sentence
        assert caught.value.errno == number
        assert isinstance(caught.value, PermissionError) == (number == errno.EACCES)
        assert list(path.parent.iterdir()) == []


def test_a_limit_of_the_operating_system_is_a_sentence_too(tmp_path):
    """Not planted: a file of safetensors that may not become as large as it must."""
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000))\n"
    work = "import torch, sys; from pathlib import Path; from taujp_core.files import write_tensors\n" + limit
    work += "write_tensors(Path(sys.argv[1]), {'a': torch.zeros(100000)}, {})"
    ran = subprocess.run([sys.executable, "-c", work, str(tmp_path / "v")], capture_output=True, text=True)
    last = ran.stderr.splitlines()[-1]
    assert f"{tmp_path / 'v'} cannot be written: the file is larger than" in last and "rrno" not in last
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o002, 0o027])
def test_modes_follow_the_umask_whatever_the_writer_does(umask, tmp_path):
    before = os.umask(umask)
    try:
        write_tensors(tmp_path / "new" / "v.safetensors", {"a": torch.zeros(3)}, {})
        write_atomically(tmp_path / "private", lambda file: file.touch(mode=0o600))
    finally:
        os.umask(before)
    for path in (tmp_path / "new" / "v.safetensors", tmp_path / "private"):
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o777 & ~umask


def test_nan_is_not_json(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []
