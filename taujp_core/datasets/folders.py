"""Below which folder do data sets lie?"""

import os
from pathlib import Path

from ..files import cache_folder


def data_folder() -> Path:
    """TAUJP_DATA, by default `data` in the cache folder: below it lie the data sets."""
    return Path(os.environ.get("TAUJP_DATA", cache_folder() / "data")).expanduser().absolute()


def below_data(path: str) -> Path:
    """An absolute path as it is, `~` for the user's folder; a relative one starts at the data folder."""
    return data_folder() / Path(path).expanduser()
