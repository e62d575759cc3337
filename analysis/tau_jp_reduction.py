"""What does lowering τJp without training (`interference.reduce_tau_jp`) buy for one-shot addition?"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd
import torch

from taujp_core.applications import Application
from taujp_core.applications.linearised import LINEARISED
from taujp_core.datasets import load_split
from taujp_core.methods import find_method
from taujp_core.models import Clip, zero_shot_head
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector, total

from .coefficients import COEFFICIENTS, addition_curve, tuned_coefficient
from .interference import reduce_tau_jp
from .products import edited_source
from .sentences import listed, moved, where
from .tau_jp import own_and_others, tau_jp


def reduce_all(
    clip: Clip, suite: Suite, vectors: Sequence[TaskVector], solve_images: int, iterations: int
) -> tuple[list[TaskVector], float]:
    """Each vector reduced on the others' first training images, and the mean seconds that one took."""
    images = {
        vector.task: load_split(suite.task(vector.task), "train").first(solve_images).images for vector in vectors
    }
    started, reduced = time.perf_counter(), []
    for vector in vectors:
        others = [images[task] for task in images if task != vector.task]
        reduced.append(reduce_tau_jp(vector, clip, images[vector.task], others, iterations=iterations))
    return reduced, (time.perf_counter() - started) / len(vectors)


def addition_accuracies(
    clip: Clip, suite: Suite, vectors: Sequence[TaskVector], application: Application, images: int
) -> pd.DataFrame:
    """task, single (own vector alone), one_shot (all at α = 1) and best (all at `alpha`, tuned on validation): test accuracies.
    validation: one_shot on validation images, for choices.

    The first `images` images of each split. All are applied as `application` says, whatever method trained them:
    published ones beside one's own.
    """
    everything = total([replace(vector, method=vectors[0].method) for vector in vectors])
    heads = [zero_shot_head(clip, task.classes, task.templates) for task in (suite.task(v.task) for v in vectors)]

    def curves(split: str, coefficients: Sequence[float]) -> Iterator[pd.DataFrame]:
        for vector, head in zip(vectors, heads, strict=True):
            data = load_split(suite.task(vector.task), split).first(images)
            source = edited_source(clip, [vector, everything], data, application)
            yield addition_curve(source, head, [1.0, 0.0], [0.0, 1.0], coefficients)

    validation = list(curves("validation", COEFFICIENTS))
    alpha = tuned_coefficient(pd.concat(validation))
    rows = []
    for vector, seen, curve in zip(vectors, validation, curves("test", (1.0, alpha)), strict=True):
        one_shot, best = curve.accuracy
        rows.append(
            {
                "task": vector.task,
                "single": curve.single.iloc[0],
                "one_shot": one_shot,
                "best": best,
                "alpha": alpha,
                "validation": seen.accuracy[seen.coefficient == 1].item(),
            }
        )
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
        if not find_method(method).penalised:
            versions[f"{method}, reduced"], took = reduce_all(clip, suite, trained, solve_images, iterations)
            seconds.append(took)
        for name, version in versions.items():
            tasks = [vector.task for vector in version]
            by_task = own_and_others(tau_jp(clip, version, [suite.task(task) for task in tasks], images), tasks)
            own = find_method(method).application
            for application in dict.fromkeys((LINEARISED, own)):
                found = addition_accuracies(clip, suite, version, application, images).drop(columns="validation")
                found = found.join(by_task, on="task")
                tables.append(found.assign(vectors=name, application=application.name))
    return pd.concat(tables, ignore_index=True), float(torch.tensor(seconds).mean())


def reduction_findings(table: pd.DataFrame) -> str:
    """A sentence for each kind of vectors and application, from the table of `measure_reduction`: means over seeds, if several."""
    sentences = []
    for name in table.vectors.unique():
        if f"{name}, reduced" not in set(table.vectors):
            continue
        for application, rows in table[table.vectors == name].groupby("application", sort=False):
            after = table[(table.vectors == f"{name}, reduced") & (table.application == application)]
            before, after = (one.groupby("task", sort=False).mean(numeric_only=True) for one in (rows, after))
            one_shot, best, single = (moved(before[c].mean(), after[c].mean()) for c in ("one_shot", "best", "single"))
            worse = [task for task in before.index if after.one_shot[task] < before.one_shot[task]]
            but = f"; at α = 1, {listed(worse)} {'is' if len(worse) == 1 else 'are'} worse than before" if worse else ""
            sentences.append(
                f"{where(application)} the accuracy of the sum of `{name}` vectors {one_shot} at α = 1 and {best} at the "
                f"best α. That of a single task {single}{but}."
            )
    return "\n".join(sentences)
