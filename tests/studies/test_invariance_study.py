"""The study of invariant objectives: metrics of the last evaluations, intervals, choices and honest sentences."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from analysis.invariance import benchmark as study
from analysis.invariance import conclusions, figures
from analysis.invariance.study import SWEEPS, InvarianceStudy
from analysis.metrics import score
from taujp_core.invariance import find_objective
from taujp_core.invariance.training import Fitted

PAGE = Path(__file__).parents[2] / "docs/invariance.md"
SHORT = {"images": 20, "hidden": 8}


@pytest.fixture
def short(monkeypatch):
    """Trainings of a few small steps."""
    whole = study.recipe_of
    monkeypatch.setattr(study, "recipe_of", lambda name, **changes: whole(name, **{**changes, **SHORT}))


def test_the_rows_are_the_metrics_of_the_last_evaluations_averaged():
    generator = torch.Generator().manual_seed(0)
    logits = {name: torch.randn(3, 40, 2, generator=generator) for name in ("training", "test")}
    labels = {name: torch.randint(0, 2, (40,), generator=generator) for name in logits}
    rows = study.measure(Fitted(torch.nn.Identity(), [], logits, labels, 7)).set_index("environment")
    for name in logits:
        found = [score(one, labels[name]) for one in logits[name]]
        for quantity in conclusions.QUANTITIES:
            assert rows.loc[name, quantity] == pytest.approx(np.mean([one[quantity] for one in found]))
    assert (rows.steps == 7).all()


@pytest.mark.parametrize("data", study.DATA)
def test_every_arm_runs_on_every_data_set_and_in_the_figures(data, short):
    arms = list(study.ARMS) if data != "coloured fashion" else ["irmv1", "oracle"]
    measured, curves = study.benchmark(InvarianceStudy(arms, [data], [0, 1], steps=3).plan().fits)
    assert set(zip(measured.arm, measured.seed, strict=True)) == {(arm, seed) for arm in arms for seed in (0, 1)}
    assert measured[list(conclusions.QUANTITIES)].notna().all().all()
    summary = conclusions.with_intervals(measured)
    assert len(figures.plane(summary).data) == len(figures.training_curves(curves).data) == len(arms)
    table = conclusions.shown(summary, data)
    assert table.loc["irmv1", "accuracy, test"].count("±") == 1


def test_the_recipe_is_the_classical_one_but_where_it_says():
    recipe = study.arm_recipe("coloured mnist", "irmv1")
    assert (recipe.steps, recipe.lr, recipe.l2, recipe.hidden, recipe.parameters) == (501, 4.9e-4, 1.1e-3, 390, {})
    assert study.arm_recipe("rotated mnist", "irmv1", parameters={"penalty_weight": 3.0}).parameters == {
        "penalty_weight": 3.0, "anneal_steps": 100,
    }  # fmt: skip
    pair = study.arm_recipe("coloured mnist", "pair", steps=9, images=100)
    assert (pair.steps, pair.images, pair.sgd_from, find_objective("pair").parameters["anneal_steps"]) == (
        9,
        100,
        190,
        190,
    )


def test_intervals_are_students():
    values = np.array([0.61, 0.66, 0.7, 0.64, 0.69])
    rows = pd.DataFrame({"data": "d", "arm": "erm", "environment": "test", "steps": 1, "accuracy": values})
    measured = rows.assign(loss=values, ece=values, ace=values)
    half = stats.t.ppf(0.975, 4) * values.std(ddof=1) / 5**0.5
    assert conclusions.with_intervals(measured).accuracy_half.item() == pytest.approx(half)
    assert np.isnan(conclusions.with_intervals(measured[:1]).accuracy_half.item())


def planted(*arms: tuple) -> pd.DataFrame:
    """arm, accuracy in training, in test, ece in test; two seeds around them."""
    rows = []
    for arm, training, test, ece in arms:
        for seed, shift in ((0, -0.01), (1, 0.01)):
            for environment, accuracy, error in (
                ("training", training, 0.02), ("validation", training, 0.02),
                ("validation environment", (training + test) / 2, 0.03), ("test", test, ece),
            ):  # fmt: skip
                rows.append(("coloured mnist", arm, seed, environment, accuracy + shift, 0.5, error, 0.1, 501))
    columns = ["data", "arm", "seed", "environment", "accuracy", "loss", "ece", "ace", "steps"]
    return pd.DataFrame(rows, columns=columns)


def found(*arms: tuple) -> dict:
    table = conclusions.invariance_table(conclusions.with_intervals(planted(*arms)), "coloured mnist")
    return conclusions.verdict(table)


ERM, ORACLE = ("erm", 0.85, 0.11, 0.65), ("oracle", 0.73, 0.73, 0.04)


def test_the_verdict_follows_the_numbers():
    verdict = found(ERM, ORACLE, ("irmv1", 0.70, 0.67, 0.08), ("ib-irm", 0.66, 0.66, 0.2), ("pair", 0.6, 0.7, 0.04))
    assert verdict["invariant"] == ["irmv1", "ib-irm"]  # pair does better where the colour is the other way round
    assert verdict["invariant and calibrated"] == ["irmv1"]  # 0.08 ≤ 0.04 + 0.05
    assert verdict["least spread of ece"] == ["pair"]
    text = conclusions.sentence("coloured mnist", verdict)
    assert text == (
        "On coloured mnist, IRMv1 and IB-IRM are invariant: accuracy moves by at most 0.05. IRMv1 is calibrated as well. "
        "ECE differs least between environments with PAIR."
    )


def test_the_verdict_is_none_where_there_is_none():
    verdict = found(ERM, ORACLE)
    assert (verdict["invariant"], verdict["invariant and calibrated"]) == ([], [])
    assert "no objective is invariant" in conclusions.sentence("coloured mnist", verdict)
    assert found(ORACLE) == {"invariant": [], "invariant and calibrated": [], "least spread of ece": []}


def test_validation_chooses_without_a_look_at_the_test_environment():
    table = pd.DataFrame(
        {"training": [0.85, 0.7], "validation": [0.84, 0.71], "validation environment": [0.5, 0.68], "test": [0.1, 0.66]},
        index=pd.Index([1.0, 1e4], name="penalty_weight"),
    )  # fmt: skip
    choice = study.chosen(table)
    assert choice.penalty_weight.to_dict() == {
        "training": 1.0, "validation": 1.0, "validation environment": 1e4, "test": 1e4,
    }  # fmt: skip
    assert choice["test accuracy"].tolist() == [0.1, 0.1, 0.66, 0.66]


def test_sweeps_and_cases_take_each_value_and_case(short):
    plan = InvarianceStudy(steps=2, sweep_seeds=1).plan()
    for arm, (parameter, values) in SWEEPS.items():
        fits = plan.sweeps[arm]
        assert [[fit.recipe.parameters[parameter] for fit in ours] for ours in fits.values()] == [[v] for v in values]
    table = study.sweep("penalty_weight", dict(list(plan.sweeps["irmv1"].items())[:2]))
    assert list(table.index) == [1.0, 100.0] and list(table.columns) == [
        "training", "validation", "validation environment", "test",
    ]  # fmt: skip
    cases = study.explanations(plan.cases)
    assert len(cases) == 6 and cases.index.str.contains("one draw").sum() == 3 and (cases.steps == 2).all()


@pytest.mark.parametrize(("data", "arm"), [("coloured uci", "erm"), ("coloured mnist", "irm")])
def test_unknown_names_are_refused(data, arm):
    with pytest.raises(ValueError, match=r"unknown (data 'coloured uci'|objective 'irm'): accepted are "):
        study.plan_fit(data, arm, 0)
