"""What did others publish for the same backbone and the same tasks? One table, `published.csv`, with the source of every row.

Its columns: `table`, addition or negation; `method`; `backbone`, b32, b16 or l14; `tasks`, how many (8, 14 or 20); accuracies in
percent, `absolute` and `normalised` of addition, `target` and `control` of negation; `coefficient`, one of COEFFICIENTS;
`application`, encoder or linearised; `by`, training or merging; `checkpoints`, whose experts; `source`, the paper and its table; `note`.

A note says "second hand" where the number was read in another text than the paper of the method. It says LEAKED where the experts
had seen test images of DTD: the checkpoints of TALL-masks from before December 2024 (github.com/nik-dim/tall_masks, issue 1).
With ViT-B/32 their single tasks reach 92.8 % (TSV, arXiv 2412.00081, tab. 3) where those of others reach 90.9 % (TAK, tab. 1).
"""

from pathlib import Path

import pandas as pd

from taujp_core.methods import find_method

QUANTITIES = {"addition": ("absolute", "normalised"), "negation": ("target", "control")}
CHOICES = {"pre-trained": "none", "one-shot": "1", "tuned": "tuned"}  # a choice of α here, and in the table
COEFFICIENTS = {
    "none": "the pre-trained model",
    "1": "α = 1, or a method without a coefficient",
    "tuned": "chosen on validation images",
    "fixed": "another number for all suites, such as 0.3",
    "learned": "by gradient",
    "unknown": "not said where the number was read",
}
LEAKED = "leaked DTD split"
SHOWN = ["by", "application", "α", "checkpoints", "source", "note"]


def load_published(table: str, suite: str) -> pd.DataFrame:
    """Rows of a table whose backbone and tasks are those of the suite: of `clip8-b32` the eight tasks with ViT-B/32."""
    rows = pd.read_csv(Path(__file__).with_name("published.csv"), dtype=str, keep_default_na=False)
    for column in ("tasks", *QUANTITIES["addition"], *QUANTITIES["negation"]):
        rows[column] = pd.to_numeric(rows[column])
    return rows[(rows.table == table) & ("clip" + rows.tasks.astype(str) + "-" + rows.backbone == suite)]


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
