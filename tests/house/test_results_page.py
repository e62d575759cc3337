"""Do the tables of the pages have the numbers of the full versions? Read from the tables that the notebooks printed."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
CLOSE = 0.0051  # notebooks print two or three digits, the page two or three


def printed(name: str, word: str) -> list[pd.DataFrame]:
    """The tables with this word that an executed notebook printed: a row for each method."""
    found = []
    for cell in json.loads((ROOT / f"results/mini/{name}.ipynb").read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            head, *lines = "".join(output.get("text", "")).splitlines() or [""]
            if word not in [*head.split(), *(line.partition(" ")[0] for line in lines)]:
                continue
            rows = {row: numbers for row, *numbers in map(str.split, lines) if numbers}
            turned = head.startswith("method")  # methods are its columns
            columns = head.split()[turned:]
            if all(len(numbers) == len(columns) for numbers in rows.values()):
                table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).astype(float)
                found.append(table.T if turned else table)
    return found


def on_page(page: str, heading: str) -> dict[str, list[float]]:
    """The numbers of the rows that begin with a method, below a heading."""
    part = (ROOT / page).read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \| (.+) \|$", part, re.MULTILINE)
    return {name: [float(number) for number in re.findall(r"\d+\.\d+", numbers)] for name, numbers in rows}


@pytest.mark.parametrize(
    ("page", "heading", "notebook", "columns"),
    [
        *[
            (page, heading, "30_addition", "single_task one_shot tuned normalised_one_shot tau_jp_own tau_jp_others")
            for page, heading in (("README.md", "What it finds"), ("docs/results.md", "Addition"))
        ],
        ("docs/results.md", "Negation", "31_negation", "one_shot_target one_shot_control tuned_target tuned_control"),
        ("docs/results.md", "Continual learning", "40_continual", "average_accuracy forgetting"),
        ("docs/results.md", "Calibration", "60_calibration", "loss_none loss_expert loss_merged"),
    ],
)
def test_a_table_of_a_page_has_the_notebooks_numbers(page, heading, notebook, columns):
    table = printed(notebook, columns.split()[0])[0][columns.split()]
    rows = on_page(page, heading)
    assert len(rows) >= 3
    for method, numbers in rows.items():
        for number, (column, expected) in zip(numbers, table.loc[method].items(), strict=True):
            digits = 0.051 if column.startswith("tau_jp") else CLOSE
            assert number == pytest.approx(expected, abs=digits), (method, column)


def test_shares_that_temperatures_keep_are_the_notebooks():
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    tables = printed("60_calibration", "loss_expert")
    one_shot, tuned = (table["recovered" if "recovered" in table else "kept"] for table in tables)  # its older name
    shares = {method: [f"{100 * table[method]:.0f} %" for table in (one_shot, tuned)] for method in one_shot.index}
    for method, said in (
        ("taujp-efficient", "the share is {} at α = 1 and {} at the"),
        ("post-hoc-linearised", "it is {} and {}"),
    ):
        assert said.format(*shares[method]) in text
    assert all(table[method] < 0 for table in (one_shot, tuned) for method in ("standard", "linear"))


def test_joint_training_and_the_merge_are_the_arenas():
    rows = re.findall(
        r"^\| (encoder|linearised) \| (\S+) \((\S+)\) \| (\S+) \((\S+)\) \| .* \| (\S+), (\S+) \|$",
        (ROOT / "docs/results.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    table = printed("52_arena", "joint_normalised")[0]
    columns = ["joint", "joint_normalised", "ours", "ours_normalised", "joint_control", "ours_control"]
    assert [row[0] for row in rows] == ["encoder", "linearised"]
    for (_, *numbers), method in zip(rows, ("standard", "linear"), strict=True):
        assert [float(number) for number in numbers] == pytest.approx(table.loc[method, columns].tolist(), abs=CLOSE)
