"""One method, one task, one seed: what there is is shown, and that there is nothing to compare."""

import json

import pytest
from conftest import random_like, replace_everywhere

from analysis import figures
from analysis.addition import measure as addition
from analysis.analogy import quadruples as analogy
from analysis.analogy.figures import analogy_curves, gain_against_tau_jp
from analysis.coefficients import disentanglement_map, disentanglement_summary
from analysis.continual.figures import accuracy_matrices, average_over_arrivals
from analysis.continual.sequences import averages_table, conclusion, measure_arrivals, summary_table, zero_shot_arrivals
from analysis.negation import measure as negation
from analysis.notebook import record_result, show_table
from analysis.products import pair_sources
from analysis.report.tables import report_rows, shown
from analysis.sentences import NOTHING
from analysis.trainings import cost, run_configs, run_table, train
from taujp_core.datasets import load_split
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector

SUITE = load_suite("mini")
COLOURS = figures.task_colours(list(SUITE.datasets()))
METHODS = ["standard", "linear", "taujp-efficient", "post-hoc-linearised"]


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    """Every split is its first 12 images, and there are three coefficients."""
    for study in (addition, negation, analogy):
        monkeypatch.setattr(study, "COEFFICIENTS", (0.0, 0.5, 1.0))
    replace_everywhere(monkeypatch, load_split, lambda task, split: load_split(task, split).first(12))


def trained(clip, tmp_path, tasks, methods, seeds=(0,), suite="mini"):
    short = {"steps": 2, "batch_size": 4, "penalty_batch_size": 2}
    return train(clip, run_configs(suite, tasks, methods, seeds, **short), tmp_path)


def read(path) -> dict:
    """As any JSON parser does, which has no NaN."""

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tasks", [["uci"], ["uci", "signs"]])
def test_addition(method, tasks, tiny, tmp_path, capsys):
    runs = trained(tiny, tmp_path, tasks, [method])
    found = addition.measure_addition(tiny, SUITE, runs)
    summary = addition.summary_table(found)
    assert summary.tau_jp_others.isna().all() == (len(tasks) == 1)
    assert addition.findings(summary) == {}
    assert addition.conclusion(summary, 0.05) == NOTHING
    assert method in cost(runs)
    show_table(run_table(runs), 2)
    show_table(summary.groupby("method", sort=False).mean().drop(columns="seed").T, 2)
    show_table(addition.per_task_table(found.per_task, summary), 2)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["tau_jp_others", "NaN"] for line in lines) == (len(tasks) == 1)
    tuned = {method: summary.tuned_coefficient[0]}
    assert figures.accuracy_versus_coefficient(found.curves, found.single, tuned, COLOURS).data
    assert len(figures.tau_jp_matrix(found.tau_jp).data) == 1

    file = tmp_path / "summary.json"
    record = {"suite": "mini", "tasks": tasks, "recipe": {}, "findings": {}, "rows": summary.to_dict("records")}
    record_result(file, record)
    rows = read(file)["rows"]
    assert (rows[0]["tau_jp_others"] is None) == (len(tasks) == 1)
    assert "±" not in shown(report_rows("addition", "mini", read(file))).to_string()


def test_one_task_leaves_methods_nothing_to_compare(tiny, tmp_path):
    """The only vector is its sum at α = 1, and there is no other task to interfere with."""
    found = addition.measure_addition(tiny, SUITE, trained(tiny, tmp_path, ["uci"], METHODS))
    summary = addition.summary_table(found)
    assert list(summary.normalised_one_shot) == [1.0] * len(METHODS)
    assert addition.conclusion(summary, 0.05) == NOTHING


