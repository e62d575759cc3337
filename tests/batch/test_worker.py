"""A worker finds its driver, however old the file is, or says in a sentence why it does not."""

import json
import threading
from pathlib import Path

import pytest
from drivers import until

import analysis.studies.worker
from analysis.studies.cluster import Cluster
from analysis.studies.scheduler_file import (
    only_study,
    remove_scheduler_file,
    sweep_scheduler_files,
    write_scheduler_file,
)
from analysis.studies.worker import LOOPBACK, OtherVersion, code_version, dask_arguments, find_driver, main

pytest_plugins = ["batch_fixtures"]
SHORT = 0.2


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    monkeypatch.setattr(analysis.studies.worker, "ANSWER", 0.5)
    (tmp_path / "grid").mkdir()
    cluster = Cluster(tmp_path / "grid", [], LOOPBACK, tmp_path / "shared.json")
    yield cluster
    cluster.close()


def test_a_driver_that_answers_is_found(cluster):
    driver = find_driver(cluster.file, SHORT)
    assert (driver["study"], driver["version"]) == ("grid", code_version())
    line = dask_arguments(driver, "one")
    assert line[0] == driver["address"] == cluster.cluster.scheduler_address
    assert line[line.index("--host") + 1] == LOOPBACK and line[line.index("--name") + 1] == "one"


def test_tls_files_come_from_the_scheduler_file():
    line = dask_arguments({"address": "tls://10.0.0.1:1", "tls": ["a.pem", "b.pem", "c.pem"]}, None)
    assert line[-6:] == ["--tls-ca-file", "a.pem", "--tls-cert", "b.pem", "--tls-key", "c.pem"]
    assert "--host" not in line


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "shared.json does not exist"),
        ("", "shared.json is not a scheduler file"),
        ("[]", "shared.json is not a scheduler file of this project: it lacks address"),
        ('{"address": "tcp://127.0.0.1:1"}', "it lacks id, study, tls, version"),
        ({"address": "tcp://127.0.0.1:1"}, "the driver of grid at tcp://127.0.0.1:1 does not answer"),
        ({"id": "Scheduler-other"}, "the driver of grid is gone: another one is at tcp://127"),
    ],
)
def test_without_a_driver_a_worker_ends(content, sentence, cluster, monkeypatch, capsys):
    """Its lifetime is five minutes."""
    if content is None:
        cluster.file.unlink()
    else:
        text = content if isinstance(content, str) else json.dumps(json.loads(cluster.file.read_text()) | content)
        cluster.file.write_text(text)
    assert analysis.studies.worker.LIFETIME == 300
    monkeypatch.setattr(analysis.studies.worker, "LIFETIME", SHORT)
    assert main([str(cluster.file)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("no driver was found within") and sentence in said
    assert said.count("\n") == 1


def test_a_stale_file_is_read_again_until_a_new_driver_has_written_its_own(cluster, capsys):
    now = cluster.file.read_text()
    cluster.file.write_text(json.dumps(json.loads(now) | {"address": "tcp://127.0.0.1:1"}))
    found = []
    waiting = threading.Thread(target=lambda: found.append(find_driver(cluster.file, 60)))
    waiting.start()
    waiting.join(0.5)
    assert found == []
    cluster.file.write_text(now)
    waiting.join(60)
    assert found == [json.loads(now)]
    assert "waiting for a driver: the driver of grid at tcp://127.0.0.1:1 does not answer" in capsys.readouterr().out


def test_a_worker_of_another_version_is_refused_before_its_first_point(cluster, monkeypatch, capsys):
    monkeypatch.setattr(analysis.studies.worker, "code_version", lambda: "0.1.0 (0123456789)")
    with pytest.raises(OtherVersion):
        find_driver(cluster.file, SHORT)
    assert main([str(cluster.file)]) == 2
    assert capsys.readouterr().err == (
        f"this worker has version 0.1.0 (0123456789) of this project, and the driver of grid has {code_version()}: "
        "install one of them on both, or stop the driver and call it again\n"
    )


def test_the_version_follows_the_code(tmp_path, monkeypatch):
    before = code_version()
    for package in analysis.studies.worker.PACKAGES:
        (tmp_path / package / "batch").mkdir(parents=True)
        (tmp_path / package / "one.py").write_text("a = 1")
    monkeypatch.setattr(analysis.studies.worker, "__file__", str(tmp_path / "analysis" / "batch" / "worker.py"))
    code_version.cache_clear()
    small = code_version()
    (tmp_path / "taujp_core" / "one.py").write_text("a = 2")
    code_version.cache_clear()
    assert len({before, small, code_version()}) == 3
    code_version.cache_clear()


def test_a_second_study_with_one_scheduler_file_is_refused(place, counting):
    file = place.folder / "scheduler.json"
    first = place.driver(place.study("one", notebooks=counting(1)), "--scheduler-file", str(file))
    until(lambda: file.exists() and "last line" in place.said())
    before = file.read_text()
    second = place.driver(place.study("two", notebooks=counting(2)), "--scheduler-file", str(file))
    second.join()
    assert second.exitcode == 2
    assert place.said() == f"{file} is the scheduler file of one, which is running: give two another one\n"
    assert file.read_text() == before
    first.kill()
    first.join()
    third = place.driver(place.study("two", notebooks=counting(2)), "--scheduler-file", str(file), "--workers", "1")
    third.join()
    assert third.exitcode == 0, place.said()
    assert not file.exists() and not file.with_name("scheduler.json.lock").exists()
    assert list((place.home / "runs/one").glob("scheduler*")) == [place.home / "runs/one/scheduler.json"]
    sweep_scheduler_files(place.home / "runs/one")
    assert not list((place.home / "runs/one").glob("scheduler*"))


def test_a_killed_drivers_scheduler_file_is_removed_unless_another_study_has_it(tmp_path):
    one, two, shared = tmp_path / "one", tmp_path / "two", tmp_path / "shared.json"
    write_scheduler_file(shared, one, {"id": "1"})
    sweep_scheduler_files(one)
    assert not shared.exists() and not list(one.iterdir())
    write_scheduler_file(shared, one, {"id": "1"})
    with only_study(shared, "two"):
        write_scheduler_file(shared, two, {"id": "2"})
        sweep_scheduler_files(one)
        assert shared.exists() and not list(one.iterdir())
        remove_scheduler_file(two)
    assert not list(Path(tmp_path).glob("*.json*"))
