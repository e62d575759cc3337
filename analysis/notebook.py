"""What does every notebook need? Figures that show where no script runs, tables that nbval compares, recorded results."""

import os
import re
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from choreographer.browsers.chromium import Chromium

from taujp_core.files import write_json, write_text

from .drawing import WIDTH
from .paths import in_project

__all__ = ["conclusion", "in_project", "record_result", "show", "show_table", "write_table"]


def show(figure: go.Figure) -> None:
    """Show a figure as data, as wide as its cell, and where a browser can draw it also as a PNG of WIDTH pixels."""
    if "PLOTLY_RENDERER" in os.environ:
        figure.show()
        return
    can_draw = Chromium.find_browser(skip_local=False) is not None
    figure.show(renderer="plotly_mimetype+png" if can_draw else "plotly_mimetype", width=WIDTH)


def show_table(table: pd.DataFrame, digits: int) -> None:
    """Show a table as text, rounded: what nbval compares."""
    with pd.option_context("display.width", 160, "display.max_columns", 30):
        print(re.sub(r"[ ]+$", "", table.round(digits).to_string(), flags=re.MULTILINE))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """CSV, written atomically."""
    write_text(path, table.to_csv(index=False))


def conclusion(findings: dict[str, bool]) -> str:
    """What was expected of the τJp penalty as a sentence; what does not hold, and that nothing can, is said as well."""
    if not findings:
        return "There is nothing to compare: that takes a method with the τJp penalty and one without and, for addition, two tasks."
    yes, no = ([text for text, holds in findings.items() if holds is wanted] for wanted in (True, False))
    parts = [f"has {', '.join(yes)}"] * bool(yes) + [f"does not have {', '.join(no)}"] * bool(no)
    return f"Fine-tuning with the τJp penalty {'; it '.join(parts)}."


def record_result(path: Path, result: dict) -> None:
    """Write a notebook's result as JSON; a number that is missing (NaN) is null, an infinite one is refused."""
    write_json(path, plain(result))


def plain(value: object) -> object:
    """Dicts, lists, texts and Python's numbers."""
    if isinstance(value, dict):
        return {str(key): plain(element) for key, element in value.items()}
    if isinstance(value, list | tuple):
        return [plain(element) for element in value]
    if isinstance(value, str | bool | int | None):
        return value
    return None if pd.isna(value) else float(value)
