"""Whatever is killed, lost, damaged or full: the same command finishes, and does nothing twice that was done."""

import errno
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import nbformat
import psutil
import pytest
from drivers import Place, until

import analysis.studies.point
from analysis.studies import collect
from analysis.studies.command import main
from analysis.studies.in_process import Here
from analysis.studies.stopped import STOPPED
from taujp_core.task_vectors import TaskVector

pytest_plugins = ["batch_fixtures"]


def begun(place: Place) -> list[int]:
    """Numbers of the notebooks that began, in order."""
    file = place.home / "begun.txt"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def finished(place: Place, study: str) -> dict[int, str]:
    """What each finished notebook printed, by its number."""
    found = {}
    for path in (place.home / "runs" / study / "points").glob("*.ipynb"):
        if not path.name.startswith(".") and ".failed" not in path.name:
            cells = nbformat.read(path, 4).cells
            number = next(
                int(cell.source.split("number = ")[1].split("\n")[0]) for cell in cells if "number = " in cell.source
            )
            found[number] = cells[-1].outputs[0].text
    return found


def workers_of(driver) -> list[psutil.Process]:
    return [child for child in psutil.Process(driver.pid).children() if "analysis.studies.worker" in child.cmdline()]


def test_a_killed_driver_goes_on_where_it_was(place, counting):
    study = place.study("grid", notebooks=[*counting(1), *counting(2, waits=True), *counting(3)])
    driver = place.driver(study, "--workers", "1")
    until(lambda: begun(place) == [1, 2])
    driver.kill()
    driver.join()
    until(lambda: not place.kernel_processes())
    assert finished(place, "grid") == {1: "1\n"}
    place.go.touch()
    again = place.driver(study, "--workers", "1")
    again.join()
    assert again.exitcode == 0, place.said()
    assert finished(place, "grid") == {1: "1\n", 2: "4\n", 3: "9\n"}
    assert begun(place) == [1, 2, 3, 2]  # what a driver died in comes last
    assert not list((place.home / "runs/grid/points").glob(".*"))


def test_a_killed_kernel_is_tried_again_and_at_last_given_up(place, counting):
    study = place.study("grid", notebooks=[*counting(1, waits=True), *counting(2)])
    driver = place.driver(study, "--workers", "1")
    for attempt in range(3):
        until(lambda attempt=attempt: begun(place) == [1] * (attempt + 1))
        (kernel,) = place.kernel_processes()
        kernel.kill()
    driver.join()
    assert driver.exitcode == 1
    assert "failed: DeadKernelError" in place.said()
    assert "1 of 2 points of grid are done; 1 failed" in place.said().splitlines()[-1]
    assert finished(place, "grid") == {2: "4\n"}
    place.go.touch()
    again = place.driver(study, "--workers", "1")
    again.join()
    assert (again.exitcode, begun(place)) == (0, [1, 1, 1, 2, 1])
    assert not list((place.home / "runs/grid/points").glob("*.failed.*"))


@pytest.mark.parametrize("lost", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "never heard of again"])
def test_a_lost_workers_point_is_given_to_another(lost, place, counting):
    place.environment["DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL"] = "8 s"
    study = place.study("grid", notebooks=[*counting(1, 2, waits=True), *counting(3, 4)])
    driver = place.driver(study, "--workers", "2")
    until(lambda: sorted(begun(place)) == [1, 2])
    workers = workers_of(driver)
    assert len(workers) == 2
    workers[0].send_signal(lost)
    until(lambda: len(begun(place)) >= 3)  # on a slow machine the other one may have been taken for lost, too
    place.go.touch()
    driver.join()
    assert driver.exitcode == 0, place.said()
    assert finished(place, "grid") == {1: "1\n", 2: "4\n", 3: "9\n", 4: "16\n"}
    assert not any(worker.is_running() for worker in workers)


