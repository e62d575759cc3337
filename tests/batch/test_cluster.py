"""Dask workers: who may reach the scheduler, workers started by hand, and by the script of a cluster."""

import json
import os
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from drivers import until
from test_faults import finished

import analysis.studies.command
import analysis.studies.workers
from analysis.studies.cluster import is_loopback
from analysis.studies.command import main
from analysis.studies.plan import points_of
from analysis.studies.study import Study, read_study
from analysis.studies.workers import local_workers, slurm_script, worker_line

pytest_plugins = ["batch_fixtures"]

ROOT = Path(__file__).parents[2]


def listening(process: psutil.Process) -> set[str]:
    return {c.laddr.ip for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}


def worker_by_hand(place, said: str) -> subprocess.Popen:
    """By the line that the driver printed."""
    line = shlex.split(said.split("anywhere by its last line: ")[1].splitlines()[0])
    return subprocess.Popen(line, env={**os.environ, **place.environment}, cwd=place.folder, stderr=subprocess.DEVNULL)


def test_nothing_listens_beyond_loopback(place, counting):
    driver = place.driver(place.study("grid", notebooks=counting(1, 2, waits=True)), "--workers", "2")
    until(lambda: len(place.kernel_processes()) == 2)
    family = [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(), *place.kernel_processes()]
    assert [listening(process) - {"127.0.0.1", "::1"} for process in family] == [set()] * 5
    assert listening(family[0])
    place.go.touch()
    driver.join()
    assert driver.exitcode == 0


@pytest.mark.parametrize("listen", [[], ["--listen", "0.0.0.0"]], ids=["loopback", "TLS beyond it"])
def test_workers_started_by_hand_find_the_study_by_its_file(listen, place, counting):
    file = place.folder / "scheduler.json"
    driver = place.driver(
        place.study("grid", notebooks=counting(1, 2, waits=True)), "--scheduler-file", str(file), *listen
    )
    until(lambda: file.exists() and "last line" in place.said())
    address = json.loads(file.read_text())["address"]
    script = (place.home / "runs/grid/worker.sh").read_text()
    assert script.splitlines()[-1] == "exec " + place.said().split("last line: ")[1].splitlines()[0]
    if listen:
        assert address.startswith("tls://")
        secrets = [*(place.home / "runs/grid/tls").iterdir()]
        assert [path.stat().st_mode & 0o77 for path in secrets] == [0] * 3
        assert not answers_without_certificate(address)
    else:
        assert address.startswith("tcp://127.0.0.1:")
    first = worker_by_hand(place, place.said())
    try:
        until(lambda: len(place.kernel_processes()) == 1)
        second = worker_by_hand(place, place.said())  # joins while the first has its point
        try:
            until(lambda: len(place.kernel_processes()) == 2)
            place.go.touch()
            driver.join()
            assert driver.exitcode == 0, place.said()
            assert "2 of 2 points of grid are done" in place.said()
            assert (first.wait(60), second.wait(60)) == (0, 0)  # they end with the scheduler
        finally:
            second.kill()
    finally:
        first.kill()
    assert not file.exists()


