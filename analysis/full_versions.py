"""What did the full version of a notebook find, where a minute of training cannot show it?

`analysis/recorded/` holds small tables of the executed notebooks in `results/mini`. `tests/tools/record_full.py` reads the
tables from these notebooks and writes them; a test holds the tables to the notebooks.
"""

from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parent / "recorded"


def recorded(name: str) -> pd.DataFrame:
    """The table of this name, as a figure's function takes it. Raises ValueError for a name without a table."""
    names = sorted(path.stem for path in FOLDER.glob("*.csv"))
    if name not in names:
        raise ValueError(f"unknown recorded table {name!r}: accepted are {', '.join(names)}")
    return pd.read_csv(FOLDER / f"{name}.csv")
