"""How good is one model that carries several vectors?

Task addition: one model from several vectors, θ₀ + α·Σₜ τₜ, over the coefficient α.

Protocol (Ilharco et al. 2023; Ortiz-Jimenez et al. 2023, sec. 5): one α for all vectors, chosen on the
validation splits by the mean normalised accuracy; test accuracies are reported. Normalised accuracy divides
by the accuracy of the method's own single-task model on the same images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from taujp_core.models import Clip, zero_shot_head
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector, applied_alike, total
from taujp_core.tasks import Task
from taujp_core.training.run_store import Run

from ..coefficients import COEFFICIENTS, per_task_coefficients, scores, tuned_coefficient
from ..images import first_images
from ..products import edited_source, measure_products
from ..trainings import by_method_and_seed, penalised_and_rivals


@dataclass(frozen=True)
class Addition:
    """Tidy tables; every row has its method and seed.

    curves: task, split, coefficient, accuracy, loss, ece, ace, normalised; single: task, split, accuracy;
    tau_jp: vector, data_set, tau_jp (validation images, for it needs no labels and test images
    are for accuracies; the control is among the data sets);
    per_task: task, coefficient (of its vector, found on validation images), accuracy, normalised (test images of
    the task, all vectors at their coefficients). Linearised methods only: there the products give the gradient.
    """

    curves: pd.DataFrame
    single: pd.DataFrame
    tau_jp: pd.DataFrame
    per_task: pd.DataFrame


def measure_addition(clip: Clip, suite: Suite, runs: Sequence[Run], images: int = 0) -> Addition:
    """Measure the sum of each method's and seed's vectors, over COEFFICIENTS; on the first `images` of each split, all for 0."""
    tables = []
    for (method, seed), group in by_method_and_seed(runs).items():
        found = measure_sum(clip, suite, [run.vector for run in group], images)
        tables.append([table.assign(method=method, seed=seed) for table in found])
    return Addition(*(pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True)))


def measure_sum(clip: Clip, suite: Suite, vectors: Sequence[TaskVector], images: int = 0) -> tuple[pd.DataFrame, ...]:
    """The four tables for vectors of one method, one a task.

    They are applied to the encoder itself or to its linearisation, as their method is. τJp is measured at θ₀ for all.
    """
    linearised = applied_alike(vectors) == "linearised"
    tasks = [suite.task(vector.task) for vector in vectors]
    heads = [zero_shot_head(clip, task.classes, task.templates) for task in tasks]
    products = {
        name: measure_products(clip, vectors, first_images(suite, name, "validation", images))
        for name in (*(task.name for task in tasks), suite.control.name)
    }
    tau_jp = [
        {"vector": vector.task, "data_set": name, "tau_jp": value}
        for name, measured in products.items()
        for vector, value in zip(vectors, measured.tau_jp().tolist(), strict=True)
    ]

    curves, single, per_task = [], [], []

    def add(task: Task, split: str, found: pd.DataFrame) -> None:
        """found: scores of the task's own vector, then over COEFFICIENTS of the sum."""
        alone, curve = found.accuracy[0], found.iloc[1:]
        single.append({"task": task.name, "split": split, "accuracy": alone})
        columns = {"task": task.name, "split": split, "coefficient": COEFFICIENTS}
        curves.append(curve.assign(**columns, normalised=curve.accuracy / alone if alone else np.nan))

    for k, (task, head) in enumerate(zip(tasks, heads, strict=True)):
        own = [float(k == t) for t in range(len(vectors))]
        if linearised:
            source = products[task.name]
        else:
            source = edited_source(clip, vectors, first_images(suite, task.name, "validation", images))
        add(task, "validation", scores(source, head, [own, *([alpha] * len(vectors) for alpha in COEFFICIENTS)]))
    if linearised:
        start = tuned_coefficient(pd.concat(curves))
        best = per_task_coefficients([products[task.name] for task in tasks], heads, start).tolist()
    for k, (task, head) in enumerate(zip(tasks, heads, strict=True)):
        # Two or three directions answer all that is asked of test images.
        directions = [vectors[k], total(vectors), *([total(vectors, best)] if linearised else [])]
        source = edited_source(clip, directions, first_images(suite, task.name, "test", images))
        rest = [0.0] * (len(directions) - 2)
        found = scores(source, head, [[1.0, 0.0, *rest], *([0.0, alpha, *rest] for alpha in COEFFICIENTS)])
        add(task, "test", found)
        if linearised:
            accuracy = scores(source, head, [[0.0, 0.0, 1.0]]).accuracy[0]
            normalised = accuracy / found.accuracy[0] if found.accuracy[0] else np.nan
            per_task.append({"task": task.name, "coefficient": best[k], "accuracy": accuracy, "normalised": normalised})
    columns = {"task": str, "coefficient": float, "accuracy": float, "normalised": float}
    return (
        pd.concat(curves),
        pd.DataFrame(single),
        pd.DataFrame(tau_jp),
        pd.DataFrame(per_task, columns=list(columns)).astype(columns),
    )


def summary_table(addition: Addition) -> pd.DataFrame:
    """A row for each method and seed: the numbers of the paper's table 1, averaged over tasks.

    Accuracies are those of test images; tau_jp_own is τJp of a vector on its own task's images, tau_jp_others
    on the other tasks' images (without the control; NaN for one task).
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


def per_task_table(per_task: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """A row a linearised method: its coefficient for each task, the mean test accuracy with them (per task), and
    that with one tuned coefficient (one); averaged over seeds."""
    per_task = per_task.astype({"coefficient": float})
    table = per_task.pivot_table(index="method", columns="task", values="coefficient", sort=False)
    table.columns.name = None
    one = summary.groupby("method").tuned.mean()
    return table.assign(per_task=per_task.groupby("method").accuracy.mean(), one=one)


def findings(summary: pd.DataFrame) -> dict[str, bool]:
    """What the theory expects of the best penalised method, checked against means over seeds.

    Nothing without a penalised method, a rival, and a second task (with one, no vector is added to another).
    """
    penalised, rivals = penalised_and_rivals(summary)
    if penalised.empty or rivals.empty or summary.tau_jp_others.isna().all():
        return {}
    ours = penalised.loc[penalised.one_shot.idxmax()]
    return {
        "the lowest τJp on other tasks": bool(ours.tau_jp_others < rivals.tau_jp_others.min()),
        "the highest normalised accuracy at α = 1": bool(ours.normalised_one_shot > rivals.normalised_one_shot.max()),
        "a one-shot accuracy above every rival's tuned one": bool(ours.one_shot > rivals.tuned.max()),
        "a one-shot accuracy within 0.01 of its tuned one": bool(ours.tuned - ours.one_shot <= 0.01),
    }
