"""Which rivals are there? One a file of this folder; a new one is a new file with a RIVAL.

All merge plain state dicts with the defaults of their papers. Of CLIP's parameters those that are linear maps
(`matrices.py`) are merged as matrices by the methods that know matrices; these leave everything else to the mean,
where nothing else is said.
"""

import importlib
import pkgutil

import pandas as pd

from taujp_core.checks import one_of

from .rival import Evidence, Rival

__all__ = ["RIVALS", "Evidence", "Rival", "find_rival", "rivals_table"]

RIVALS: dict[str, Rival] = {}


def register(rival: Rival) -> None:
    """Raises ValueError for a name that is taken."""
    if rival.name in RIVALS:
        raise ValueError(f"there is a rival {rival.name} already")
    RIVALS[rival.name] = rival


def find_rival(name: str) -> Rival:
    """Raises ValueError for an unknown name."""
    return RIVALS[one_of("merging method", name, RIVALS)]


def rivals_table() -> pd.DataFrame:
    """A row for each rival: what it needs beside the vectors, whether it is data-free, and its paper."""
    columns = ("name", "images", "class_names", "labels", "data_free", "paper")
    return pd.DataFrame([{column: getattr(rival, column) for column in columns} for rival in RIVALS.values()])


for _module in pkgutil.iter_modules(__path__):
    if hasattr(_file := importlib.import_module(f"{__name__}.{_module.name}"), "RIVAL"):
        register(_file.RIVAL)
