"""What every notebook needs: checked parameters, figures that show where no script runs, recorded results."""

import json
import os
import re
import sys
import types
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from beartype.door import is_bearable
from choreographer.browsers.chromium import Chromium

from taujp_core.files import write_json, write_text

JUPYTER_NAMES = {"In", "Out", "exit", "quit", "open", "get_ipython"}


class ParameterError(ValueError):
    """A notebook parameter that is unknown or has the wrong type; shown as one sentence, without a traceback."""

    def _render_traceback_(self) -> list[str]:  # IPython's hook
        return [f"ParameterError: {self}"]


def check_parameters(namespace: dict) -> None:
    """Check the notebook's parameters. Call it first, with `globals()`.

    The annotated names are the notebook's own; papermill puts its values below them without annotations and
    only warns about names that the notebook does not have. Integers are accepted for floats.
    """
    declared = annotations(namespace)
    given = {
        name
        for name, value in namespace.items()
        if not name.startswith("_") and name not in JUPYTER_NAMES and not isinstance(value, types.ModuleType | type)
        and not callable(value)
    }  # fmt: skip
    # When a cell is run again by hand, the names of later cells are there too.
    for name in sorted(given - declared.keys()) if "_parameters_checked" not in namespace else ():
        raise ParameterError(f"unknown parameter {name}: accepted are {', '.join(declared)}")
    for name, hint in declared.items():
        value = namespace[name]
        if hint is float and isinstance(value, int) and not isinstance(value, bool):
            namespace[name] = value = float(value)
        wrong_bool = isinstance(value, bool) and hint is not bool
        if wrong_bool or not is_bearable(value, hint):
            kind = (
                getattr(hint, "__name__", None)
                if isinstance(hint, type) and not hasattr(hint, "__args__")
                else str(hint)
            )
            raise ParameterError(f"parameter {name} must be {kind}, not {type(value).__name__} {value!r}")
    namespace["_parameters_checked"] = True


def annotations(namespace: dict) -> dict[str, object]:
    """Types of the annotated names at the top level of a notebook."""
    if sys.version_info >= (3, 14):
        import annotationlib

        if "__annotate__" in namespace:
            return annotationlib.call_annotate_function(namespace["__annotate__"], annotationlib.Format.VALUE)
    return namespace.get("__annotations__", {})


def show(figure: go.Figure) -> None:
    """Show a figure as data and, where a browser can draw it, also as PNG."""
    if "PLOTLY_RENDERER" in os.environ:
        figure.show()
        return
    can_draw = Chromium.find_browser(skip_local=False) is not None
    figure.show(renderer="plotly_mimetype+png" if can_draw else "plotly_mimetype")


def show_table(table: pd.DataFrame, digits: int) -> None:
    """Show a table as text, rounded: what nbval compares."""
    with pd.option_context("display.width", 160, "display.max_columns", 30):
        print(re.sub(r"[ ]+$", "", table.round(digits).to_string(), flags=re.MULTILINE))


def in_project(path: str) -> Path:
    """A notebook's relative path, from wherever its kernel runs: below TAUJP_HOME, or below the repository."""
    return Path(os.environ.get("TAUJP_HOME", Path(__file__).parents[1])) / path


def write_table(path: Path, table: pd.DataFrame) -> None:
    """CSV, written atomically."""
    write_text(path, table.to_csv(index=False))


def conclusion(findings: dict[str, bool]) -> str:
    """What was expected of the τJp penalty as a sentence; what does not hold is said as well."""
    yes, no = ([text for text, holds in findings.items() if holds is wanted] for wanted in (True, False))
    parts = [f"has {', '.join(yes)}"] * bool(yes) + [f"does not have {', '.join(no)}"] * bool(no)
    return f"Fine-tuning with the τJp penalty {'; it '.join(parts)}."


def record_result(path: Path, result: dict) -> None:
    """Write a notebook's result as JSON, NaN refused."""
    write_json(path, json.loads(json.dumps(result, default=float)))
