"""Which sources of pictures are there? One a file of this folder; a new one is a new file with a SOURCE."""

from ...registry import in_files
from ...tasks import Source

SOURCES: list[type[Source]] = []  # those that an entry of a suite file may name


def discover() -> None:
    """Of every file of this folder that has one. Raises ValueError for a first key that another source has."""
    for source in in_files(__name__, __path__, "SOURCE"):
        if source not in SOURCES:
            if not source.keys or any(source.keys[0] == known.keys[0] for known in SOURCES):
                raise ValueError(f"{source.__name__} needs a key of its own for suite files, not {source.keys}")
            SOURCES.append(source)


discover()