def answers_without_certificate(address: str) -> bool:
    """Whether the scheduler speaks to somebody who brings no certificate of its authority."""
    import socket
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, port = address.removeprefix("tls://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=30) as plain:
        try:
            with context.wrap_socket(plain) as wrapped:
                return bool(wrapped.recv(1))
        except (ssl.SSLError, ConnectionError):
            return False


def test_the_script_of_a_job_is_eight_lines_and_the_readers(tmp_path):
    line = worker_line(Path("/shared/taujp/runs/NAME/scheduler.json"))
    script = slurm_script("NAME", line, Path("/shared/my taujp"))
    lines = script.splitlines()
    assert len(lines) == 8
    assert lines[0] == "#!/bin/bash"
    assert all(re.fullmatch(r"#SBATCH --[a-z-]+(=\S+)?", text) for text in lines[1:6])
    assert lines[6] == "cd '/shared/my taujp'"
    assert shlex.split(lines[7]) == ["exec", *line]
    (tmp_path / "job.sh").write_text(script)
    assert subprocess.run(["bash", "-n", tmp_path / "job.sh"]).returncode == 0
    shown = re.search(r"```bash\n(#!/bin/bash\n.*?)```", (ROOT / "docs/batch.md").read_text(), re.DOTALL)[1]
    ours = slurm_script("NAME", ["PYTHON", *line[1:]], Path("/shared/taujp"))
    assert shown == ours


def test_loopback_is_known():
    assert [is_loopback(name) for name in ("127.0.0.1", "127.9.9.9", "localhost", "::1")] == [True] * 4
    others = ("0.0.0.0", "::", "10.0.0.1", "node7", "", "127.evil.example", "127.1.evil", "1270.0.0.1", "::10")
    assert [is_loopback(name) for name in others] == [False] * 9


def test_a_last_point_has_all_cores(here, monkeypatch):
    """Those before it share them. Its reading of the others is planted, for only trainings are read otherwise."""
    name = here.notebook("threads", "number: int = 0", "import os\nprint(os.environ.get('OMP_NUM_THREADS', 'all'))")
    entries = [{"notebook": name, "parameters": {"number": number}} for number in (1, 2, 3)]
    *first, last = points_of(read_study(here.study("grid", notebooks=entries)))
    last = replace(last, after=tuple(point.key for point in first))
    monkeypatch.setattr(analysis.studies.command, "points_of", lambda study: [*first, last])
    monkeypatch.setattr(analysis.studies.workers, "usable_cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert main([str(here.folder / "grid.yaml"), "--workers", "2"]) == 0
    assert finished(here, "grid") == {1: "3\n", 2: "3\n", 3: "all\n"}


MINI = Study("grid", "What?", suites=["mini"], methods=["linear"], tasks=["uci"], recipe={"batch_size": 8})


def test_a_worker_a_visible_gpu(monkeypatch):
    monkeypatch.setattr(analysis.studies.workers.torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(analysis.studies.workers, "usable_cores", lambda: 12)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(analysis.studies.workers, "training_bytes", lambda study: 1)
    assert local_workers(MINI, None) == [{"OMP_NUM_THREADS": "4", "CUDA_VISIBLE_DEVICES": k} for k in "012"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,GPU-ab,5")
    assert [worker["CUDA_VISIBLE_DEVICES"] for worker in local_workers(MINI, None)] == ["7", "GPU-ab", "5"]
    assert [worker["CUDA_VISIBLE_DEVICES"] for worker in local_workers(MINI, 4)] == ["7", "GPU-ab", "5", "7"]


def test_without_a_gpu_as_many_as_cores_and_memory_allow(monkeypatch):
    monkeypatch.setattr(analysis.studies.workers.torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(analysis.studies.workers, "usable_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    one = analysis.studies.workers.training_bytes(MINI)
    memory = lambda bytes: lambda: type("Memory", (), {"available": bytes})  # noqa: E731
    monkeypatch.setattr(analysis.studies.workers.psutil, "virtual_memory", memory(100 * one))
    assert local_workers(MINI, None) == [{"OMP_NUM_THREADS": "1"}] * 8
    monkeypatch.setattr(analysis.studies.workers.psutil, "virtual_memory", memory(2 * one))
    assert local_workers(MINI, None) == [{"OMP_NUM_THREADS": "4"}] * 2
    monkeypatch.setattr(analysis.studies.workers.psutil, "virtual_memory", memory(one // 2))
    assert len(local_workers(MINI, None)) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert local_workers(MINI, 2) == [{}, {}]


def test_a_larger_batch_takes_more_memory():
    bytes_of = analysis.studies.workers.training_bytes
    large = Study("grid", "What?", suites=["mini"], methods=["linear"], tasks=["uci"], recipe={"batch_size": 512})
    assert bytes_of(large) > bytes_of(MINI) > analysis.studies.workers.KERNEL_BYTES


def test_without_the_engine_one_worker_needs_none_and_several_say_what_is_missing(here, counting, monkeypatch, capsys):
    find = analysis.studies.command.importlib.util.find_spec
    monkeypatch.setattr(
        analysis.studies.command.importlib.util, "find_spec", lambda name: None if name == "distributed" else find(name)
    )
    study = here.study("grid", notebooks=counting(1, 2))
    assert main([str(study), "--workers", "2"]) == 2
    assert capsys.readouterr().err == "several workers need the package distributed: pip install 'taujp[cluster]'\n"
    assert main([str(study)]) == 0
