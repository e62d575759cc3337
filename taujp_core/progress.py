"""How far is long work?

One line that shows how far long work is, in a terminal and in a notebook that somebody looks at; silent elsewhere
(papermill, nbconvert, nbval, CI, a redirected log). A line is there from DELAY seconds on, and gone when it is done.
"""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.utils import disable_progress_bars
from tqdm import tqdm

DELAY = 0.5  # seconds; shorter work shows nothing
LINES = "TAUJP_PROGRESS"  # environment: a file that gets the lines of a notebook that a command runs and watches
WIDTH = 96  # characters in a cell: they fit a window of 800 pixels


class Progress:
    """Counts images, or another unit: done, total, units per second, time left.

    `terminal=False`: not in a terminal, where a library shows the same work in its own way.
    """

    def __init__(self, title: str, images: int, done: int = 0, unit: str = "image", terminal: bool = True):
        in_cell = watched_cell()
        kind, place = (CellBar, {"ncols": WIDTH}) if in_cell else (tqdm, {"dynamic_ncols": True})
        self.bar = kind(
            desc=title,
            total=images,
            initial=done,
            unit=unit,
            unit_scale=True,
            leave=False,
            delay=DELAY,
            disable=not (in_cell or (terminal and watched_terminal())),
            **place,
        )

    def advance(self, images: int, **notes: str) -> None:
        self.bar.set_postfix({name: note for name, note in notes.items() if note}, refresh=False)
        self.bar.update(images)

    def close(self) -> None:
        self.bar.close()


def say(line: str) -> None:
    """A line where somebody watches; in a cell it gives way to the next, and goes with the bars or with the cell."""
    if watched_terminal():
        tqdm.write(line, file=sys.stderr)
    elif watched_cell():
        CELL.said = [line]
        CELL.draw()


@contextmanager
def doing(line: str) -> Iterator[None]:
    """What the bars inside are a part of: a line that stays in a terminal or a file, and stands above the bars in a cell."""
    if watched_terminal():
        tqdm.write(line, file=sys.stderr)
    if file := os.environ.get(LINES):
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.write(f"{line}\n")
    CELL.headlines.append(line)
    try:
        yield
    finally:
        CELL.headlines.remove(line)


def quiet_downloads() -> None:
    """The hub's own bars are for a terminal: elsewhere they would be text, or a widget, in what is stored."""
    if not watched_terminal():
        disable_progress_bars()


def watched_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def watched_cell() -> bool:
    """Whether a cell runs in a front end with a person at it: JupyterLab, VS Code, a classic notebook.

    Jupyter's messages say so: an execute request that allows standard input comes from somebody who could answer a
    question. papermill, nbconvert and nbval (nbclient) do not allow it.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if not hasattr(shell, "kernel"):
        return False
    return bool(shell.get_parent().get("content", {}).get("allow_stdin", False))


class Cell:
    """The one output of a running cell that holds all lines of progress; it is left without data."""

    def __init__(self):
        self.headlines: list[str] = []
        self.said: list[str] = []
        self.bars: dict[int, str] = {}  # by the bar's id: tqdm compares bars by their places
        self.handle = None

    def draw(self) -> None:
        from IPython import get_ipython
        from IPython.display import display

        lines = [*(self.headlines if self.bars else ()), *self.said, *self.bars.values()]
        data = {"text/plain": "\n".join(lines)} if lines else {}
        if self.handle:
            self.handle.update(data, raw=True)
        elif data:
            self.handle = display(data, raw=True, display_id=True)
            # A cell that is interrupted or fails leaves bars open.
            get_ipython().events.register("post_run_cell", self.finish)

    def finish(self, result: object = None) -> None:
        """At the end of the cell: nothing is left to see, and the next cell has an output of its own."""
        from IPython import get_ipython

        get_ipython().events.unregister("post_run_cell", self.finish)
        self.said, self.bars = [], {}
        self.draw()
        self.handle = None


CELL = Cell()


class CellBar(tqdm):
    """tqdm's line as text in the cell's output."""

    monitor_interval = 0  # tqdm's thread would draw into whichever cell runs when it wakes

    def __init__(self, *arguments, **options):
        # tqdm writes cursor movements into its file.
        super().__init__(*arguments, file=io.StringIO(), ascii=False, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        if msg == "":
            CELL.bars.pop(id(self), None)
            CELL.said = CELL.said if CELL.bars else []
        else:
            CELL.bars[id(self)] = str(self)
        CELL.draw()
