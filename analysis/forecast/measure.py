"""How well is the accuracy of plans forecast? Each plan on each of its tasks: what is known beforehand, and what comes of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from taujp_core.applications import EditedData
from taujp_core.datasets import load_split
from taujp_core.evaluation import accuracy
from taujp_core.models import Clip, logits, zero_shot_head
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector, applied_alike

from ..expected_accuracy import changed
from ..products import edited_source, products_and_source
from ..stressed_experts import AS_TRAINED, Experts
from .evidence import evidence
from .plans import Plan
from .predictors import from_pairs, from_products


@dataclass(frozen=True)
class Sample:
    """What a forecast sees of a task, unlabelled validation images, in several numbers, and what it is tested on."""

    counts: Sequence[int]
    test_images: int


def measure_plans(
    clip: Clip,
    suite: Suite,
    experts: Sequence[Experts],
    plans: Sequence[Plan],
    merges: Mapping[str, Callable[[Sequence[TaskVector]], TaskVector]],
    sample: Sample,
) -> pd.DataFrame:
    """A row for each method, seed, condition, plan, task of the plan, and number of images.

    plans: of `plans_of`, for the vectors of all experts of one method, seed and condition; merges: functions by name that make one
    vector of several, whose model is a plan of all tasks, too. Experts that are stressed are not merged.

    method, seed, condition, application, task; plan (its coefficients, or the merge's name), size (vectors), alpha (the largest coefficient, 1 for a
    merge), merged (whether it is one); asked, images, changed, lost (see `compared`), and with the most images the other PREDICTORS; single, accuracy (on the first
    `test_images` test images), normalised (their ratio).
    """
    tables = []
    for one in experts:
        made = {name: merge(one.vectors) for name, merge in merges.items() if one.condition == AS_TRAINED}
        application = applied_alike(one.vectors).name
        for own, vector in enumerate(one.vectors):
            table = measure_task(clip, suite, one.vectors, own, plans, made, sample)
            known = {"method": one.method, "seed": one.seed, "condition": one.condition}
            tables.append(table.assign(**known, application=application, task=vector.task))
    return pd.concat(tables, ignore_index=True)


def measure_task(
    clip: Clip,
    suite: Suite,
    vectors: Sequence[TaskVector],
    own: int,
    plans: Sequence[Plan],
    merges: Mapping[str, TaskVector],
    sample: Sample,
) -> pd.DataFrame:
    """The rows of one task. Coefficients are of the vectors and of the merges behind them."""
    task = suite.task(vectors[own].task)
    head = zero_shot_head(clip, task.classes, task.templates)
    everything = [*vectors, *merges.values()]
    seen = load_split(task, "validation").first(max(sample.counts))
    products, source = products_and_source(clip, everything, seen)
    tested = edited_source(clip, everything, load_split(task, "test").first(sample.test_images))

    of_task = [plan for plan in plans if plan[own]]
    whole = [(*plan, *[0.0] * len(merges)) for plan in of_task]
    whole += [(*[0.0] * len(vectors), *(float(other == name) for other in merges)) for name in merges]
    named = pd.DataFrame(
        {
            "plan": [*map(title, of_task), *merges],
            "size": [sum(map(bool, plan)) for plan in of_task] + [len(vectors)] * len(merges),
            "alpha": [max(plan) for plan in of_task] + [1.0] * len(merges),
            "merged": [False] * len(of_task) + [True] * len(merges),
        }
    )
    expert = [float(place == own) for place in range(len(everything))]
    single = accuracy(tested.edited_features(expert), head, tested.labels)
    reached = [accuracy(tested.edited_features(plan), head, tested.labels) for plan in whole]
    named = named.assign(single=single, accuracy=reached, normalised=np.divide(reached, single) if single else np.nan)
    known = from_products(products, head, own, whole).assign(
        pairs=[*by_pairs(source, head, own, of_task, len(everything)), *[np.nan] * len(merges)],
        zero_shot=-accuracy(products.features, head, seen.labels.to(products.features.device)),
    )
    tables = []
    for found in evidence(source, head, own, whole, sample.counts):
        last = found.asked.iloc[0] == max(sample.counts)
        tables.append(pd.concat([named, found, known] if last else [named, found], axis=1))
    return pd.concat(tables, ignore_index=True)


def by_pairs(source: EditedData, head: Float[Tensor, "d k"], own: int, plans: Sequence[Plan], held: int) -> list[float]:
    """`changed` of each plan, of the features that `from_pairs` makes; held: vectors of the source, the plans' before any other."""

    def features(*members: int) -> Float[Tensor, "n d"]:
        return source.edited_features([float(place in members) for place in range(held)])

    zero, alone = features(), features(own)
    pairs = [features(own, other) for other in range(len(plans[0]))]
    answers = logits(alone, head)
    return [changed(answers, logits(from_pairs(zero, alone, pairs, own, plan), head)) for plan in plans]


def title(plan: Plan) -> str:
    return " ".join(f"{alpha:g}" for alpha in plan)
