"""Whose is a scheduler's file, by which workers find a study's driver?

A driver that is killed leaves its file. The study's own folder holds a copy, which says where the file is, so that the
next call can remove both.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from taujp_core.files import write_json

from .locks import give_back, is_taken, take
from .records import read_object

SCHEDULER = "scheduler.json"  # in the study's folder


def lock_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.lock")


@contextlib.contextmanager
def only_study(file: Path, study: str) -> Iterator[None]:
    """No other study has this file. Raises RuntimeError if one that runs has it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = take(lock_of(file))
    if lock is None:
        other = read_object(file).get("study", "another study")
        raise RuntimeError(f"{file} is the scheduler file of {other}, which is running: give {study} another one")
    try:
        yield
    finally:
        give_back(lock_of(file), lock)


def write_scheduler_file(file: Path, folder: Path, said: dict) -> None:
    for path in {file, (folder / SCHEDULER).absolute()}:
        write_json(path, {**said, "file": str(file)})


def remove_scheduler_file(folder: Path) -> None:
    """That of a driver that has ended, unless another has written its own there."""
    ours = (folder / SCHEDULER).absolute()
    said = read_object(ours)
    elsewhere = Path(str(said.get("file", ours)))
    if elsewhere != ours and read_object(elsewhere) == said:
        elsewhere.unlink(missing_ok=True)
    ours.unlink(missing_ok=True)


def sweep_scheduler_files(folder: Path) -> None:
    """Removes the scheduler files that a killed driver left, and the lock file of each if no process has the lock.

    The caller has the study's lock.
    """
    ours = (folder / SCHEDULER).absolute()
    places = {ours, Path(str(read_object(ours).get("file", ours)))}
    remove_scheduler_file(folder)
    for place in places:
        is_taken(lock_of(place))
