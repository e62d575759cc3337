"""What did others publish for the same backbone and the same tasks? One table, `published_numbers.csv`, with the source of every row.

Its columns: `table`, addition or negation; `method`; `backbone`, b32, b16 or l14; `tasks`, how many (8, 14 or 20); accuracies in
percent, `absolute` and `normalised` of addition, `target` and `control` of negation; `coefficient`, one of COEFFICIENTS;
`application`, encoder or linearised; `by`, training or merging; `checkpoints`, whose experts; `source`, the paper and its table; `note`.

A note says "second hand" where the number was read in another text than the paper of the method. It says LEAKED where the experts
had seen test images of DTD: the checkpoints of TALL-masks from before December 2024 (github.com/nik-dim/tall_masks, issue 1).
With ViT-B/32 their single tasks reach 92.8 % (TSV, arXiv 2412.00081, tab. 3) where those of others reach 90.9 % (TAK, tab. 1).
"""

from pathlib import Path

import pandas as pd

QUANTITIES = {"addition": ("absolute", "normalised"), "negation": ("target", "control")}
COEFFICIENTS = {
    "none": "the pre-trained model",
    "1": "α = 1, or a method without a coefficient",
    "tuned": "chosen on validation images",
    "fixed": "another number for all suites, such as 0.3",
    "learned": "by gradient",
    "unknown": "not said where the number was read",
}
LEAKED = "leaked DTD split"


def load_published(table: str, suite: str) -> pd.DataFrame:
    """Rows of a table whose backbone and tasks are those of the suite: of `clip8-b32` the eight tasks with ViT-B/32."""
    rows = pd.read_csv(Path(__file__).with_name("published_numbers.csv"), dtype=str, keep_default_na=False)
    for column in ("tasks", *QUANTITIES["addition"], *QUANTITIES["negation"]):
        rows[column] = pd.to_numeric(rows[column])
    return rows[(rows.table == table) & ("clip" + rows.tasks.astype(str) + "-" + rows.backbone == suite)]
