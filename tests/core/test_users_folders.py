"""A user's folders: where they are, and whether something can be written there."""

import os
from pathlib import Path

import pytest

from analysis.paths import check_writable, in_project
from taujp_core.datasets.folders import below_data, data_folder
from taujp_core.files import cache_folder
from taujp_core.suites.files import suite_files
from taujp_core.training.config import run_config
from taujp_core.training.joint import joint_folder
from taujp_core.training.run_store import run_folder

VARIABLES = ("TAUJP_HOME", "TAUJP_CACHE", "TAUJP_DATA", "TAUJP_SUITES", "XDG_CACHE_HOME")


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def homeless(home, monkeypatch) -> Path:
    """A user that the system does not know, as in a container that is started with another uid."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    return home


@pytest.mark.parametrize(
    ("variable", "folder", "below"),
    [
        ("TAUJP_CACHE", cache_folder, ""),
        ("XDG_CACHE_HOME", cache_folder, "taujp"),
        ("TAUJP_DATA", data_folder, ""),
        ("TAUJP_CACHE", data_folder, "data"),
        ("TAUJP_HOME", lambda: in_project("runs"), "runs"),
        ("TAUJP_SUITES", lambda: suite_files()["pets"].parent, ""),
    ],
)
def test_home_is_written_as_a_tilde_in_every_variable(variable, folder, below, home, monkeypatch):
    (home / "mine").mkdir()
    (home / "mine" / "pets.yaml").touch()
    for named in ("~/mine", str(home / "mine")):
        monkeypatch.setenv(variable, named)
        assert folder() == home / "mine" / below


def test_an_empty_variable_is_not_set(home, monkeypatch):
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    assert cache_folder() == home / ".cache" / "taujp"
    assert data_folder() == home / ".cache" / "taujp" / "data"
    assert in_project("runs").is_absolute()
    assert "mini" in suite_files()


def test_a_user_without_a_home_needs_none_if_the_folders_are_named(homeless, tmp_path, monkeypatch):
    assert below_data(str(tmp_path / "pets")) == tmp_path / "pets"
    with pytest.raises(FileNotFoundError, match=r"this user has no home folder, .* set TAUJP_CACHE to one"):
        cache_folder()
    monkeypatch.setenv("TAUJP_DATA", str(tmp_path / "data"))
    assert data_folder() == tmp_path / "data"
    for variable, below in (("XDG_CACHE_HOME", "taujp"), ("TAUJP_CACHE", "")):
        monkeypatch.setenv(variable, str(tmp_path / "caches"))
        assert cache_folder() == tmp_path / "caches" / below
    monkeypatch.setenv("TAUJP_CACHE", "~/caches")
    with pytest.raises(ValueError, match="TAUJP_CACHE is ~/caches, but there is no such home folder"):
        cache_folder()


def test_a_folder_that_can_be_made_is_tried_and_not_left(home, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    for path in (tmp_path / "new", tmp_path / "deep" / "er" / "new", tmp_path, "~/new"):
        check_writable(str(path))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_made_is_refused_though_permissions_allow_it(home, tmp_path, monkeypatch):
    long = "a" * 300
    with pytest.raises(
        ValueError, match=rf"'{tmp_path}/new/{long}' cannot be made below {tmp_path}: File name too long"
    ):
        check_writable(f"{tmp_path}/new/{long}")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"cannot be a folder, for .*file is a file"):
        (tmp_path / "file").touch()
        check_writable(f"{tmp_path}/file/new")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc is Linux's")
def test_proc_takes_no_folders(home):
    """os.access says that root may write there."""
    with pytest.raises(ValueError, match="'/proc/x' cannot be made below /proc: No such file or directory"):
        check_writable("/proc/x")


def test_a_disk_that_takes_no_files_is_refused(home, tmp_path, monkeypatch):
    def refused(*arguments, **options):
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    with pytest.raises(ValueError, match=r"cannot be made below .*: Read-only file system"):
        check_writable(str(tmp_path / "new"))
    assert list(tmp_path.iterdir()) == []


def test_a_store_below_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = run_config("mini", "mnist", "standard", steps=2)
    assert run_folder("~/runs", config, "0123").parent == tmp_path / "runs/mini/mnist"
    assert joint_folder([config], "~/runs", "0123").parent == tmp_path / "runs/mini/jointly"