def test_a_killed_drivers_workers_end_and_another_goes_on(place, counting):
    study = place.study("grid", notebooks=[*counting(1, 2, waits=True), *counting(3)])
    driver = place.driver(study, "--workers", "2")
    until(lambda: sorted(begun(place)) == [1, 2])
    orphans = workers_of(driver)
    driver.kill()
    driver.join()
    place.go.touch()
    again = place.driver(study, "--workers", "2")
    again.join()
    assert again.exitcode == 0, place.said()
    assert finished(place, "grid") == {1: "1\n", 2: "4\n", 3: "9\n"}
    assert begun(place).count(3) == 1
    until(lambda: not any(orphan.is_running() for orphan in orphans))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_stops_all_and_loses_nothing(workers, place, counting):
    study = place.study("grid", notebooks=[*counting(1), *counting(2, 3, waits=True)])
    driver = place.driver(study, "--workers", workers)
    until(lambda: 2 in begun(place) and len(finished(place, "grid")) == 1)
    os.killpg(driver.pid, signal.SIGINT)
    driver.join()
    assert driver.exitcode == STOPPED
    assert place.said().splitlines()[-1] == "stopped; the same command goes on"
    until(lambda: not place.kernel_processes())
    points = place.home / "runs/grid/points"
    assert not list(points.glob("*.failed.*"))
    place.go.touch()
    again = place.driver(study, "--workers", workers)
    again.join()
    assert (again.exitcode, begun(place).count(1)) == (0, 1)
    assert "3 of 3 points" in (place.home / "runs/grid/report.html").read_text()


def test_a_second_driver_is_refused_until_the_first_is_dead(place, counting):
    study = place.study("grid", notebooks=counting(1, waits=True))
    first = place.driver(study, "--workers", "1")
    until(lambda: begun(place) == [1])
    second = place.driver(study, "--workers", "1")
    second.join()
    assert second.exitcode == 2
    assert place.said() == "another process is running the study grid: wait for it, or stop it first\n"
    first.kill()
    first.join()
    place.go.touch()
    third = place.driver(study, "--workers", "1")
    third.join()
    assert third.exitcode == 0


def test_a_study_that_changes_runs_what_is_new_and_leaves_what_is_gone(here, counting, capsys):
    assert main([str(here.study("grid", notebooks=counting(1, 2))), "--workers", "1"]) == 0
    assert main([str(here.study("grid", notebooks=counting(2, 3))), "--workers", "1"]) == 0
    assert begun(here) == [1, 2, 3]
    assert finished(here, "grid") == {1: "1\n", 2: "4\n", 3: "9\n"}
    said = capsys.readouterr().out
    assert said.count("no longer in the study, and left alone: counting-") == 1
    assert "2 of 2 points of grid are done" in said


def test_no_kernel_is_started_for_what_is_done(here, counting, monkeypatch):
    study = here.study("grid", notebooks=counting(1, 2))
    assert main([str(study), "--workers", "1"]) == 0
    monkeypatch.setattr(Here, "start", lambda self, point: pytest.fail("a finished point was started"))
    assert main([str(study), "--workers", "1"]) == 0


def test_a_clock_that_is_set_back_does_not_matter(here, counting, monkeypatch):
    study = here.study("grid", notebooks=counting(1))
    assert main([str(study), "--workers", "1"]) == 0
    (done,) = (here.home / "runs/grid/points").glob("*.ipynb")
    future = time.time() + timedelta(days=400).total_seconds()
    os.utime(done, (future, future))
    clock = iter(range(10**9, 0, -100))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    study = here.study("grid", notebooks=counting(1, 2))
    assert main([str(study), "--workers", "1"]) == 0
    assert begun(here) == [1, 2]
    for path in (here.home / "runs/grid/points").glob("*.ipynb"):
        assert nbformat.read(path, 4).metadata.batch.seconds > 0


def test_a_full_disk_leaves_no_half_file(here, counting, monkeypatch, capsys):
    """The writing of the finished notebook and of the page fails, as it does on a full disk."""

    def full(notebook, file):
        file.write('{"cells": [')
        raise OSError(errno.ENOSPC, "No space left on device")

    study = here.study("grid", notebooks=counting(1))
    with monkeypatch.context() as patched:
        patched.setattr(analysis.studies.point.nbformat, "write", full)
        assert main([str(study), "--workers", "1"]) == 1
    assert "No space left on device" in capsys.readouterr().out
    assert finished(here, "grid") == {}
    assert main([str(study), "--workers", "1"]) == 0
    assert finished(here, "grid") == {1: "1\n"}


def test_a_small_disk_that_is_full(place, counting):
    """A file system of its own, of half a megabyte: the driver ends with a sentence, and goes on when there is room."""
    place.home.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", place.home], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        study = place.study("grid", notebooks=[*counting(1), *counting(2, waits=True), *counting(3)])
        first = place.driver(study, "--workers", "1")
        until(lambda: begun(place) == [1, 2])
        fill(place.home / "ballast")
        place.go.touch()
        first.join()
        assert first.exitcode == 1
        assert "No space left" in place.said()
        assert finished(place, "grid") == {1: "1\n"}
        (place.home / "ballast").unlink()
        again = place.driver(study, "--workers", "1")
        again.join()
        assert again.exitcode == 0, place.said()
        assert finished(place, "grid") == {1: "1\n", 2: "4\n", 3: "9\n"}
    finally:
        subprocess.run(["umount", "-l", place.home], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))


