"""How good is one model that carries several vectors, θ₀ + α·Σₜ τₜ, over the coefficient α?

Protocol (Ilharco et al. 2023; Ortiz-Jimenez et al. 2023, sec. 5): one α for all vectors, chosen on the
validation splits by the mean normalised accuracy; test accuracies are reported. Normalised accuracy divides
by the accuracy of the method's own single-task model on the same images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from taujp_core.datasets import load_split
from taujp_core.models import Clip, zero_shot_head
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector, applied_alike, total
from taujp_core.training.run_store import Run

from ..coefficients import COEFFICIENTS, addition_curve, normalised, per_task_coefficients, scores, tuned_coefficient
from ..products import as_applied, edited_source, measure_products
from ..sentences import NOTHING, by_name, in_words, listed, relation, share, short, standing
from ..trainings import penalised_and_rivals, tables_of_models


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
    return Addition(*tables_of_models(runs, lambda vectors: measure_sum(clip, suite, vectors, images)))


def measure_sum(clip: Clip, suite: Suite, vectors: Sequence[TaskVector], images: int = 0) -> tuple[pd.DataFrame, ...]:
    """The four tables for vectors of one method, one a task.

    They are applied as their method is. τJp is measured at θ₀ for all.
    """
    application = applied_alike(vectors)
    affine = application.affine
    tasks = [suite.task(vector.task) for vector in vectors]
    heads = [zero_shot_head(clip, task.classes, task.templates) for task in tasks]
    products = {
        name: measure_products(clip, vectors, load_split(suite.task(name), "validation").first(images))
        for name in (task.name for task in (*tasks, *suite.controls))
    }
    tau_jp = [
        {"vector": vector.task, "data_set": name, "tau_jp": value}
        for name, measured in products.items()
        for vector, value in zip(vectors, measured.tau_jp().tolist(), strict=True)
    ]

    curves, per_task = [], []
    for task, head, own in zip(tasks, heads, np.eye(len(tasks)).tolist(), strict=True):
        if affine:
            source = as_applied(products[task.name], application)
        else:
            source = edited_source(clip, vectors, load_split(task, "validation").first(images))
        curve = addition_curve(source, head, own, [1.0] * len(vectors), COEFFICIENTS)
        curves.append(curve.assign(task=task.name, split="validation"))
    if affine:
        tuned = tuned_coefficient(pd.concat(curves))
        sources = [as_applied(products[task.name], application) for task in tasks]
        best = per_task_coefficients(sources, heads, tuned).tolist()
    for k, (task, head) in enumerate(zip(tasks, heads, strict=True)):
        # Two or three directions answer all that is asked of test images.
        directions = [vectors[k], total(vectors), *([total(vectors, best)] if affine else [])]
        expert, everything, *rest = np.eye(len(directions)).tolist()
        source = edited_source(clip, directions, load_split(task, "test").first(images))
        curve = addition_curve(source, head, expert, everything, COEFFICIENTS)
        curves.append(curve.assign(task=task.name, split="test"))
        if affine:
            accuracy = scores(source, head, rest).accuracy[0]
            share = normalised(accuracy, curve.single.iloc[0])
            per_task.append({"task": task.name, "coefficient": best[k], "accuracy": accuracy, "normalised": share})
    curves = pd.concat(curves)
    columns = {"task": str, "coefficient": float, "accuracy": float, "normalised": float}
    return (
        curves.drop(columns="single"),
        curves.drop_duplicates(["task", "split"])[["task", "split", "single"]].rename(columns={"single": "accuracy"}),
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
    """A row per linearised method: its coefficient for each task, the mean test accuracy with them (per task), and
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


def conclusion(summary: pd.DataFrame, noise: float) -> str:
    """What the best penalised method's sum is beside the others', three sentences, the last of them the main one.

    noise: two standard errors of a difference of the accuracies, by `analysis.sentences.noise`.
    """
    penalised, rivals = penalised_and_rivals(summary)
    if penalised.empty or rivals.empty or summary.tau_jp_others.isna().all():
        return NOTHING
    ours = penalised.loc[penalised.one_shot.idxmax()]
    name, tuned = in_words(ours.name), rivals.tuned.idxmax()
    tau_jp = [f"{short(ours.tau_jp_others)} with {name}"]
    tau_jp += [f"{short(value)} with {in_words(method)}" for method, value in rivals.tau_jp_others.items()]
    stands = relation(ours.one_shot, rivals.tuned[tuned], noise)
    return (
        f"On the other tasks' images the mean τJp is {listed(tau_jp)}.\n"
        f"With α tuned on validation images, the best other method is {in_words(tuned)} ({share(rivals.tuned[tuned])}); "
        f"at α = 1, {name} is {stands} it ({share(ours.one_shot)}).\n"
        f"At α = 1 the sum of all vectors reaches a mean test accuracy of {share(ours.one_shot)} with {name}: "
        f"{standing(ours.one_shot, by_name(rivals.one_shot), noise)}."
    )
