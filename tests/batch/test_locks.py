"""Nobody runs a point twice at once, whoever was killed; what nobody holds any more is not in the way."""

import os
import signal
import subprocess
import sys

import psutil
from drivers import until
from test_faults import begun, finished

from analysis.studies.locks import give_back, is_taken, take
from analysis.studies.point import lock_file

pytest_plugins = ["batch_fixtures"]
# Notes when it begins and ends, and how many others run meanwhile.
ALONE = (
    "number: int = 0",
    "import os, pathlib, psutil, time\nhome = pathlib.Path(os.environ['TAUJP_HOME'])\nmine = home / f'runs-{os.getpid()}'\nmine.touch()\n"
    "with (home / 'begun.txt').open('a') as file:\n    print(number, file=file)\n"
    "while not pathlib.Path(os.environ['GO']).exists():\n    time.sleep(0.02)",
    "others = [path for path in home.glob('runs-*') if psutil.pid_exists(int(path.name[5:]))]\n"
    "with (home / 'together.txt').open('a') as file:\n    print(len(others), file=file)\nmine.unlink()\nprint(number**2)",
)


def test_a_lock_is_one_processs_until_it_dies(tmp_path):
    path = tmp_path / "lock"
    lock = take(path)
    assert take(path) is None and is_taken(path)
    give_back(path, lock)
    assert not path.exists() and not is_taken(path)
    held = f"import time; from analysis.studies.locks import take; from pathlib import Path; take(Path({str(path)!r})); print('held', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", held], stdout=subprocess.PIPE, text=True) as other:
        other.stdout.readline()
        assert take(path) is None
        other.kill()
        other.wait()
    assert path.exists() and not is_taken(path) and not path.exists()


def test_a_lock_whose_file_was_removed_meanwhile_is_not_taken(tmp_path, monkeypatch):
    """Its last owner removes the file between another one's opening and locking of it."""
    path, flock, removed = tmp_path / "lock", __import__("fcntl").flock, []

    def late(*arguments):
        if not removed:
            removed.append(path.unlink())
        return flock(*arguments)

    monkeypatch.setattr("fcntl.flock", late)
    lock = take(path)
    assert os.path.samestat(os.fstat(lock), path.stat())
    give_back(path, lock)


def test_a_notebook_of_a_killed_driver_is_waited_for(place):
    """The driver is killed while a worker runs a notebook, and called again at once; the worker is as if it hung."""
    study = place.study("grid", notebooks=[{"notebook": place.notebook("alone", *ALONE), "parameters": {"number": 3}}])
    place.home.mkdir()
    driver = place.driver(study, "--workers", "1", "--scheduler-file", str(place.folder / "s.json"))
    until(lambda: begun(place) == [3])
    (worker,) = [
        child for child in psutil.Process(driver.pid).children() if "analysis.studies.worker" in child.cmdline()
    ]
    worker.suspend()  # it does not notice that its driver is gone
    driver.kill()
    driver.join()
    again = place.driver(study, "--workers", "1")
    until(lambda: "is being run by another process: waiting for it" in place.said())
    assert "is still being run by a worker of an earlier call: it is waited for" in place.said()
    assert begun(place) == [3]
    worker.resume()
    place.go.touch()
    again.join()
    assert again.exitcode == 0, place.said()
    assert finished(place, "grid") == {3: "9\n"}
    assert set((place.home / "together.txt").read_text().split()) == {"1"}
    worker.kill()


def test_a_kernel_that_outlives_its_worker_has_the_lock(place):
    """Its own watch over its parent looks once a second, and not in a long call."""
    stubborn = (ALONE[0], "import signal, os\nos.kill(os.getpid(), signal.SIGSTOP)\n" + ALONE[1], ALONE[2])
    study = place.study(
        "grid", notebooks=[{"notebook": place.notebook("alone", *stubborn), "parameters": {"number": 3}}]
    )
    place.home.mkdir()
    place.go.touch()
    driver = place.driver(study, "--workers", "1")
    points = place.home / "runs/grid/points"
    launchers = lambda: [  # noqa: E731
        child for child in psutil.Process(driver.pid).children(recursive=True) if "kernel" in child.cmdline()
    ]
    (launcher,) = until(launchers)
    until(lambda: any(kernel.status() == psutil.STATUS_STOPPED for kernel in place.kernel_processes()))
    launcher.suspend()
    driver.kill()
    driver.join()
    (lock,) = points.glob(".*.lock")
    assert is_taken(lock)
    launcher.send_signal(signal.SIGKILL)
    until(lambda: not is_taken(lock))
    assert lock == lock_file(points.parent, lock.name[1:].removesuffix(".lock"))
