"""Analogies: the right sums of vectors on the right images, quadruples by name, honest sentences."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import random_like

import analysis.analogy.quadruples
from analysis.analogy.figures import analogy_curves, gain_against_tau_jp
from analysis.analogy.quadruples import (
    MODELS,
    VECTORS,
    Analogies,
    Quadruple,
    answers,
    domain_quadruples,
    gains,
    measure_analogies,
    named_quadruples,
    prediction_table,
    rank_correlation,
    summary_table,
    tasks_of,
)
from taujp_core.datasets import load_split
from taujp_core.evaluation import accuracy, features, linearised_features
from taujp_core.models import zero_shot_head
from taujp_core.products.jacobian import jacobian_products
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector, edited
from taujp_core.training.config import run_config
from taujp_core.training.run_store import Run

SUITE = load_suite("mini-domains")
QUADRUPLE = Quadruple("uci-inverted", "mnist-inverted", "uci", "mnist")


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("name", ["mnist", "fashion", "uci"])
def test_inverted_sets_are_the_same_pictures_inverted(name, split):
    (images, labels), (inverted, same) = (load_split(SUITE.task(n), split).tensors for n in (name, f"{name}-inverted"))
    assert inverted.dtype == torch.uint8
    assert torch.equal(inverted.int(), 255 - images.int())
    assert torch.equal(labels, same)
    assert images.float().mean() < 127 < inverted.float().mean()


def test_the_suite_of_domains_is_mini_with_other_tasks():
    mini = load_suite("mini")
    assert (SUITE.model, SUITE.control, SUITE.recipe) == (mini.model, mini.control, mini.recipe)
    for name in ("mnist", "fashion", "uci"):
        assert SUITE.task(name) == mini.task(name)
        inverted = SUITE.task(f"{name}-inverted")
        assert (inverted.classes, inverted.templates) == (SUITE.task(name).classes, SUITE.task(name).templates)


def test_quadruples_come_from_names():
    found = domain_quadruples(SUITE)
    assert len(found) == len(set(found)) == 12
    assert QUADRUPLE in found
    assert Quadruple("uci", "mnist", "uci-inverted", "mnist-inverted") in found
    assert all(q.target.removesuffix("-inverted") == q.source.removesuffix("-inverted") for q in found)
    assert named_quadruples(SUITE, []) == found
    assert named_quadruples(SUITE, [list(("uci-inverted", "mnist-inverted", "uci", "mnist"))]) == [QUADRUPLE]
    assert tasks_of([QUADRUPLE], SUITE) == ["mnist", "mnist-inverted", "uci", "uci-inverted"]
    benchmark = load_suite("clip8-b32")
    assert named_quadruples(benchmark, [["svhn", "gtsrb", "mnist", "dtd"]])[0].target == "svhn"


@pytest.mark.parametrize(
    ("suite", "quadruples", "sentence"),
    [
        ("mini", [], "no tasks of mini are named NAME and NAME-DOMAIN: name the quadruples yourself"),
        ("mini", [["uci", "signs", "mnist", "sings"]], "unknown task 'sings': accepted are mnist, fashion"),
        ("mini", [["uci", "signs", "mnist"]], "a quadruple is four different tasks: target, other, source, source other"),
        ("mini", [["uci", "signs", "mnist", "uci"]], "a quadruple is four different tasks"),
        ("mini", [["signs", "uci", "mnist", "fashion"]], "signs has 18 classes and mnist has 10: target and source are"),
    ],
)  # fmt: skip
def test_bad_quadruples_get_a_sentence(suite, quadruples, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        named_quadruples(load_suite(suite), quadruples)
    assert "\n" not in str(caught.value)


def runs_of(clip, method, tasks, folder):
    vectors = [TaskVector(random_like(clip.theta0, k, 0.01), clip.fingerprint, t, method) for k, t in enumerate(tasks)]
    return [
        Run(folder, run_config("mini-domains", vector.task, method, tasks=list(tasks)), {}, vector)
        for vector in vectors
    ]


@pytest.mark.parametrize("method", ["linear", "standard"])
def test_models_are_sums_of_the_right_vectors_on_the_target(method, mini, tmp_path, monkeypatch):
    monkeypatch.setattr(analysis.analogy.quadruples, "COEFFICIENTS", (0.0, 0.6, 1.0))
    splits = {split: load_split(SUITE.task("uci-inverted"), split)[:50] for split in ("validation", "test")}
    swapped = Quadruple("uci-inverted", "fashion-inverted", "uci", "fashion")
    runs = runs_of(mini, method, tasks_of([QUADRUPLE, swapped], SUITE), tmp_path)
    found = measure_analogies(mini, SUITE, [QUADRUPLE, swapped], runs, images=50)
    tau = {run.config.task: run.vector for run in runs}
    head = zero_shot_head(mini, SUITE.task("uci").classes, SUITE.task("uci").templates)

    def expected(split, vectors, alphas):
        images, labels = splits[split]
        theta = edited(mini.theta0, vectors, alphas)
        if method == "standard":
            return accuracy(features(mini.encoder, theta, images), head, labels)
        step = {name: theta[name] - mini.theta0[name] for name in theta}
        return accuracy(linearised_features(mini.encoder, mini.theta0, step, images), head, labels)

    three = [tau["fashion-inverted"], tau["uci"], tau["fashion"]]
    for split, table in (("validation", found.curves), ("test", found.test[found.test.choice == "one-shot"])):
        ours = table[(table.quadruple == str(swapped)) & (table.coefficient == 1.0)].set_index("model").accuracy
        close = lambda value: pytest.approx(value, abs=1 / 50 + 1e-9)  # noqa: E731  (one image may sit on a boundary)
        assert ours["analogy"] == close(expected(split, three, [1.0, 1.0, -1.0]))
        assert ours["source alone"] == close(expected(split, [tau["uci"]], [1.0]))
        assert ours["other alone"] == close(expected(split, [tau["fashion-inverted"]], [1.0]))
        assert ours["fine-tuned"] == close(expected(split, [tau["uci-inverted"]], [1.0]))
    at_6 = found.curves.query("quadruple == @swapped.__str__() and model == 'analogy' and coefficient == 0.6").accuracy
    assert at_6.item() == close(expected("validation", three, [0.6, 0.6, -0.6]))
    zero = found.test[found.test.model == "zero-shot"].accuracy
    assert zero.tolist() == [close(expected("test", [], []))] * 4
    combined = {name: sum(s * v.tau[name] for s, v in zip((1, 1, -1), three, strict=True)) for name in mini.theta0}
    taus = [*(vector.tau for vector in three), combined]
    norms = jacobian_products(mini.encoder, mini.theta0, taus, splits["validation"][0])[1].norm(dim=-1).mean(-1)
    measured = found.tau_jp[found.tau_jp.quadruple == str(swapped)].set_index("vector").tau_jp
    assert measured[list(VECTORS)].to_numpy() == pytest.approx(norms.numpy(), rel=1e-3)


def planted(slope: float, count: int, method="linear") -> Analogies:
    """Analogies that gain `slope` times the τJp of their combination; the parts alone gain 0.05 and 0.1."""
    tests, products = [], []
    for seed in (0, 1):
        for k in range(count):
            size = 0.01 * ((7 * k) % count)
            where = {"method": method, "seed": seed, "quadruple": f"q{k}"}
            levels = {"zero-shot": 0.3, "analogy": 0.3 + slope * size, "source alone": 0.35, "other alone": 0.4}
            tests += [
                {**where, "model": model, "choice": choice, "coefficient": 1.0, "accuracy": level}
                for model, level in {**levels, "fine-tuned": 0.9}.items() for choice in ("one-shot", "tuned")
            ]  # fmt: skip
            products += [{**where, "vector": v, "tau_jp": size if v == "combination" else 1.0} for v in VECTORS]
    curves = pd.DataFrame(tests)[lambda t: (t.choice == "tuned") & (t.model != "zero-shot")]
    curves = pd.concat([curves.assign(coefficient=alpha) for alpha in (0.0, 1.0)])
    return Analogies(curves, pd.DataFrame(tests), pd.DataFrame(products))


def test_gains_are_over_zero_shot_and_over_the_better_part():
    table = gains(planted(10.0, 8)).loc["linear"]
    assert table["gain over zero-shot"].to_numpy() == pytest.approx(10 * table["τJp of combination"].to_numpy())
    assert table["gain over its parts"].to_numpy() == pytest.approx(table["gain over zero-shot"].to_numpy() - 0.1)


def test_answers_follow_the_numbers():
    weak, strong, few = planted(-2.0, 9), planted(10.0, 9, "taujp-efficient"), planted(1.0, 4, "standard")
    both = Analogies(
        *(pd.concat([getattr(part, name) for part in (weak, strong, few)]) for name in ("curves", "test", "tau_jp"))
    )
    prediction = prediction_table(gains(both))
    combination = prediction[(prediction.vector == "combination") & (prediction.gain == "gain over zero-shot")]
    assert combination.correlation.tolist() == pytest.approx([-1.0, 1.0, np.nan], nan_ok=True)
    assert prediction[prediction.vector == "other"].correlation.isna().all()  # a constant predicts nothing
    summary = summary_table(both.test)
    assert summary.works["linear", "tuned"] == 0.0
    assert summary.works["taujp-efficient", "one-shot"] == pytest.approx(7 / 9)  # τJp of 0.02 and more: above 0.4
    *rest, last = answers(summary, prediction, 0.05)
    assert last.startswith(
        "At the tuned α the analogies of the τJp penalty reach a mean accuracy of 0.70 on the target: "
    )
    assert "zero-shot (0.30)" in last
    assert "is lower where τJp is larger (rank correlation -1.00 over 9 analogies" in rest[0]
    assert "predicts the gain, which is higher where τJp is larger (rank correlation 1.00" in rest[1]
    assert rest[2] == "With ordinary fine-tuning, 4 analogies are too few to tell whether τJp predicts the gain."


def test_rank_correlation_and_its_chance():
    x = np.arange(12.0)
    assert rank_correlation(x, np.exp(x)) == (pytest.approx(1.0), pytest.approx(1e-4))
    assert rank_correlation(x, -x) == (pytest.approx(-1.0), pytest.approx(1e-4))
    few = np.array([3.0, 1, 2, 5, 4])  # all 120 permutations
    both = [abs(np.corrcoef(x[:5], drawn)[0, 1]) for drawn in itertools.permutations(few)]
    share = np.mean(np.array(both) >= abs(np.corrcoef(x[:5], few)[0, 1]) - 1e-9)
    assert rank_correlation(x[:5], few) == (pytest.approx(np.corrcoef(x[:5], few)[0, 1]), pytest.approx(share))
    rho, p = rank_correlation(x, np.array([5.0, 1, 9, 3, 7, 0, 11, 2, 8, 4, 10, 6]))
    assert rho == pytest.approx(
        pd.DataFrame({"x": x, "y": [5, 1, 9, 3, 7, 0, 11, 2, 8, 4, 10, 6]}).corr("spearman").iloc[0, 1]
    )
    assert p > 0.2
    assert np.isnan(rank_correlation(x, np.ones(12))).all()


def test_figures_show_every_model_and_a_point_a_quadruple():
    analogies = planted(10.0, 6)
    figure = analogy_curves(analogies.curves, analogies.test)
    names = [trace.name for trace in figure.data]
    assert names == [*MODELS, "zero-shot", "mean tuned α of the analogy"]
    assert list(figure.data[0].y) == [0.55, 0.55]  # the mean of 0.3 to 0.8
    assert figure.layout.xaxis.title.text == "coefficient α"
    points = gain_against_tau_jp(gains(analogies)).data
    assert len(points) == len(VECTORS)
    assert list(points[-1].y) == pytest.approx([10 * x for x in points[-1].x])
    assert list(points[-1].text) == [f"q{k}" for k in range(6)]
