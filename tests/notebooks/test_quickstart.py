"""What `make quickstart` says while the notebook runs, and last of all."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import nbformat
import pytest

from analysis.quickstart import __main__ as quickstart
from taujp_core.progress import LINES, doing

ROOT = Path(__file__).parents[2]
SENTENCE = "This small version shows: At α = 1 all is well."
ROW = {"single_task": 0.9, "one_shot": 0.8, "tuned": 0.8, "tau_jp_others": 6.0}


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """The command with a notebook that only says that it trains; returns what papermill was given."""
    given = {}

    def execute(source, target, **options):
        given.update(options, source=source, target=target)
        with doing("training 1 of 12: street by standard, seed 0"):
            time.sleep(2 * quickstart.PAUSE)
        with doing("measuring"):
            pass
        (tmp_path / "runs/quickstart/summary.json").write_text(json.dumps({"standard": ROW, "taujp-efficient": ROW}))
        outputs = [nbformat.v4.new_output("stream", text=f"a table\n{SENTENCE}\n")]
        return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=outputs)])

    monkeypatch.setenv("TAUJP_HOME", str(tmp_path))
    monkeypatch.setattr(quickstart.papermill, "execute_notebook", execute)
    monkeypatch.setenv(LINES, "")  # taken back after the test
    return given


def test_it_says_what_it_does_and_ends_with_the_conclusion(ran, capsys):
    assert quickstart.main() == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert "street, textures, signs and terrain" in lines[0] and "12 short trainings" in lines[0]
    assert "about two minutes" in lines[1]
    assert re.fullmatch(r" +\d+ s  training 1 of 12: street by standard, seed 0", lines[2])
    assert re.fullmatch(r" +\d+ s  measuring", lines[3])
    assert lines[-1] == SENTENCE
    assert "the τJp penalty" in said.out and "taujp-efficient" not in said.out
    assert said.err == "" and ran["progress_bar"] is False
    assert ran["source"] == ROOT / "notebooks/00_quickstart.ipynb"


def test_a_notebook_that_stops_is_answered_in_a_line(ran, monkeypatch, capsys):
    def stop(*arguments, **options):
        raise quickstart.papermill.PapermillExecutionError(0, 1, "", "ValueError", "no room", [])

    monkeypatch.setattr(quickstart.papermill, "execute_notebook", stop)
    assert quickstart.main() == 1
    assert capsys.readouterr().err == "The notebook stopped: ValueError: no room\n"


def test_lines_are_left_where_a_command_asks_for_them(tmp_path, monkeypatch):
    monkeypatch.setenv(LINES, str(tmp_path / "lines"))
    with doing("training 1 of 2"):
        assert (tmp_path / "lines").read_text() == "training 1 of 2\n"
    monkeypatch.delenv(LINES)
    with doing("training 2 of 2"):
        assert (tmp_path / "lines").read_text() == "training 1 of 2\n"


def make(target: str, *values: str) -> str:
    command = ["make", "--dry-run", "--no-print-directory", target, *values]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_make_runs_it():
    assert "python -m analysis.quickstart" in make("quickstart")


def test_make_lab_opens_the_repository_and_says_what_root_does():
    said = make("lab")
    assert f"--ServerApp.root_dir={ROOT}" in said and "/lab/tree/notebooks/README.md" in said
    check = said[said.index('[ "$(id -u)"') : said.index("exit 1; }") + len("exit 1; }")]
    ran = subprocess.run(["sh", "-c", check.replace("$(id -u)", "0")], capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and ran.stderr == (
        "JupyterLab does not run as root: run 'make lab' as another user, or 'make lab LAB=--allow-root' in a container of your own.\n"
    )
    assert subprocess.run(["sh", "-c", check.replace("$(id -u)", "1000")], check=False).returncode == 0
    assert make("lab", "LAB=--allow-root").rstrip().endswith("--allow-root")


def test_jupyterlab_shows_no_news():
    overrides = json.loads((ROOT / "notebooks/.jupyterlab/overrides.json").read_text())
    assert overrides["@jupyterlab/apputils-extension:notification"] == {"fetchNews": "false", "checkForUpdates": False}
    assert os.environ.get(LINES, "") == ""
