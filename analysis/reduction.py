"""What `interference.reduce_tau_jp` buys for one-shot addition, against the vectors as they were trained."""

import time
from collections.abc import Sequence

import pandas as pd
import torch

from taujp_core.models import Clip, zero_shot_head
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector, total

from .arms import first_images, unlabelled
from .coefficients import COEFFICIENTS, best_scalar, scores
from .interference import reduce_tau_jp
from .products import forward_source, measure_products


def reduce_all(
    clip: Clip, suite: Suite, vectors: Sequence[TaskVector], solve_images: int, iterations: int
) -> tuple[list[TaskVector], float]:
    """Each vector reduced on the others' training images, and the mean seconds that one took."""
    images = {vector.task: unlabelled(suite, vector.task, solve_images) for vector in vectors}
    started, reduced = time.perf_counter(), []
    for vector in vectors:
        others = [images[task] for task in images if task != vector.task]
        reduced.append(reduce_tau_jp(vector, clip, images[vector.task], others, iterations=iterations))
    return reduced, (time.perf_counter() - started) / len(vectors)


def tau_jp_table(clip: Clip, suite: Suite, vectors: Sequence[TaskVector], images: int) -> pd.DataFrame:
    """vector, data_set, tau_jp on validation images."""
    rows = []
    for task in (vector.task for vector in vectors):
        measured = measure_products(clip, vectors, first_images(suite, task, "validation", images)).tau_jp().tolist()
        rows += [{"vector": v.task, "data_set": task, "tau_jp": x} for v, x in zip(vectors, measured, strict=True)]
    return pd.DataFrame(rows)


def addition_accuracies(
    clip: Clip, suite: Suite, vectors: Sequence[TaskVector], application: str, images: int
) -> pd.DataFrame:
    """task, single (own vector alone), one_shot (all at α = 1) and best (α tuned on validation): test accuracies.

    The first `images` images of each split; application as in `arms`.
    """
    measure = measure_products if application == "linearised" else forward_source
    everything, rows, curves = total(vectors), [], {}
    points = [[1.0, 0.0], *([0.0, alpha] for alpha in COEFFICIENTS)]
    for split in ("validation", "test"):
        for vector in vectors:
            task = suite.task(vector.task)
            head = zero_shot_head(clip, task.classes, task.templates)
            source = measure(clip, [vector, everything], first_images(suite, task.name, split, images))
            curves[split, task.name] = scores(source, head, points).accuracy
    validation = pd.DataFrame({task: curve for (split, task), curve in curves.items() if split == "validation"})
    normalised = validation.iloc[1:] / validation.iloc[0]
    alpha = best_scalar(pd.Series(normalised.mean(axis=1).to_numpy(), index=COEFFICIENTS))
    for vector in vectors:
        curve = curves["test", vector.task]
        best = curve[1 + COEFFICIENTS.index(alpha)]
        rows.append({"task": vector.task, "single": curve[0], "one_shot": curve.iloc[-1], "best": best, "alpha": alpha})
    return pd.DataFrame(rows)


def measure_reduction(
    clip: Clip, suite: Suite, vectors: dict[str, Sequence[TaskVector]], solve_images: int, iterations: int, images: int
) -> tuple[pd.DataFrame, float]:
    """Per vectors (`linear`, `linear, reduced`, …), application and task: accuracies and τJp; seconds a reduction.

    vectors: by method, one a task. Vectors trained with the penalty are measured as they are, for comparison.
    """
    tables, seconds = [], []
    for method, trained in vectors.items():
        versions = {method: trained}
        if not method.startswith("taujp"):
            versions[f"{method}, reduced"], took = reduce_all(clip, suite, trained, solve_images, iterations)
            seconds.append(took)
        for name, version in versions.items():
            tau_jp = tau_jp_table(clip, suite, version, images)
            own = tau_jp.vector == tau_jp.data_set
            by_task = pd.DataFrame(
                {
                    "tau_jp_own": tau_jp[own].set_index("vector").tau_jp,
                    "tau_jp_others": tau_jp[~own].groupby("vector").tau_jp.mean(),
                }
            )
            for application in ("linearised", "non-linear") if method == "standard" else ("linearised",):
                found = addition_accuracies(clip, suite, version, application, images).join(by_task, on="task")
                tables.append(found.assign(vectors=name, application=application))
    return pd.concat(tables, ignore_index=True), float(torch.tensor(seconds).mean())


def reduction_findings(table: pd.DataFrame) -> str:
    """Sentences about what the reduction gained and lost, from the table of `measure_reduction`."""
    sentences = []
    for name in table.vectors.unique():
        if f"{name}, reduced" not in set(table.vectors):
            continue
        for application, rows in table[table.vectors == name].groupby("application", sort=False):
            after = table[(table.vectors == f"{name}, reduced") & (table.application == application)]
            before, after = rows.set_index("task"), after.set_index("task")
            means = {column: (before[column].mean(), after[column].mean()) for column in ("one_shot", "best", "single")}
            lost = (before.single - after.single).idxmax()
            worse = [task for task in before.index if after.one_shot[task] < before.one_shot[task]]
            sentences.append(
                f"{name} vectors, {application}: α = 1 {means['one_shot'][0]:.3f} → {means['one_shot'][1]:.3f}, "
                f"best α {means['best'][0]:.3f} → {means['best'][1]:.3f}, single task {means['single'][0]:.3f} → "
                f"{means['single'][1]:.3f} (largest loss: {lost}, {before.single[lost] - after.single[lost]:.3f}); "
                f"one-shot worse than before on {', '.join(worse) or 'no task'}."
            )
    return "\n".join(sentences)
