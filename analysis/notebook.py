"""What does every notebook need? Figures that show where no script runs, tables that nbval compares, recorded results."""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from choreographer.browsers.chromium import Chromium

from taujp_core.files import write_json, write_text

from .drawing import WIDTH
from .paths import in_project

__all__ = ["conclude", "in_project", "record_result", "show", "show_table", "write_table"]

# A picture that is drawn all the same is no message of a notebook: kaleido's browser complains of its own wire.
logging.getLogger("choreographer").setLevel(logging.CRITICAL)

PLACES = ("store", "output")  # parameters that say where, not what


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


def conclude(study: type, namespace: Mapping[str, object], text: str) -> None:
    """Print a notebook's last sentences, a line each; those of a run with the study's defaults are said to be small.

    namespace: the notebook's `globals()`, whose names are the study's parameters.
    """
    defaults = study()
    asked = {field.name: namespace.get(field.name) for field in fields(study) if field.name not in PLACES}
    small = all(getattr(value, "name", value) == getattr(defaults, name) for name, value in asked.items())
    *details, last = text.split("\n")
    print("\n".join([*details, f"This small version shows: {last}" if small else last]))


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
