"""Which files of an earlier call cannot be read any more? They are set aside, and their points are done again.

Everything here is written under another name and renamed, so that a kill damages nothing; a disk or a person may.
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import safetensors
from filelock import FileLock, Timeout

from taujp_core.files import read_json

from .points import Point, finished_file

DAMAGED = "damaged"  # folder of the study


def set_damaged_aside(folder: Path, points: Iterable[Point]) -> list[str]:
    """Move unreadable notebooks and runs to FOLDER/damaged; a sentence for each. The points are then not done."""
    said = []
    for point in points:
        notebook = finished_file(folder, point.key)
        if point.run and (file := unreadable_file(Path(point.run))):
            try:
                with FileLock(Path(point.run) / ".lock", timeout=0):
                    said.append(
                        f"{file} cannot be read: moved to {moved(Path(point.run), folder)}, to be trained again"
                    )
            except Timeout:  # somebody trains it, and knows what is there
                continue
            if notebook.exists():
                moved(notebook, folder)
        elif point.run and notebook.exists() and not (Path(point.run) / "record.json").exists():
            said.append(f"the run of {notebook} is gone: moved to {moved(notebook, folder)}, to be trained again")
        elif notebook.exists() and not came_to_its_end(notebook):
            said.append(f"{notebook} cannot be read: moved to {moved(notebook, folder)}, to be run again")
    return said


def unreadable_file(run: Path) -> Path | None:
    """The first file of a run that is damaged. Of tensors the header is read, which tells the file's length."""
    for name in ("config.json", "record.json"):
        path = run / name
        try:
            if path.exists() and not isinstance(read_json(path), dict):
                return path
        except ValueError:
            return path
    expected = ["vector.safetensors"] if (run / "record.json").exists() else []
    for name in (*expected, "state.safetensors"):
        path = run / name
        try:
            if name in expected or path.exists():
                with safetensors.safe_open(path, framework="pt"):
                    pass
        except (OSError, safetensors.SafetensorError):
            return path
    return None


def came_to_its_end(notebook: Path) -> bool:
    try:
        metadata = json.loads(notebook.read_text(encoding="utf-8"))["metadata"]
        return metadata["papermill"]["exception"] is None and metadata["batch"]["seconds"] >= 0
    except (OSError, ValueError, TypeError, KeyError):
        return False


def moved(path: Path, folder: Path) -> Path:
    """Below FOLDER/damaged, under the first number that is free."""
    place = folder / DAMAGED
    place.mkdir(exist_ok=True)
    number = next(n for n in range(len(list(place.iterdir())) + 1) if not (place / f"{n}-{path.name}").exists())
    return Path(shutil.move(path, place / f"{number}-{path.name}"))
