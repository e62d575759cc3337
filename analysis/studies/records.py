"""What do the runs of a study say, as one table?"""

import json
from pathlib import Path

import pandas as pd

from ..paths import PLAN

COLUMNS = (
    "suite", "method", "penalty_weight", "seed", "task", "steps", "zero_shot", "accuracy", "tau_norm", "seconds",
    "images_per_second", "peak_memory_mib", "hardware", "commit", "run",
)  # fmt: skip


def collect(folder: Path | str) -> pd.DataFrame:
    """All records of a study's finished runs, a row per run: what was trained, validation accuracy before and after, ‖τ‖,
    cost and origin. Without a plan, or before the first run is finished, the table has no rows.

    folder: runs/STUDY, which holds the plan. A record that is not there yet, or cannot be read, has no row: the next
    call of the study trains that run again. Raises PermissionError for one that this user may not read.
    """
    rows = [record_row(Path(run)) for run in planned_runs(Path(folder))]
    return pd.DataFrame([row for row in rows if row], columns=list(COLUMNS))


def planned_runs(folder: Path) -> list[str]:
    """Runs of the study's last call; none if there is no plan that can be read (the next call writes it anew)."""
    points = read_object(folder / PLAN).get("points")
    runs = [point.get("run") for point in points if isinstance(point, dict)] if isinstance(points, list) else []
    return [run for run in runs if run and isinstance(run, str)]


def read_object(path: Path) -> dict:
    """What a JSON file holds; nothing if it is not there or is damaged. Raises PermissionError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except PermissionError:
        raise
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def record_row(run: Path) -> dict | None:
    """Of the run's record; None if there is none, or none that can be read. Raises PermissionError."""
    record = read_object(run / "record.json")
    try:
        config, metrics, hardware = record["config"], record["metrics"], record["hardware"]
        return {
            **{name: config[name] for name in ("suite", "method", "penalty_weight", "seed", "task", "steps")},
            "zero_shot": float(metrics["zero_shot_validation_accuracy"]),
            "accuracy": float(metrics["validation_accuracy"]),
            "tau_norm": float(metrics["tau_norm"]),
            **{name: record[name] for name in ("seconds", "images_per_second", "peak_memory_mib", "commit")},
            "hardware": hardware["accelerator"] or hardware["processor"],
            "run": str(run),
        }
    except (ValueError, TypeError, KeyError):
        return None
