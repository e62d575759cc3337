"""Ctrl-C while a command still imports: it ends quietly."""

import os
import signal
import subprocess
import sys

import pytest

# Instead of torch: Ctrl-C comes while it is imported.
TORCH = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)"


@pytest.mark.parametrize("command", [["taujp_core.datasets", "check"], ["analysis.studies", "study.yaml"]])
def test_a_command_that_is_stopped_while_it_imports_ends_in_a_line(command, tmp_path):
    (tmp_path / "torch.py").write_text(TORCH)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    ran = subprocess.run(
        [sys.executable, "-m", *command], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert ran.stderr == "stopped; the same command goes on\n"
    assert ran.returncode in (-signal.SIGINT, 130)


def test_other_failures_of_an_import_are_shown(tmp_path):
    (tmp_path / "torch.py").write_text("1 / 0")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    ran = subprocess.run(
        [sys.executable, "-m", "taujp_core.datasets"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert "ZeroDivisionError" in ran.stderr
