"""Where do a notebook's paths lead, and can something be written there?"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from taujp_core.files import from_home, named_folder

PLAN = "plan.json"  # in the folder of a study that `analysis.studies` ran
TRIES = 3  # another process may be removing the same empty folder, after a trial of its own


def in_project(path: str) -> Path:
    """A notebook's relative path, from wherever its kernel runs: below TAUJP_HOME, or below the repository.

    Where the package is installed and there is no repository, below the working folder.
    """
    repository = Path(__file__).parents[1]
    home = repository if (repository / "pyproject.toml").is_file() else Path.cwd()
    return (named_folder("TAUJP_HOME") or home) / from_home(path, "a path")


def check_writable(path: str) -> None:
    """Raises ValueError unless `path` is, or can become, a folder that files can be written into.

    It is tried, for permissions do not tell it of every file system; what is made for that is removed again.
    """
    if not path.strip():
        raise ValueError(f"{path!r} is no name of a folder")
    folder = in_project(path)
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not nearest.is_dir():
        raise ValueError(f"{path!r} cannot be a folder, for {nearest} is a file")
    for left in reversed(range(TRIES)):
        try:
            return write_in(folder)
        except OSError as error:
            if not (left and isinstance(error, FileNotFoundError)):
                raise ValueError(f"{path!r} cannot be made below {nearest}: {error.strerror}") from None


def write_in(folder: Path) -> None:
    """Make the folder and a file in it, and leave things as they were. Raises OSError."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    finally:
        for place in made:
            with suppress(OSError):  # not made, or another process has begun to use it
                place.rmdir()


def check_readable(path: str, folder: bool) -> None:
    """Raises FileNotFoundError for a path that does not exist, ValueError for a file where a folder is wanted."""
    place = in_project(path)
    if not place.exists():
        raise FileNotFoundError(f"{place} does not exist")
    if folder and not place.is_dir():
        raise ValueError(f"{place} is not a folder")