def test_damaged_files_are_set_aside_and_done_again(here, counting, capsys, mini):
    """A record, the plan and a notebook; what is not damaged is not touched."""
    recipe = {"steps": 1, "batch_size": 4}
    grid = {"suites": ["mini"], "methods": ["linear"], "tasks": ["uci", "signs"], "recipe": recipe}
    study = here.study("grid", **grid, notebooks=counting(1))
    assert main([str(study), "--workers", "1"]) == 0
    folder, (signs, uci) = here.home / "runs/grid", sorted((here.home / "runs/mini").glob("*/*"))
    vectors = {run: TaskVector.load(run / "vector.safetensors", mini).digest() for run in (signs, uci)}
    inodes = {path.name: path.stat().st_ino for path in (folder / "points").glob("*.ipynb")}

    os.truncate(signs / "record.json", 100)
    os.truncate(next((folder / "points").glob("counting-*")), 200)
    (folder / "plan.json").write_text("{")
    assert collect(folder).empty
    capsys.readouterr()
    assert main([str(study), "--workers", "1"]) == 0

    said = capsys.readouterr().out
    assert said.count("moved to") == 3
    assert {run: TaskVector.load(run / "vector.safetensors", mini).digest() for run in (signs, uci)} == vectors
    after = {path.name: path.stat().st_ino for path in (folder / "points").glob("*.ipynb")}
    assert [name for name in inodes if after[name] == inodes[name]] == [f"mini-uci-{uci.name}.ipynb"]
    assert len(list((folder / "damaged").iterdir())) == 3  # a run and its notebook, and a notebook alone
    assert list(collect(folder).task) == ["uci", "signs"]


def test_what_a_killed_call_left_is_swept_by_the_next(here, counting):
    """Parts of plans and reports, of copied results, of points, and locks that nobody has; not those of others."""
    study = here.study("grid", notebooks=counting(1), results="shown")
    assert main([str(study), "--workers", "1"]) == 0
    folder, shown = here.home / "runs/grid", here.folder / "shown"
    (done,) = (folder / "points").glob("*.ipynb")
    places = [
        folder / ".plan.json.01234567.part",
        folder / ".report.html.01234567.part",
        shown / ".counting.ipynb.01234567.part",
    ]
    others = [shown / ".other.ipynb.01234567.part"]
    for place in [*places, *others]:
        place.mkdir()
        (place / "half").write_text("{")
    files = [folder / "points" / name for name in (".gone.01234567.part.ipynb", ".gone.lock", f".{done.stem}.lock")]
    files += [folder / "scheduler.json", folder / "scheduler.json.lock"]
    for file in files:
        file.write_text("{}")
    assert main([str(study), "--workers", "1"]) == 0
    assert [path for path in [*places, *files] if path.exists()] == []
    assert others[0].exists()
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "plan.json", "points", "report.html"]


def test_a_result_that_cannot_be_copied_is_named_and_the_others_are(here, counting, capsys):
    other = here.notebook("another", "number: int = 0", "print(number)")
    entries = [*counting(1), {"notebook": other, "parameters": {"number": 2}}]
    study = here.study("grid", notebooks=entries, results="shown")
    (here.folder / "shown/counting.ipynb").mkdir(parents=True)
    assert main([str(study), "--workers", "1"]) == 1
    said = capsys.readouterr().out
    assert "shown/counting.ipynb" in said and "2 of 2 points" in said
    assert (here.folder / "shown/another.ipynb").is_file()


def test_ctrl_c_while_the_command_imports_ends_quietly(tmp_path):
    """What it imports first says so, and is not through until it is killed."""
    slow = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(600)\n"
    for name in ("psutil", "torch", "yaml"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.py").write_text(slow)
        path = os.pathsep.join([str(tmp_path / name), str(Path(__file__).parents[2])])
        stopped = subprocess.run(
            [sys.executable, "-m", "analysis.studies", "none.yaml"], env={**os.environ, "PYTHONPATH": path},
            capture_output=True, text=True,
        )  # fmt: skip
        assert (stopped.returncode, stopped.stdout, stopped.stderr) == (
            STOPPED,
            "",
            "stopped; the same command goes on\n",
        )
