"""The report: measured numbers beside the published ones, and the command for what is missing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from analysis import published_numbers
from analysis.published_numbers import COEFFICIENTS, LEAKED, QUANTITIES, load_published
from analysis.report.published import beside, beside_text
from analysis.report.tables import METHODS, command, load_summary, report_rows, shown, trainings_table
from taujp_core.files import write_json
from taujp_core.suites import load_suite

YOSHIDA, TAK = "Yoshida et al. 2025, tab. 1", "TAK, arXiv 2602.17385, tab. 1"


def addition_summary(methods=("standard", "linear", "taujp-efficient"), seeds=(0, 1)) -> dict:
    rows = [
        {"method": method, "seed": seed, "zero_shot": 0.473, "one_shot": 0.5 + 0.1 * k + 0.02 * seed, "tuned": 0.8,
         "normalised_one_shot": 0.6, "normalised_tuned": 0.9}
        for k, method in enumerate(methods) for seed in seeds
    ]  # fmt: skip
    return {"suite": "clip8-b32", "tasks": ["dtd"], "recipe": {}, "rows": rows}


def cell(rows: pd.DataFrame, method: str, choice: str, quantity: str) -> pd.Series:
    (found,) = rows[(rows.method == method) & (rows.choice == choice) & (rows.quantity == quantity)].iloc
    return found


def test_cells_hold_mean_spread_and_the_published_number():
    rows = report_rows("addition", "clip8-b32", addition_summary())
    ours = cell(rows, "linear", "one-shot", "absolute")
    assert (ours.measured, ours.deviation, ours.n) == (pytest.approx(61.0), pytest.approx(np.sqrt(2)), 2)
    assert (ours[YOSHIDA], ours[TAK]) == (55.4, 76.7)
    before = cell(rows, "pre-trained", "pre-trained", "absolute")
    assert (before.measured, before.n, before[YOSHIDA]) == (pytest.approx(47.3), 1, 47.3)
    text = shown(rows)
    assert text.measured["linear", "1"] == "61.0 ± 1.4 / 60.0 ± 0.0"
    assert text["− Yoshida"]["linear", "1"] == "+5.6 / -1.7"
    assert text[YOSHIDA]["taujp-efficient", "tuned"] == "84.5 / 97.6"


def test_the_published_tables_are_complete():
    for table, suites in {t: ("clip8-b32", "clip8-b16", "clip8-l14") for t in QUANTITIES}.items():
        for suite in suites:
            rows = report_rows(table, suite, None)
            assert len(rows) == {"addition": 13, "negation": 14}[table]
            assert rows[f"Yoshida et al. 2025, tab. {1 + (table == 'negation')}"].notna().all()
            assert rows.measured.isna().all()
            assert (shown(rows).measured == "missing").all()
    published = pd.concat([report_rows("negation", "clip8-l14", None), report_rows("addition", "clip8-b16", None)])
    assert cell(published, "taujp-efficient", "tuned", "control")["Yoshida et al. 2025, tab. 2"] == 73.0
    assert cell(published, "linear", "tuned", "normalised")[YOSHIDA] == 87.6


def test_a_suite_without_published_numbers_has_no_such_columns():
    assert list(shown(report_rows("addition", "mini", None)).columns) == ["measured", "n"]


def test_every_published_number_has_a_source_and_is_a_percentage():
    rows = pd.read_csv(
        Path(published_numbers.__file__).with_name("published_numbers.csv"), dtype=str, keep_default_na=False
    )
    assert list(rows.columns) == [
        "table", "method", "backbone", "tasks", "coefficient", "absolute", "normalised", "target", "control", "application",
        "by", "checkpoints", "source", "note",
    ]  # fmt: skip
    accepted = {
        "table": QUANTITIES, "backbone": ("b32", "b16", "l14"), "tasks": ("8", "14", "20"), "coefficient": COEFFICIENTS,
        "application": ("encoder", "linearised"), "by": ("none", "training", "merging"),
    }  # fmt: skip
    for column, words in accepted.items():
        assert set(rows[column]) <= set(words), column
    assert ((rows.by == "none") == (rows.method == "pre-trained")).all()
    assert ((rows.coefficient == "none") == (rows.method == "pre-trained")).all()
    for column in ("method", "checkpoints", "source"):
        assert rows[column].str.strip().ne("").all()
    assert rows.source.str.contains(r"arXiv \d{4}\.\d{5}|Yoshida et al\. 2025, tab\. [12]$|JMLR 26").all()
    assert not rows.duplicated(["table", "method", "backbone", "tasks", "coefficient", "source", "note"]).any()
    # A table is not named where nobody who wrote this has seen it.
    assert (rows.note.str.startswith("second hand") | rows.note.str.contains(LEAKED) | rows.source.str.contains("tab. |README")).all()  # fmt: skip
    for table, (first, second) in QUANTITIES.items():
        ours = rows[rows.table == table]
        numbers = ours[[first, second]].apply(pd.to_numeric)
        assert numbers[first].between(0, 100).all()
        assert numbers[second].dropna().between(0, 101).all()
        assert (ours[list({"absolute", "normalised", "target", "control"} - {first, second})] == "").all(axis=None)
    # A model is no better than its experts: normalised accuracy is the higher number.
    addition = rows[(rows.table == "addition") & (rows.normalised != "")]
    assert (pd.to_numeric(addition.normalised) > pd.to_numeric(addition.absolute)).all()


def test_methods_that_others_published_stand_beside_ours_best_first_and_leaked_ones_apart():
    rows = report_rows("addition", "clip8-b32", addition_summary())
    both = beside(rows, 8)
    assert not both.absolute.is_monotonic_decreasing  # over both parts
    for _, part in both.groupby("leaked"):
        assert part.absolute.is_monotonic_decreasing
    assert list(both.leaked) == sorted(both.leaked)
    ours = both[both.source == "measured here"]
    assert len(ours) == 6 and len(both) == 6 + len(load_published("addition", "clip8-b32")) - 2  # pre-trained models
    assert ours.loc["taujp-efficient"].sort_values("absolute").absolute.tolist() == pytest.approx([71, 80])
    assert set(ours.application["linear"]) == {"linearised"} and set(ours.application["standard"]) == {"encoder"}
    paper = both.loc["taujp-efficient"][["absolute", "normalised", "α", "source"]].values.tolist()
    assert [84.2, 97.2, "1", YOSHIDA] in paper and [85.6, 98.2, "tuned", TAK] in paper
    assert both[both.leaked].index.tolist() == ["Iso-C", "Iso-CTS", "TSV-M", "TIES", "Consensus TA", "task arithmetic"]
    text = beside_text(rows, 8)
    clean, leaked = text.split(f"{LEAKED}: compare only with each other\n")
    assert "measured here" in clean and "measured here" not in leaked
    assert clean.count("Iso-CTS") == 1 and "84.3" in clean and "86.2" in leaked


def test_negation_is_sorted_by_what_is_forgotten_and_published_rows_stand_alone_where_nothing_is_measured():
    both = beside(report_rows("negation", "clip8-l14", None), None)
    assert both.target.is_monotonic_increasing and not both.leaked.any()
    assert "measured here" not in both.source.tolist()
    assert both.loc["tak", ["target", "control"]].tolist() == [3.5, 72.6]


@pytest.mark.parametrize(("suite", "tasks"), [("mini", 8), ("mini", None), ("clip8-b32", 4)])
def test_other_tasks_than_the_published_ones_are_not_compared(suite, tasks):
    rows = report_rows("addition", suite, None)
    assert beside(rows, tasks).empty
    assert (
        beside_text(rows, tasks) == f"{suite}: addition: others published no numbers for this backbone and these tasks"
    )


def test_missing_methods_have_a_command_that_keeps_what_is_there():
    whole = addition_summary()
    assert command("addition", "clip8-b32", "runs", whole) is None
    part = addition_summary(methods=("linear", "taujp-strict"))
    line = command("addition", "clip8-b32", "runs", part)
    assert line.startswith("papermill notebooks/30_addition.ipynb runs/clip8-b32-addition/30_addition.ipynb -y '")
    parameters = yaml.safe_load(line.split("'")[1])
    assert parameters["methods"] == [*METHODS, "taujp-strict"]
    assert parameters["seeds"] == [0, 1]
    assert load_suite(parameters["suite"]).model == "ViT-B-32-quickgelu"
    assert "seeds: [0]" in command("negation", "mini", "runs", None)
    assert (shown(report_rows("addition", "clip8-b32", part)).measured == "missing").sum() == 4


def test_records_of_something_else_are_refused(tmp_path):
    assert load_summary(tmp_path, "addition", "mini") is None
    file = tmp_path / "mini-addition" / "summary.json"
    write_json(file, {"linear": {}})
    with pytest.raises(ValueError, match=r"summary.json is not a record of 30_addition: run that notebook again"):
        load_summary(tmp_path, "addition", "mini")
    write_json(file, addition_summary())
    with pytest.raises(ValueError, match="belongs to suite clip8-b32, not to mini"):
        load_summary(tmp_path, "addition", "mini")


def test_the_trainings_of_a_study_are_counted_and_averaged():
    rows = {"suite": "mini", "zero_shot": 0.5, "tau_norm": 2.0, "images_per_second": 10.0}
    runs = pd.DataFrame(
        [
            rows | {"method": method, "accuracy": accuracy, "seconds": seconds}
            for method, accuracy, seconds in [("linear", 0.5, 1.0), ("standard", 0.7, 4.0), ("linear", 0.7, 2.0)]
        ]
    )
    table = trainings_table(runs)
    assert list(table.index) == [("mini", "linear"), ("mini", "standard")]
    assert table.trainings.tolist() == [2, 1]
    assert table.accuracy.tolist() == pytest.approx([0.6, 0.7])
    assert table.seconds_in_all.tolist() == [3.0, 4.0]
    assert trainings_table(runs[:0]).empty
