"""The benchmark's two sides compute the same things, and its report says what was measured."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).parents[2] / "benchmarks" / "jacobian.py"
BENCHMARK = runpy.run_path(str(PATH))


@pytest.fixture(scope="module")
def sides(request):
    from taujp_core.pretrained import load_clip

    return BENCHMARK["Sides"](load_clip("mini", device="cpu"), 8, 12).to(torch.float64)


def assert_equal(ours, theirs):
    for name, value in theirs.items():
        assert (ours[name] - value).norm() <= 1e-9 * max(value.norm().item(), 1e-6), name


def test_steps_of_both_sides_are_equal(sides):
    assert_equal(sides.step(), sides.step_through_jvp())
    assert_equal(sides.penalised_step(), sides.step_through_jvp(penalised=True))


def test_products_and_curves_of_both_sides_are_equal(sides):
    assert torch.allclose(sides.products(), sides.single_products(), rtol=1e-9, atol=1e-12)
    assert sides.curve() == sides.evaluations()
    assert len(set(sides.curve())) > 1  # the coefficient matters


def test_the_report_has_a_row_a_race(tmp_path, monkeypatch, capsys):
    small = {"medians": lambda sides, rounds, device: dict.fromkeys(sides, 0.5)}
    monkeypatch.setitem(BENCHMARK["race"].__globals__, "medians", small["medians"])
    monkeypatch.setitem(BENCHMARK["main"].__globals__, "load_clip", lambda name, pretrained, device: load_mini())
    monkeypatch.setattr(sys, "argv", ["jacobian.py", "--quick", "--device", "cpu", "--json", str(tmp_path / "r.json")])
    BENCHMARK["main"]()
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["hardware"]["threads"] == torch.get_num_threads()
    assert "torch" in record["versions"]
    first = [row for row in record["rows"] if row["encoder"] == "mini"]
    assert {row["race"] for row in first} == set(BENCHMARK["RACES"])
    assert all({"encoder", "device", "ratio", "target", "floor"} <= row.keys() for row in record["rows"])
    assert {row["precision"] for row in record["relative_errors"]} == {"float32", "bf16"}
    assert all(row["products"] < 0.05 for row in record["relative_errors"])
    assert "miss" in capsys.readouterr().out  # ratios of 1 meet nothing but the ordinary step's target


def load_mini():
    from taujp_core.pretrained import load_clip

    return load_clip("mini", device="cpu")
