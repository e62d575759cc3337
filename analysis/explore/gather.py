"""Which runs are explored, and what is measured of them once?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from torch import Tensor

from taujp_core.datasets import load_split
from taujp_core.methods import METHODS, find_method
from taujp_core.models import Clip, zero_shot_head
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector
from taujp_core.tasks import Task
from taujp_core.training.config import RunConfig
from taujp_core.training.run_store import is_finished, run_folder

from ..coefficients import COEFFICIENTS, addition_curve, per_task_coefficients, tuned_coefficient
from ..expected_accuracy import shipped
from ..products import Products, edited_source
from ..sentences import by_name, in_words, listed, share, standing
from ..trainings import tasks_of, train
from .answers import Answers, project

PICTURES = 8  # whose answer changes, per method
PAGE_IMAGES = 100  # of each task on the page: a few megabytes. Pictures are taken from these.


@dataclass(frozen=True)
class Explorer:
    """All that the panel, the page and the figure show.

    missing: a sentence for each method without answers; pictures: by (task, image), of those whose answer changes;
    without: the methods that cannot be chosen, in the order of `missing`; elsewhere: whether the model is another than the one that
    the forecast was learnt on.
    """

    tasks: tuple[Task, ...]
    colours: dict[str, str]
    answers: tuple[Answers, ...]
    missing: tuple[str, ...]
    pictures: dict[tuple[int, int], UInt8[Tensor, "3 h w"]]
    without: tuple[str, ...] = ()
    elsewhere: bool = False


def explore(
    clip: Clip,
    suite: Suite,
    configs: Sequence[RunConfig],
    store: Path,
    images: int,
    colours: dict[str, str],
    trains: bool = True,
) -> Explorer:
    """Measures the vectors of each method on the first `images` validation images of each task (0: all).

    configs: all of one seed. `trains=False`: of runs that are finished in the store alone. Raises ValueError for a method whose vectors are not
    applied to the linearised model, and what `train` raises.
    """
    groups: dict[str, list[RunConfig]] = {}
    for config in configs:
        groups.setdefault(config.method, []).append(config)
    check_linearised(list(groups))
    answers, missing = [], []
    for method, ours in groups.items():
        absent = [] if trains else without_run(ours, store, clip)
        if absent:
            missing.append(
                f"No finished run of {method}, seed {ours[0].seed}, on {', '.join(absent)} with this recipe is in {store}: "
                "set `train = True`, or train it in 10_train or 30_addition."
            )
            continue
        runs = train(clip, ours, store)
        answers.append(answer(clip, suite, [run.vector for run in runs], images))
    named = tuple(suite.task(task) for task in tasks_of(configs))
    without = tuple(method for method in groups if method not in {each.method for each in answers})
    _, learnt_on = shipped()
    return Explorer(
        named,
        colours,
        tuple(answers),
        tuple(missing),
        pictures(suite, answers, images),
        without,
        elsewhere=clip.fingerprint != learnt_on,
    )


def answer(clip: Clip, suite: Suite, vectors: Sequence[TaskVector], images: int) -> Answers:
    """One pass of Jacobian products a task. `tuned` and `optimum` are chosen on the same validation images."""
    tasks = [suite.task(vector.task) for vector in vectors]
    heads = [zero_shot_head(clip, task.classes, task.templates) for task in tasks]
    splits = [load_split(task, "validation").first(images) for task in tasks]
    sources = [cast(Products, edited_source(clip, vectors, split)) for split in splits]
    experts = np.eye(len(tasks)).tolist()
    curves = [
        addition_curve(source, head, expert, [1.0] * len(tasks), COEFFICIENTS)
        for source, head, expert in zip(sources, heads, experts, strict=True)
    ]
    tuned = tuned_coefficient(pd.concat(curves))
    return Answers(
        vectors[0].method,
        tuple(task.name for task in tasks),
        tuple(project(source, head) for source, head in zip(sources, heads, strict=True)),
        tuned,
        tuple(per_task_coefficients(sources, heads, tuned).tolist()),
    )


def pictures(suite: Suite, answers: Sequence[Answers], images: int) -> dict[tuple[int, int], Tensor]:
    """Of each method those that are shown."""
    wanted = sorted({shown for each in answers for shown in shown_pictures(each)})
    splits = {task: load_split(suite.task(answers[0].tasks[task]), "validation").first(images) for task, _ in wanted}
    return {(task, image): splits[task][image : image + 1][0][0] for task, image in wanted}


def shown_pictures(answers: Answers) -> list[tuple[int, int]]:
    """(task, image) of the PICTURES whose answer changes most often."""
    return answers.first(PAGE_IMAGES).changing(PICTURES)


def conclusion(summary: pd.DataFrame, noise: float) -> str:
    """What choosing coefficients is worth, from the summary of `summary_table`; noise: of a difference of its accuracies."""
    if summary.empty:
        return "There is nothing to explore: no method has a finished run of every task."
    ours = next((method for method in summary.index if find_method(method).penalised), summary.one_shot.idxmax())
    gain = (summary.per_task - summary.one_shot).round(2).rename(index=in_words)
    gains = [f"by {value:+.2f} with {method}" for method, value in gain[gain != 0].items()]
    gains += [f"not at all with {listed(list(gain.index[gain == 0]))}"] if (gain == 0).any() else []
    others = by_name(summary.one_shot.drop(ours))
    stands = f": {standing(summary.one_shot[ours], others, noise)}" if others else ""
    return (
        f"One coefficient per task instead of 1 for all changes the mean validation accuracy {listed(gains)}.\n"
        f"With every coefficient at 1 the mean validation accuracy is {share(summary.one_shot[ours])} with {in_words(ours)}{stands}."
    )


def check_linearised(methods: Sequence[str]) -> None:
    """Raises ValueError for a method whose models have no products that answer all coefficients."""
    affine = [name for name, method in METHODS.items() if method.application.affine]
    for method in methods:
        if not find_method(method).application.affine:
            raise ValueError(
                f"{method} vectors change the encoder itself, whose products do not answer for other coefficients: "
                f"accepted are {', '.join(affine)}"
            )


def without_run(configs: Sequence[RunConfig], store: Path, clip: Clip) -> list[str]:
    """Tasks whose run is not finished in this store; a method that trains nothing has the runs of another."""
    trained = [replace(config, method=find_method(config.method).vector_of or config.method) for config in configs]
    return [c.task for c in trained if not is_finished(run_folder(store, c, clip.fingerprint))]
