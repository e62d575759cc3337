"""The report: measured numbers beside the published ones, and the command for what is missing."""

import numpy as np
import pandas as pd
import pytest
import yaml

from analysis.report.tables import METHODS, QUANTITIES, command, load_summary, report_rows, shown, trainings_table
from taujp_core.files import write_json
from taujp_core.suites import load_suite


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
    assert (ours["Yoshida et al. 2025"], ours["TAK, arXiv 2602.17385"]) == (55.4, 76.7)
    before = cell(rows, "pre-trained", "pre-trained", "absolute")
    assert (before.measured, before.n, before["Yoshida et al. 2025"]) == (pytest.approx(47.3), 1, 47.3)
    text = shown(rows)
    assert text.measured["linear", "1"] == "61.0 ± 1.4 / 60.0 ± 0.0"
    assert text["− Yoshida"]["linear", "1"] == "+5.6 / -1.7"
    assert text["Yoshida et al. 2025"]["taujp-efficient", "tuned"] == "84.5 / 97.6"


def test_the_published_tables_are_complete():
    for table, suites in {t: ("clip8-b32", "clip8-b16", "clip8-l14") for t in QUANTITIES}.items():
        for suite in suites:
            rows = report_rows(table, suite, None)
            assert len(rows) == {"addition": 13, "negation": 14}[table]
            assert rows["Yoshida et al. 2025"].notna().all()
            assert rows.measured.isna().all()
            assert (shown(rows).measured == "missing").all()
    published = pd.concat([report_rows("negation", "clip8-l14", None), report_rows("addition", "clip8-b16", None)])
    assert cell(published, "taujp-efficient", "tuned", "control")["Yoshida et al. 2025"] == 73.0
    assert cell(published, "linear", "tuned", "normalised")["Yoshida et al. 2025"] == 87.6


def test_a_suite_without_published_numbers_has_no_such_columns():
    assert list(shown(report_rows("addition", "mini", None)).columns) == ["measured", "n"]


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
