"""Where do a notebook's paths lead, and can something be written there?"""

import os
from pathlib import Path


def in_project(path: str) -> Path:
    """A notebook's relative path, from wherever its kernel runs: below TAUJP_HOME, or below the repository.

    Where the package is installed and there is no repository, below the working folder.
    """
    repository = Path(__file__).parents[1]
    home = repository if (repository / "pyproject.toml").is_file() else Path.cwd()
    return Path(os.environ.get("TAUJP_HOME", home)) / path


def check_writable(path: str) -> None:
    """Raises ValueError unless `path` is, or can become, a folder that files can be written into. Nothing is made."""
    if not path.strip():
        raise ValueError(f"{path!r} is no name of a folder")
    folder = in_project(path)
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not nearest.is_dir():
        raise ValueError(f"{path!r} cannot be a folder, for {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"{path!r} cannot be written, for {nearest} may not be written into")


def check_readable(path: str, folder: bool) -> None:
    """Raises FileNotFoundError for a path that does not exist, ValueError for a file where a folder is wanted."""
    place = in_project(path)
    if not place.exists():
        raise FileNotFoundError(f"{place} does not exist")
    if folder and not place.is_dir():
        raise ValueError(f"{place} is not a folder")
