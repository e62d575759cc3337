"""Is each snapshot there that somebody asks for, or still to come?"""

from collections.abc import Sequence
from pathlib import Path

from ..files import Damaged, is_there, read_metadata
from .config import RunConfig
from .run_store import snapshot_file


def check_steps(config: RunConfig, snapshot_steps: Sequence[int]) -> None:
    """Raises ValueError for a step that the run does not have."""
    for step in snapshot_steps:
        if not 1 <= step <= config.steps:
            raise ValueError(f"a snapshot is taken after a step from 1 to {config.steps}, not after {step}")


def check_snapshots(folder: Path, snapshot_steps: Sequence[int], done: int) -> None:
    """Raises ValueError for a step that the run has passed without leaving a snapshot, Damaged for a snapshot of another
    run or step."""
    for step in snapshot_steps:
        if step > done:
            continue
        file = snapshot_file(folder, step)
        if not is_there(file):
            raise ValueError(
                f"{file} does not exist: the run passed step {step} without leaving a snapshot: move {folder} away "
                "or use another store"
            )
        found = read_metadata(file)
        if (found.get("run"), found.get("step")) != (folder.name, step):
            raise Damaged(f"{file} is not of this run after {step} steps: move {folder} away to train the run again")
