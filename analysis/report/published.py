"""What did others publish for the same backbone and the same tasks, beside what is measured here?"""

import pandas as pd

from taujp_core.methods import find_method

from ..published_numbers import LEAKED, QUANTITIES, load_published

CHOICES = {"pre-trained": "none", "one-shot": "1", "tuned": "tuned"}  # a choice of α here, and in the table
SHOWN = ["by", "application", "α", "checkpoints", "source", "note"]


def beside(rows: pd.DataFrame, tasks: int | None) -> pd.DataFrame:
    """What is measured here and what others published, best first; rows that are LEAKED come after all others.

    rows: of `report_rows`; tasks: on how many of them was measured, None if nothing was. Index: method. Columns: both
    quantities, SHOWN and `leaked`. Empty if others published nothing for this backbone and these tasks.
    """
    table, suite = rows.table.iloc[0], rows.suite.iloc[0]
    published = load_published(table, suite)
    if published.empty or tasks not in (None, published.tasks.iloc[0]):
        return pd.DataFrame(columns=[*QUANTITIES[table], *SHOWN, "leaked"])
    cells = rows.dropna(subset="measured").pivot(index=["method", "choice"], columns="quantity", values="measured")
    ours = cells.reset_index().assign(by="training", checkpoints="own", source="measured here", note="")
    ours["coefficient"] = ours.choice.map(CHOICES)
    both = pd.concat([ours, published])
    both = both[both.coefficient != "none"].rename(columns={"coefficient": "α"})
    both["leaked"] = both.note.str.contains(LEAKED)
    ours = both.source == "measured here"
    both.loc[ours, "application"] = [find_method(name).application.name for name in both.method[ours]]
    both = both.sort_values(["leaked", QUANTITIES[table][0]], ascending=[True, table == "negation"])
    return both.set_index("method")[[*QUANTITIES[table], *SHOWN, "leaked"]]


def beside_text(rows: pd.DataFrame, tasks: int | None) -> str:
    """The same as text: comparable numbers, and LEAKED ones under a heading of their own."""
    both, title = beside(rows, tasks), f"{rows.suite.iloc[0]}: {rows.table.iloc[0]}"
    if both.empty:
        return f"{title}: others published no numbers for this backbone and these tasks"
    parts = {title: both[~both.leaked], f"{title}, {LEAKED}: compare only with each other": both[both.leaked]}
    return "\n\n".join(
        f"{heading}\n{part.drop(columns='leaked').to_string(na_rep='–')}"
        for heading, part in parts.items()
        if len(part)
    )
