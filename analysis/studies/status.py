"""Where does a study stand, on one line of a terminal, and as a page that can be opened while it runs?"""

import html
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from taujp_core.files import write_text

from .driver import Tally
from .point import failed_files, finished_file
from .records import record_row
from .study import Study

STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}.bar{background:#e4e4e4;height:1rem}.bar div{background:#3a7d44;height:1rem}
.failed{color:#b00020}.waiting,.running,.blocked{color:#777}"""


class Line:
    """One line, gone when the study is through; silent where nobody watches."""

    def __init__(self):
        self.bar = tqdm(bar_format="{desc}", leave=False, dynamic_ncols=True, disable=not sys.stderr.isatty())

    def show(self, tally: Tally) -> None:
        if not self.bar.disable:
            self.bar.set_description_str(described(tally))

    def say(self, sentence: str) -> None:
        """Above the line, or wherever standard output goes."""
        tqdm.write(sentence, file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        self.bar.close()


def described(tally: Tally) -> str:
    parts = [f"{len(tally.done)} of {len(tally.points)} points done", f"{tally.running()} running"]
    parts += [f"{len(tally.failed)} failed"] if tally.failed else []
    parts += [f"deaths of workers: {sum(tally.deaths.values())}"] if tally.deaths else []
    if tally.open and not tally.slots:
        parts.append("waiting for workers")
    elif (left := tally.seconds_left()) is not None:
        parts.append(f"about {duration(left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """In the largest unit that is not below 2 of it."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


class Page:
    """FOLDER/report.html, written atomically. Records are read once, when their point is first seen to be done."""

    def __init__(self, folder: Path, study: Study, notes: list[str]):
        self.folder, self.study, self.notes = folder, study, notes
        self.seconds: dict[str, float] = {}
        self.records: dict[str, dict] = {}
        self.seen: set[str] = set()

    def write(self, tally: Tally) -> None:
        for key in tally.done - self.seen:
            self.seen.add(key)
            with suppress(PermissionError):  # what one may not read is said elsewhere
                if tally.points[key].run and (row := record_row(Path(tally.points[key].run))):
                    self.records[key] = row
        write_text(self.folder / "report.html", self.text(tally))

    def text(self, tally: Tally) -> str:
        share = 100 * len(tally.done) / max(1, len(tally.points))
        counts = f"{len(tally.done)} of {len(tally.points)} points done, {tally.running()} running, {len(tally.failed)} failed"
        blocked = f", {len(tally.blocked)} not run, for what they read failed" if tally.blocked else ""
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return (
            f"<!doctype html><meta charset=utf-8><title>{html.escape(self.study.name)}</title><style>{STYLE}</style>"
            f"<h1>{html.escape(self.study.name)}</h1><p>{html.escape(self.study.answers)}</p>"
            f"<div class=bar><div style='width:{share:.1f}%'></div></div><p>{counts}{blocked}; "
            f"{time.strftime('%Y-%m-%d %H:%M:%S')}.</p>{notes}{self.accuracies()}"
            f"<h2>Points</h2><table><tr><th>point<th>state<th>validation accuracy<th>training</tr>"
            f"{''.join(self.row(tally, key) for key in tally.points)}</table>\n"
        )

    def row(self, tally: Tally, key: str) -> str:
        record = self.records.get(key)
        accuracy = f"{record['accuracy']:.3f}" if record else ""
        seconds = f"{record['seconds']:.0f} s" if record else ""
        name, state = html.escape(key), state_of(tally, key)
        said = state + (f"; workers that died in it: {deaths}" if (deaths := tally.deaths.get(key)) else "")
        if state == "done":
            name = self.link(finished_file(self.folder, key), name)
        elif state == "failed":
            notebook, text = failed_files(self.folder, key)
            said = f"failed: {html.escape(tally.failed[key].error[:300])} ({self.link(text, 'traceback')})"
            name = self.link(notebook, name) if notebook.exists() else name
        return f"<tr><td>{name}<td class={state}>{said}<td>{accuracy}<td>{seconds}</tr>\n"

    def link(self, path: Path, text: str) -> str:
        return f"<a href='{html.escape(os.path.relpath(path, self.folder))}'>{text}</a>"

    def accuracies(self) -> str:
        """Means over the seeds so far, of each suite a table: methods and λ in rows, tasks in columns."""
        if not self.records:
            return ""
        records = pd.DataFrame(list(self.records.values()))
        tables = []
        for suite, rows in records.groupby("suite", sort=False):
            table = rows.pivot_table(index=["method", "penalty_weight"], columns="task", values="accuracy", sort=False)
            table.index = [f"{method}, λ = {weight:g}" if weight else method for method, weight in table.index]
            tables.append(
                f"<h2>{html.escape(suite)}: validation accuracy so far</h2>{table.to_html(float_format='%.3f', na_rep='', border=0)}"
            )
        return "".join(tables)


def state_of(tally: Tally, key: str) -> str:
    if key in tally.done:
        return "done"
    if key in tally.failed:
        return "failed"
    if key in tally.blocked:
        return "blocked"
    return "running" if key in tally.open else "waiting"
