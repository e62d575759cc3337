"""What do the runs of a study say, as one table?"""

import json
from pathlib import Path

import pandas as pd

PLAN = "plan.json"
COLUMNS = (
    "suite", "method", "penalty_weight", "seed", "task", "steps", "zero_shot", "accuracy", "tau_norm", "seconds",
    "images_per_second", "peak_memory_mib", "hardware", "commit", "run",
)  # fmt: skip


def collect(folder: Path | str) -> pd.DataFrame:
    """All records of a study's finished runs, a row a run: what was trained, validation accuracy before and after, ‖τ‖,
    cost and origin. Without a plan, or before the first run is finished, the table has no rows.

    folder: runs/STUDY, which holds the plan. A record that is not there yet, or cannot be read, has no row: the next
    call of the study trains that run again.
    """
    rows = [record_row(Path(point["run"])) for point in read_plan(Path(folder)) if point["run"]]
    return pd.DataFrame([row for row in rows if row], columns=list(COLUMNS))


def read_plan(folder: Path) -> list[dict]:
    """The points of the study's last call; none if there is no plan that can be read (the next call writes it anew)."""
    try:
        return json.loads((folder / PLAN).read_text(encoding="utf-8"))["points"]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def record_row(run: Path) -> dict | None:
    """Of the run's record; None if there is none, or none that can be read."""
    try:
        record = json.loads((run / "record.json").read_text(encoding="utf-8"))
        config, metrics, hardware = record["config"], record["metrics"], record["hardware"]
        return {
            **{name: config[name] for name in ("suite", "method", "penalty_weight", "seed", "task", "steps")},
            "zero_shot": metrics["zero_shot_validation_accuracy"],
            "accuracy": metrics["validation_accuracy"],
            "tau_norm": metrics["tau_norm"],
            **{name: record[name] for name in ("seconds", "images_per_second", "peak_memory_mib", "commit")},
            "hardware": hardware["accelerator"] or hardware["processor"],
            "run": str(run),
        }
    except (OSError, ValueError, TypeError, KeyError):
        return None
