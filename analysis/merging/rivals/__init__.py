"""Which rivals are there? One a file of this folder; a new one is a new file with a RIVAL.

All merge plain state dicts with the defaults of their papers. Of CLIP's parameters those that are linear maps
(`matrices.py`) are merged as matrices by the methods that know matrices; these leave everything else to the mean,
where nothing else is said.
"""

import pandas as pd

from taujp_core.registry import Registry, in_files

from .rival import Evidence, Rival

__all__ = ["RIVALS", "Evidence", "Rival", "find_rival", "rivals_table"]

RIVALS: Registry[Rival] = Registry("merging method")
register, find_rival = RIVALS.register, RIVALS.find

for _rival in in_files(__name__, __path__, "RIVAL"):
    register(_rival)


def rivals_table() -> pd.DataFrame:
    """A row for each rival: what it needs beside the vectors, whether it is data-free, and its paper."""
    columns = ("name", "images", "class_names", "labels", "data_free", "paper")
    return pd.DataFrame([{column: getattr(rival, column) for column in columns} for rival in RIVALS.values()])
