"""Certificates: the study's own are made again if they are damaged, the user's are named."""

import os

import dask
import pytest

from analysis.studies.tls import NAMES, check, secured
from taujp_core.files import Damaged


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return folder, secured(folder)[1]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", ["", "nothing", "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nabc\n"])
def test_a_damaged_file_of_the_users_is_named(name, content, made, tmp_path):
    files = [tmp_path / other for other in NAMES]
    for source, target in zip(made[1], files, strict=True):
        target.write_bytes(source.read_bytes())
    check(*files)
    (tmp_path / name).write_text(content)
    roles = {
        f"distributed.comm.tls.{role}.{part}": str(file)
        for role in ("scheduler", "worker", "client")
        for part, file in (("cert", files[1]), ("key", files[2]))
    }
    with dask.config.set({"distributed.comm.tls.ca-file": str(files[0]), **roles}), pytest.raises(Damaged) as raised:
        secured(tmp_path / "study")
    assert str(tmp_path / name) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "study").exists()


def test_a_key_that_is_not_there_is_named(made, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pem"):
        check(made[1][0], made[1][1], tmp_path / "none.pem")


def test_the_certificate_and_the_key_of_two_studies_are_no_pair(made, tmp_path):
    other = secured(tmp_path)[1]
    with pytest.raises(Damaged, match="are not a certificate and its key"):
        check(made[1][0], made[1][1], other[2])


@pytest.mark.parametrize("name", NAMES)
def test_ours_are_made_again(name, tmp_path, capsys):
    files = secured(tmp_path)[1]
    before = files[2].read_bytes()
    assert secured(tmp_path)[1] == files and files[2].read_bytes() == before
    os.truncate(tmp_path / "tls" / name, 0)
    secured(tmp_path)
    assert f"{name} is empty" in capsys.readouterr().out
    check(*files)
    assert [path.stat().st_mode & 0o77 for path in files] == [0] * 3
