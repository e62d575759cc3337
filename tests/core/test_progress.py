"""Progress: a line where somebody looks, one output that is emptied in a cell, nothing at all in what is stored."""

import io
import os
import subprocess
import sys

import nbformat
import papermill
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from taujp_core.progress import CELL, Progress, doing, say, watched_cell

# At once, and moved by more than tqdm's least interval.
WORK = """
import time
import taujp_core.progress as progress
from taujp_core.progress import Progress, doing, say

progress.DELAY = 0.0

def work(title, steps=3):
    bar = Progress(title, 100 * steps)
    for _ in range(steps):
        time.sleep(0.15)
        bar.advance(100, loss="0.125")
    bar.close()
"""
CELLS = [
    WORK,
    "say('waiting for somebody')\nwith doing('run 1 of 2'):\n    work('mnist by linear')",
    "bar = Progress('left open', 5)\nprint('a line of the cell itself')",
]


def written(path) -> str:
    cells = [nbformat.v4.new_code_cell(source, execution_count=k) for k, source in enumerate(CELLS, 1)]
    cells[2].outputs = [nbformat.v4.new_output("stream", name="stdout", text="a line of the cell itself\n")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    return str(path)


def stored(notebook) -> list:
    """Outputs of the cells, without what the third prints."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert outputs.pop()["text"] == "a line of the cell itself\n"
    return outputs


def test_nothing_is_stored_by_nbclient_which_nbconvert_and_the_site_run(tmp_path):
    notebook = nbformat.read(written(tmp_path / "work.ipynb"), 4)
    NotebookClient(notebook, kernel_name="python3").execute()
    assert stored(notebook) == []


def test_nothing_is_stored_by_papermill(tmp_path):
    executed = papermill.execute_notebook(
        written(tmp_path / "work.ipynb"), None, kernel_name="python3", progress_bar=False
    )
    assert stored(executed) == []


def test_nothing_is_seen_by_nbval(tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval"]
    ran = subprocess.run([*command, written(tmp_path / "work.ipynb")], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "3 passed" in ran.stdout


class Desk:
    """A kernel with a person before it: cells may ask for input, as JupyterLab says with each request."""

    def __init__(self):
        self.manager, self.client = start_new_kernel(kernel_name="python3")
        self.run(WORK)

    def run(self, source: str, allow_stdin: bool = True) -> list[dict]:
        """What the cell shows, message by message."""
        messages = []
        self.client.execute_interactive(source, allow_stdin=allow_stdin, output_hook=messages.append, timeout=60)
        return [message for message in messages if message["msg_type"] not in ("status", "execute_input")]

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def desk():
    desk = Desk()
    yield desk
    desk.stop()


def texts(messages: list[dict]) -> list[str]:
    """Of the one output that displays and updates make; an empty text is an output without data."""
    shown = [message["content"] for message in messages if message["msg_type"].endswith("display_data")]
    assert len({content["transient"]["display_id"] for content in shown}) <= 1
    assert sum(message["msg_type"] == "display_data" for message in messages) <= 1
    return [content["data"].get("text/plain", "") for content in shown]


def test_a_cell_shows_what_how_far_how_fast_and_how_long(desk):
    first, *more, last = texts(desk.run("with doing('run 1 of 2'):\n    work('mnist by linear')"))
    assert first.splitlines()[0] == "run 1 of 2"
    assert "mnist by linear:   0%" in first
    assert any("33%" in text for text in more)
    (late,) = (text for text in more if "67%" in text)
    _, line = late.splitlines()
    assert "200/300" in line
    assert "image/s, loss=0.125" in line
    assert "<00:0" in line  # the time left
    assert len(line) <= 96
    assert last == ""


def test_bars_after_each_other_and_inside_each_other_share_the_output(desk):
    shown = texts(desk.run("work('first')\nouter = Progress('outer', 2)\nwork('inner')\nouter.close()"))
    assert any(text.count("\n") == 1 and "outer" in text and "inner" in text for text in shown)
    assert not any("first" in text and "outer" in text for text in shown)
    assert shown[-1] == ""


def test_short_work_shows_nothing(desk):
    assert desk.run("progress.DELAY = 60.0\nwith doing('run 1 of 1'):\n    work('short')\nprogress.DELAY = 0.0") == []


@pytest.mark.parametrize("end", ["", "\nraise KeyboardInterrupt", "\n1 / 0"])
def test_what_a_cell_leaves_open_goes_with_the_cell(end, desk):
    messages = desk.run(f"say('waiting')\nbar = Progress('left open', 5){end}")
    shown = texts(messages)
    assert shown[0] == "waiting"
    assert "left open" in shown[1]
    assert shown[-1] == ""
    assert "left open" not in "".join(texts(desk.run("work('next')")))


def test_a_cell_that_nobody_looks_at_shows_nothing(desk):
    assert desk.run("say('waiting')\nwith doing('run 1 of 2'):\n    work('unseen')", allow_stdin=False) == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def some_work() -> None:
    say("waiting")
    with doing("run 1 of 1"):
        bar = Progress("mnist by linear", 200)
        bar.advance(100, loss="0.5")
        bar.bar.refresh()
        bar.close()


def test_a_terminal_shows_lines_that_stay_and_a_bar_that_goes(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("taujp_core.progress.DELAY", 0.0)
    monkeypatch.setattr(sys, "stderr", terminal)
    some_work()
    text = terminal.getvalue()
    assert text.startswith("waiting\nrun 1 of 1\n")
    assert "mnist by linear:  50%" in text
    assert text.rpartition("mnist")[2].rpartition("\r")[0].endswith(" " * 20)  # written over


@pytest.mark.parametrize("stderr", [io.StringIO(), None])
def test_a_log_and_a_window_without_one_stay_empty(stderr, monkeypatch):
    monkeypatch.setattr("taujp_core.progress.DELAY", 0.0)
    monkeypatch.setattr(sys, "stderr", stderr)
    some_work()
    assert not stderr or stderr.getvalue() == ""
    assert not watched_cell()
    assert CELL.headlines == []


def test_the_hubs_bars_are_silent_but_in_a_terminal():
    ask = (
        "import huggingface_hub; from taujp_core.progress import quiet_downloads; "
        "quiet_downloads(); print(huggingface_hub.utils.are_progress_bars_disabled())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_DISABLE_PROGRESS_BARS"}
    ran = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout == "True\n"