def test_a_single_task_model_that_is_never_right_has_no_normalised_accuracy(tiny, tmp_path):
    found = addition.measure_addition(tiny, SUITE, trained(tiny, tmp_path, ["uci"], ["linear"]))
    summary = addition.summary_table(found).assign(normalised_one_shot=float("nan"))
    record = {"suite": "mini", "tasks": ["uci"], "recipe": {}, "rows": summary.to_dict("records")}
    record_result(tmp_path / "summary.json", record)
    rows = report_rows("addition", "mini", read(tmp_path / "summary.json"))
    ours = rows[(rows.method == "linear") & (rows.choice == "one-shot")].set_index("quantity").measured
    assert ours.isna().to_dict() == {"absolute": False, "normalised": True}


@pytest.mark.parametrize("method", METHODS)
def test_negation(method, tiny, tmp_path):
    found = negation.measure_negation(tiny, SUITE, trained(tiny, tmp_path, ["uci"], [method]))
    summary = negation.summary_table(found)
    assert negation.conclusion(summary, 0.05, 0.05) == NOTHING
    assert figures.negation_curves(found.curves, found.test, COLOURS).data
    record_result(tmp_path / "summary.json", {"rows": summary.to_dict("records")})
    assert read(tmp_path / "summary.json")["rows"][0]["method"] == method


def test_negation_compares_methods_on_one_task(tiny, tmp_path):
    found = negation.measure_negation(tiny, SUITE, trained(tiny, tmp_path, ["uci"], ["linear", "taujp-efficient"]))
    said = negation.conclusion(negation.summary_table(found), 0.05, 0.05)
    assert said.startswith("At the tuned α, accuracy on the negated task ")


def test_analogy(tiny, tmp_path):
    suite = load_suite("mini-domains")
    asked = analogy.named_quadruples(suite, [["uci-inverted", "mnist-inverted", "uci", "mnist"]])
    runs = trained(tiny, tmp_path, analogy.tasks_of(asked, suite), ["linear"], suite="mini-domains")
    found = analogy.measure_analogies(tiny, suite, asked, runs)
    gained = analogy.gains(found)
    lines = analogy.answers(analogy.summary_table(found.test), analogy.prediction_table(gained), 0.05)
    assert lines[-1].startswith("At the tuned α the analogies of linearised fine-tuning reach a mean accuracy of ")
    assert analogy_curves(found.curves, found.test).data
    assert gain_against_tau_jp(gained).data


def test_disentanglement(tiny):
    pair = [
        TaskVector(random_like(tiny.theta0, k), tiny.fingerprint, task, "linear")
        for k, task in enumerate(["uci", "signs"])
    ]
    maps = disentanglement_map(*pair_sources(tiny, SUITE, pair, 8), [-2.0, -1.0, 0.0, 1.0, 2.0]).assign(method="linear")
    assert len(disentanglement_summary(maps)) == 1
    assert len(figures.disentanglement_maps(maps, ["uci", "signs"]).data) == 1


def test_continual(tiny, tmp_path):
    vectors = [run.vector for run in trained(tiny, tmp_path, ["uci", "signs"], ["taujp-efficient"])]
    arrivals = measure_arrivals(tiny, SUITE, vectors).assign(method="taujp-efficient", order=1)
    before = zero_shot_arrivals(tiny, SUITE, {1: ["uci", "signs"]})
    summary = summary_table(arrivals)
    assert conclusion(summary, 0.05) == NOTHING
    assert accuracy_matrices(arrivals, 1).data
    assert average_over_arrivals(averages_table(arrivals)).data
    assert len(summary_table(before)) == 1


def test_what_is_missing_is_null_and_what_is_infinite_is_refused(tmp_path):
    record_result(tmp_path / "a.json", {"a": float("nan"), "b": [1, True, None, "x"], 1: {"c": 0.5}})
    assert read(tmp_path / "a.json") == {"a": None, "b": [1, True, None, "x"], "1": {"c": 0.5}}
    with pytest.raises(ValueError, match="JSON compliant"):
        record_result(tmp_path / "b.json", {"a": float("inf")})
    assert not (tmp_path / "b.json").exists()
