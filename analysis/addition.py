"""Task addition: one model from several vectors, θ₀ + α·Σₜ τₜ, over the coefficient α.

Protocol (Ilharco et al. 2023; Ortiz-Jimenez et al. 2023, sec. 5): one α for all vectors, chosen on the
validation splits by the mean normalised accuracy; test accuracies are reported. Normalised accuracy divides
by the accuracy of the method's own single-task model on the same images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from taujp_core.datasets import load_split
from taujp_core.evaluation import accuracy
from taujp_core.models import Clip, zero_shot_head
from taujp_core.runs import Run
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector, total

from .products import forward_source, measure_products

COEFFICIENTS = tuple(k / 20 for k in range(21))


@dataclass(frozen=True)
class Addition:
    """Tidy tables; every row has its method and seed.

    curves: task, split, coefficient, accuracy, normalised; single: task, split, accuracy;
    tau_jp: vector, data_set, tau_jp (validation images, for it needs no labels and test images
    are for accuracies; the control is among the data sets).
    """

    curves: pd.DataFrame
    single: pd.DataFrame
    tau_jp: pd.DataFrame


def measure_addition(clip: Clip, suite: Suite, runs: Sequence[Run]) -> Addition:
    """Measure the sum of each method's and seed's vectors, over COEFFICIENTS."""
    groups: dict[tuple[str, int], list[TaskVector]] = {}
    for run in runs:
        groups.setdefault((run.config.method, run.config.seed), []).append(run.vector)
    tables = []
    for (method, seed), vectors in groups.items():
        curves, single, tau_jp = measure_sum(clip, suite, vectors)
        tables.append([pd.DataFrame(rows).assign(method=method, seed=seed) for rows in (curves, single, tau_jp)])
    return Addition(*(pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True)))


def measure_sum(clip: Clip, suite: Suite, vectors: Sequence[TaskVector]) -> tuple[list[dict], list[dict], list[dict]]:
    """Rows of the three tables for vectors of one method, one a task.

    `standard` vectors are applied to the encoder itself, the others to its linearisation. τJp is measured at
    θ₀ for all.
    """
    tasks = [vector.task for vector in vectors]
    measure = forward_source if vectors[0].method == "standard" else measure_products
    curves, single, tau_jp = [], [], []
    for name in (*tasks, suite.control.name):
        task = suite.task(name)
        products = measure_products(clip, vectors, load_split(task, "validation"))
        for vector, value in zip(tasks, products.tau_jp().tolist(), strict=True):
            tau_jp.append({"vector": vector, "data_set": name, "tau_jp": value})
    for own in vectors:
        task = suite.task(own.task)
        head = zero_shot_head(clip, task.classes, task.templates)
        for split in ("validation", "test"):
            # Two directions answer all that is asked: the task's own vector, and the sum.
            source = measure(clip, [own, total(vectors)], load_split(task, split))
            alone = accuracy(source.edited_features([1.0, 0.0]), head, source.labels)
            single.append({"task": task.name, "split": split, "accuracy": alone})
            for alpha in COEFFICIENTS:
                together = accuracy(source.edited_features([0.0, alpha]), head, source.labels)
                normalised = together / alone if alone else np.nan
                point = {"coefficient": alpha, "accuracy": together, "normalised": normalised}
                curves.append({"task": task.name, "split": split, **point})
    return curves, single, tau_jp


def tuned_coefficient(curves: pd.DataFrame) -> float:
    """The coefficient with the best mean normalised validation accuracy; of equals the largest.

    curves: those of one method and seed.
    """
    mean = curves[curves.split == "validation"].groupby("coefficient").normalised.mean()
    return float(mean[mean >= mean.max() - 1e-12].index.max())


def summary_table(addition: Addition) -> pd.DataFrame:
    """A row for each method and seed: the numbers of the paper's table 1, averaged over tasks.

    Accuracies are those of test images; tau_jp_own is τJp of a vector on its own task's images, tau_jp_others
    on the other tasks' images (without the control).
    """
    rows = []
    for (method, seed), curves in addition.curves.groupby(["method", "seed"], sort=False):
        tuned = tuned_coefficient(curves)
        test = curves[curves.split == "test"].groupby("coefficient")[["accuracy", "normalised"]].mean()
        single, tau_jp = (
            table[(table.method == method) & (table.seed == seed)] for table in (addition.single, addition.tau_jp)
        )
        tau_jp = tau_jp[tau_jp.data_set.isin(tau_jp.vector)]
        own = tau_jp.vector == tau_jp.data_set
        rows.append(
            {
                "method": method,
                "seed": seed,
                "zero_shot": test.accuracy[0.0],
                "single_task": single[single.split == "test"].accuracy.mean(),
                "one_shot": test.accuracy[1.0],
                "tuned": test.accuracy[tuned],
                "tuned_coefficient": tuned,
                "normalised_one_shot": test.normalised[1.0],
                "normalised_tuned": test.normalised[tuned],
                "tau_jp_own": tau_jp[own].tau_jp.mean(),
                "tau_jp_others": tau_jp[~own].tau_jp.mean(),
            }
        )
    return pd.DataFrame(rows)


def findings(summary: pd.DataFrame) -> dict[str, bool]:
    """What the theory expects of the best penalised method, checked against means over seeds."""
    means = summary.groupby("method").mean(numeric_only=True)
    penalised = means[means.index.str.startswith("taujp")]
    rivals = means.drop(index=penalised.index)
    if penalised.empty or rivals.empty:
        raise ValueError("a comparison takes a method with the τJp penalty and one without")
    ours = penalised.loc[penalised.one_shot.idxmax()]
    return {
        "the lowest τJp on other tasks": bool(ours.tau_jp_others < rivals.tau_jp_others.min()),
        "the highest normalised accuracy at α = 1": bool(ours.normalised_one_shot > rivals.normalised_one_shot.max()),
        "a one-shot accuracy above every rival's tuned one": bool(ours.one_shot > rivals.tuned.max()),
        "a one-shot accuracy within 0.01 of its tuned one": bool(ours.tuned - ours.one_shot <= 0.01),
    }


def conclusion(summary: pd.DataFrame) -> str:
    """The findings as a sentence; what does not hold is said as well."""
    found = findings(summary)
    yes, no = ([text for text, holds in found.items() if holds is wanted] for wanted in (True, False))
    parts = [f"has {', '.join(yes)}"] * bool(yes) + [f"does not have {', '.join(no)}"] * bool(no)
    return f"Fine-tuning with the τJp penalty {'; it '.join(parts)}."
