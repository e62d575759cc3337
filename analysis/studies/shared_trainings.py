"""What has another study done already? Trainings that several studies read are run once."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from taujp_core.files import Damaged, write_atomically

from .damage import check_notebook
from .point import Point, finished_file


def take_over(folder: Path, points: Iterable[Point]) -> int:
    """Copy the notebooks of trainings that another study beside this one did, as long as their runs are in the store.

    A point's key names its run, so that the same key is the same training. Returns how many were copied.
    """
    count = 0
    for point in points:
        target = finished_file(folder, point.key)
        if not point.run or target.exists() or not (Path(point.run) / "record.json").exists():
            continue
        others = sorted(folder.parent.glob(f"*/points/{point.key}.ipynb"))
        if other := next((other for other in others if is_whole(other)), None):
            write_atomically(target, lambda temporary, other=other: shutil.copyfile(other, temporary))
            count += 1
    return count


def is_whole(notebook: Path) -> bool:
    """Whether it can be read, and came to its end."""
    try:
        check_notebook(notebook)
    except (OSError, Damaged):
        return False
    return True
