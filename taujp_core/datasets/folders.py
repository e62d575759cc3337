"""Below which folder do data sets lie, and is what should be there there?"""

from pathlib import Path

from ..files import cache_folder, from_home, named_folder


def data_folder() -> Path:
    """TAUJP_DATA, by default `data` in the cache folder: below it lie the data sets."""
    return (named_folder("TAUJP_DATA") or cache_folder() / "data").absolute()


def below_data(path: str) -> Path:
    """An absolute path as it is, `~` for the user's folder; a relative one starts at the data folder."""
    path = from_home(path, "a data set's path")
    return path if path.is_absolute() else data_folder() / path


def existing(path: Path, said: str = "", hint: str = "") -> Path:
    """The path itself. Raises FileNotFoundError if nothing is there: `said`, by default the path, does not exist, hint."""
    if not path.exists():
        raise FileNotFoundError(f"{said or path} does not exist{hint}")
    return path
