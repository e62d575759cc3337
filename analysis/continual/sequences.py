"""What becomes of tasks that arrive one by one? After each arrival the model is θ₀ + Σ τ over the tasks so far.

All coefficients are 1. When a task is trained, the penalty may see images of the tasks before it and of the control,
and nothing of a task that is still to come.

    standard, linear     no penalty: the vectors do not know of each other
    sequential           one model that is fine-tuned on one task after the other, by `standard`
    taujp-strict         the penalty sees a batch of every past task and of the control each step
    taujp-efficient      one of them a step, in turn
    taujp-memory         the same, with no more than a reservoir of each past task's images
    taujp-joint          taujp-efficient with all tasks known beforehand: what continual learning cannot have

The accuracy matrix R[k, j] is the test accuracy on the j-th task after the k-th arrival, for j ≤ k.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from taujp_core.applications.encoder import ENCODER
from taujp_core.checks import one_of
from taujp_core.datasets import load_split
from taujp_core.models import Clip, fingerprint, zero_shot_head
from taujp_core.progress import doing
from taujp_core.suites import Suite, as_suite
from taujp_core.task_vectors import TaskVector, edited, total
from taujp_core.training.config import RunConfig, run_config
from taujp_core.training.finetune import finetune
from taujp_core.training.run_store import Run

from ..coefficients import scores
from ..products import edited_source
from ..sentences import NOTHING, by_name, in_words, relation, share, standing

TRAINED_BY = {
    "standard": "standard",
    "linear": "linear",
    "sequential": "standard",
    "taujp-strict": "taujp-strict",
    "taujp-efficient": "taujp-efficient",
    "taujp-memory": "taujp-efficient",
    "taujp-joint": "taujp-efficient",
}
PENALISED_METHODS = ("taujp-strict", "taujp-efficient", "taujp-memory")
PLAIN_METHODS = ("standard", "linear", "sequential")


def arrival_orders(tasks: Sequence[str], count: int) -> list[list[str]]:
    """The tasks in the order given, then in others, all different, drawn with seeds 0, 1, …

    Raises ValueError for fewer than two tasks, a task that stands there twice, and more orders than there are.
    """
    if len(tasks) < 2 or len(set(tasks)) < len(tasks):
        raise ValueError(f"a sequence takes at least two different tasks, not {', '.join(tasks)}")
    if not 1 <= count <= math.factorial(len(tasks)):
        raise ValueError(f"{len(tasks)} tasks arrive in 1 to {math.factorial(len(tasks))} orders, not in {count}")
    orders, seed = [list(tasks)], 0
    while len(orders) < count:
        drawn = [tasks[i] for i in np.random.RandomState(seed).permutation(len(tasks))]
        orders += [drawn] if drawn not in orders else []
        seed += 1
    return orders


def sequence_configs(
    suite: Suite | str, order: Sequence[str], method: str, reservoir: int, seed: int = 0, **recipe
) -> list[RunConfig]:
    """A run for each arrival; `recipe` goes to `run_config`.

    Past tasks are named in the suite's order, so that the same past in another order is the same run: a task's last
    run in `taujp-efficient` is its run in `taujp-joint`. The first task has only the control to leave alone, and
    its run is the same for all that have the penalty. Raises ValueError for whatever is not accepted, and if the
    penalty would see a task that has not arrived yet.
    """
    one_of("method", method, TRAINED_BY)
    if method == "taujp-memory" and reservoir == 0:
        raise ValueError("taujp-memory keeps at least 1 image of a past task, not a reservoir of 0")
    if "penalty_reservoir" in recipe:
        raise ValueError("penalty_reservoir is not a change to the recipe here: the parameter reservoir sets it")
    suite, configs = as_suite(suite), []
    for task in order:
        one_of("task", task, suite.tasks)
    for k, task in enumerate(order):
        known = order if method == "taujp-joint" else order[: k + 1]
        known = [name for name in suite.tasks if name in known]
        trained_by, images = TRAINED_BY[method], reservoir if method == "taujp-memory" else 0
        if method in PENALISED_METHODS and k == 0:
            trained_by, images = "taujp-efficient", 0
        config = run_config(suite, task, trained_by, seed, known, penalty_reservoir=images, **recipe)
        future = [name for name in order[k + 1 :] if name in config.penalty_tasks]
        if future and method != "taujp-joint":
            raise ValueError(
                f"the penalty of {task} in {method} would see images of {', '.join(future)} before they arrive"
            )
        configs.append(config)
    return configs


def train_sequence(clip: Clip, method: str, configs: Sequence[RunConfig], store: Path) -> list[Run]:
    """One run for each arrival, trained or loaded; the sum of the first k vectors is the k-th model less θ₀.

    `sequential` trains each task from the model before it; its vectors are the steps from one model to the next.
    """
    runs = []
    for number, config in enumerate(configs, 1):
        start = model_after(clip, [run.vector for run in runs]) if method == "sequential" else clip
        with doing(f"{method}, arrival {number} of {len(configs)}: {config.task}"):
            run = finetune(config, store, start)
        runs.append(replace(run, vector=replace(run.vector, theta0_fingerprint=clip.fingerprint)))
    return runs


def model_after(clip: Clip, vectors: Sequence[TaskVector]) -> Clip:
    """The CLIP whose pre-trained parameters are θ₀ + Σ τ."""
    theta = edited(clip.theta0, vectors, [1.0] * len(vectors))
    return replace(clip, theta0=theta, fingerprint=fingerprint(theta))


def measure_arrivals(clip: Clip, suite: Suite, vectors: Sequence[TaskVector]) -> pd.DataFrame:
    """Test accuracy on every task seen so far after each arrival: arrival k, position j ≤ k (from 1), task, accuracy.

    Linearised models: one pass over a task's images has the products of all models from its arrival on. Vectors that
    are applied to the encoder are added to it, and each model is run.
    """
    sums = [total(vectors[: k + 1]) for k in range(len(vectors))]
    tables = []
    for j, vector in enumerate(vectors):
        task = suite.task(vector.task)
        source = edited_source(clip, sums[j:], load_split(task, "test"))
        head = zero_shot_head(clip, task.classes, task.templates)
        found = scores(source, head, torch.eye(len(sums) - j).tolist())
        rows = {"arrival": range(j + 1, len(sums) + 1), "position": j + 1, "task": task.name}
        tables.append(pd.DataFrame({**rows, "accuracy": found.accuracy}))
    return pd.concat(tables, ignore_index=True)


def zero_shot_arrivals(clip: Clip, suite: Suite, orders: dict[int, list[str]]) -> pd.DataFrame:
    """The same table, with its order, for a model that learns nothing: the level to which all methods are compared."""
    found = {}
    for name in next(iter(orders.values())):
        task = suite.task(name)
        source = edited_source(clip, [], load_split(task, "test"), ENCODER)
        found[name] = scores(source, zero_shot_head(clip, task.classes, task.templates), [[]]).accuracy[0]
    return pd.DataFrame(
        {"method": "zero-shot", "order": number, "arrival": k, "position": j, "task": name, "accuracy": found[name]}
        for number, order in orders.items()
        for j, name in enumerate(order, 1)
        for k in range(j, len(order) + 1)
    )


def accuracy_matrix(arrivals: pd.DataFrame) -> Float[np.ndarray, "t t"]:
    """R[k, j] of one method and order; NaN where task j has not arrived after arrival k."""
    return arrivals.pivot(index="arrival", columns="position", values="accuracy").to_numpy(dtype=float)


def average_accuracy(matrix: Float[np.ndarray, "t t"]) -> Float[np.ndarray, "t"]:
    """A_k = mean over j ≤ k of R[k, j] (Lopez-Paz & Ranzato 2017, eq. 2, after every arrival)."""
    return np.array([row[: k + 1].mean() for k, row in enumerate(matrix)])


def forgetting(matrix: Float[np.ndarray, "t t"]) -> float:
    """mean over j < T of [max over k < T of R[k, j] − R[T, j]] (Chaudhry et al. 2018, eq. 3 and 4).

    It is negative if tasks are done better at the end than ever before.
    """
    return float((np.nanmax(matrix[:-1, :-1], axis=0) - matrix[-1, :-1]).mean())


def backward_transfer(matrix: Float[np.ndarray, "t t"]) -> float:
    """mean over j < T of R[T, j] − R[j, j] (Lopez-Paz & Ranzato 2017, eq. 3)."""
    return float((matrix[-1] - matrix.diagonal())[:-1].mean())


def averages_table(arrivals: pd.DataFrame) -> pd.DataFrame:
    """method, order, arrival, average_accuracy A_k. arrivals: those of `measure_arrivals`, with method and order."""
    parts = []
    for (method, order), rows in arrivals.groupby(["method", "order"], sort=False):
        found = average_accuracy(accuracy_matrix(rows))
        columns = {"method": method, "order": order, "arrival": range(1, len(found) + 1), "average_accuracy": found}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def summary_table(arrivals: pd.DataFrame) -> pd.DataFrame:
    """A row for each method and order: A_T, the mean accuracy at arrival (of R[j, j]), forgetting, backward transfer."""
    rows = []
    for (method, order), part in arrivals.groupby(["method", "order"], sort=False):
        matrix = accuracy_matrix(part)
        rows.append(
            {
                "method": method,
                "order": order,
                "average_accuracy": average_accuracy(matrix)[-1],
                "at_arrival": matrix.diagonal().mean(),
                "forgetting": forgetting(matrix),
                "backward_transfer": backward_transfer(matrix),
            }
        )
    return pd.DataFrame(rows)


def findings(summary: pd.DataFrame) -> dict[str, bool]:
    """What is expected of the best method that has the penalty and knows no future, against means over orders.

    Nothing without one of PENALISED_METHODS and one of PLAIN_METHODS.
    """
    means = summary.groupby("method")[["average_accuracy", "forgetting"]].mean()
    ours, rivals = (means[means.index.isin(names)] for names in (PENALISED_METHODS, PLAIN_METHODS))
    if ours.empty or rivals.empty:
        return {}
    best = ours.loc[ours.average_accuracy.idxmax()]
    found = {
        "the highest average accuracy after the last arrival": bool(
            best.average_accuracy > rivals.average_accuracy.max()
        ),
        "the least forgetting": bool(best.forgetting < rivals.forgetting.min()),
    }
    if "taujp-joint" in means.index:
        gap = means.average_accuracy["taujp-joint"] - best.average_accuracy
        found["an average accuracy within 0.01 of training with all tasks known"] = bool(gap <= 0.01)
    return found


def conclusion(summary: pd.DataFrame, noise: float) -> str:
    """Where the best method stands that has the penalty and knows no future, two or three sentences; means over orders.

    noise: two standard errors of a difference of average accuracies.
    """
    means = summary.groupby("method", sort=False)[["average_accuracy", "forgetting"]].mean()
    ours, rivals = (means[means.index.isin(names)] for names in (PENALISED_METHODS, PLAIN_METHODS))
    if ours.empty or rivals.empty:
        return NOTHING
    best = ours.loc[ours.average_accuracy.idxmax()]
    name, lines = in_words(best.name), []
    forgotten = standing(best.forgetting, by_name(rivals.forgetting), noise, lower_is_better=True)
    lines.append(f"The mean accuracy that is forgotten is {share(best.forgetting)} with {name}: {forgotten}.")
    if "taujp-joint" in means.index:
        most = means.average_accuracy["taujp-joint"]
        stands = relation(best.average_accuracy, most, noise)
        lines.append(f"Its average accuracy is {stands} that of {in_words('taujp-joint')} ({share(most)}).")
    reached = standing(best.average_accuracy, by_name(rivals.average_accuracy), noise)
    lines.append(
        f"After the last arrival the average accuracy is {share(best.average_accuracy)} with {name}: {reached}."
    )
    return "\n".join(lines)
