"""What does `make quickstart` run and say? What it trains, a line for each training, a table, and the conclusion.

A notebook's kernel writes no progress into the terminal of its command: it leaves lines in a file, and they are shown from there.
"""

import os
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # the kernel's debugger warns of Python's frozen modules

import nbformat
import pandas as pd
import papermill

from taujp_core.progress import LINES

from ..paths import in_project
from ..sentences import in_words, listed
from .study import METHODS, QuickstartStudy

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "00_quickstart.ipynb"
COLUMNS = {
    "single_task": "single task",
    "one_shot": "sum, α = 1",
    "tuned": "sum, tuned α",
    "tau_jp_others": "τJp on other tasks",
}
PAUSE = 0.3  # seconds between two looks at the lines


def main() -> int:
    study = QuickstartStudy()
    folder = in_project(study.output)
    folder.mkdir(parents=True, exist_ok=True)
    print(
        f"Fine-tunes a small CLIP on {listed(study.tasks)} by {listed([in_words(method) for method in METHODS])}: "
        f"{len(study.tasks) * len(METHODS)} short trainings.\nThen adds the task vectors of each method. This takes about two minutes on two "
        f"quiet cores; trainings that {in_project(study.store)} has already are not repeated.",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as temporary:
        lines = Path(temporary, "lines")
        lines.touch()
        os.environ[LINES] = str(lines)
        done = threading.Event()
        thread = threading.Thread(target=show, args=(lines, done))
        thread.start()
        try:
            executed = papermill.execute_notebook(
                NOTEBOOK, folder / NOTEBOOK.name, progress_bar=False, extra_arguments=["--log-level=ERROR"]
            )
        except papermill.PapermillExecutionError as error:
            print(f"The notebook stopped: {error.ename}: {error.evalue}", file=sys.stderr)
            return 1
        finally:
            done.set()
            thread.join()
    table = pd.read_json(folder / "summary.json", orient="index")[list(COLUMNS)].rename(columns=COLUMNS, index=in_words)
    print(f"\nMean test accuracies over the tasks, and τJp:\n{table.round(2).to_string()}\n")
    print(f"The executed notebook: {folder / NOTEBOOK.name}\n\n{conclusion(executed)}")
    return 0


def show(lines: Path, done: threading.Event) -> None:
    """Print the lines as they come, with the seconds since the beginning."""
    began, shown = time.monotonic(), 0
    while True:
        last = done.wait(PAUSE)
        text = lines.read_text(encoding="utf-8")
        complete = text[shown : text.rfind("\n") + 1]
        shown += len(complete)
        for line in complete.splitlines():
            print(f"{time.monotonic() - began:5.0f} s  {line}", flush=True)
        if last:
            return


def conclusion(notebook: nbformat.NotebookNode) -> str:
    """The sentence that the notebook ends with."""
    text = "\n".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    return re.findall(r"^This small version shows: .*$", text, re.MULTILINE)[-1]


if __name__ == "__main__":
    sys.exit(main())
