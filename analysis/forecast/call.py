"""How does one call forecast a merge, with pictures as they are at hand?"""

from collections.abc import Callable, Mapping, Sequence
from numbers import Real

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from taujp_core.checks import check_keys
from taujp_core.datasets import Split
from taujp_core.datasets.user_inputs import TestSet, by_name, images_of, test_set
from taujp_core.evaluation import check_finite
from taujp_core.models import Clip, zero_shot_head
from taujp_core.task_vectors import TaskVector, applied_alike, as_vectors, check_moves, check_theta0, total
from taujp_core.tasks import TEMPLATES, Task

from ..expected_accuracy import shipped
from .calibrate import combined
from .evidence import evidence, right

MOST = 128  # images of each task: four times as many halve the part of an interval that is due to their number
AS_IT_IS = 0.95  # share of an expert's accuracy that needs no advice
CONTROL = "control"  # a folder that a merge reads: no expert answers it
SCALES = tuple(k / 10 for k in range(1, 10))  # of the plan, that are tried for the advice
Plans = dict[
    object, list[float]
]  # coefficients by what a plan is: the plan, a scale of it, or the place of the vector it lacks
TRIED = (
    256  # images, of all tasks together, on which an encoder tries them; a linearised model answers all by its products
)


def forecast(
    clip: Clip,
    vectors: object,
    images: object,
    classes: Mapping[str, Sequence[str]] | None = None,
    plan: object = 1.0,
    *,
    labelled: object = None,
    templates: Sequence[str] | None = None,
    most: int = MOST,
) -> pd.DataFrame:
    """What a sum or a merge will cost each task, without labels: the normalised accuracy.

    On each task's images the planned model is compared with the task's expert. No labels are needed. Changed answers count as much
    as the expert is sure of its own; how much of that becomes lost accuracy was learnt on the suite `mini`. On another model than
    `mini` the interval also holds the two ends: every changed answer was right, and none was.

    Args:
        clip: the pre-trained model.
        vectors: two or more task vectors (or runs), one for each task, all applied in one way.
        images: pictures by the vectors' tasks, as `tau_jp` takes them. Pictures named `control`, which a merge takes, are passed over.
        classes: class names by task. Tasks that are given as `images`, and `labelled` images, have their own.
        plan: what is to be made of the vectors: one coefficient for all, a list of one for each, or a merged vector.
        labelled: a few labelled images by task, as `evaluate` takes them. They narrow the interval of these tasks.
        templates: texts that hold {} once, of the zero-shot heads. By default those of a task, else `a photo of a {}.`
        most: images of each task, a fair sample; 0: all.

    Returns:
        A row for each task: images; expected (of the accuracy over the expert's, the normalised accuracy), low and high (its interval of 90 %); changed (share of
        answers other than the expert's, which no loss of accuracy exceeds); harmed_by (the vector whose removal from the plan brings
        most) and harm (how much of `expected` it brings; NaN where no other vector harms, and of a merged vector); advice.

    Raises:
        ValueError for vectors of another θ₀ or applied in different ways, two of one task, a zero vector, a task without pictures,
        without class names or with fewer than two, and a plan of another number of coefficients; FloatingPointError for vectors with
        NaN; and what reading the pictures raises.

    >>> clip, suite = load_clip("mini"), load_suite("mini")
    >>> tasks = [suite.task("street"), suite.task("signs")]
    >>> vectors = [train(clip, task, method="linear", steps=2) for task in tasks]
    >>> list(forecast(clip, vectors, tasks, most=16).index)
    ['street', 'signs']

    Source: this project; `notebooks/53_forecast.ipynb` measures it.
    """
    vectors = as_vectors(vectors)
    made, coefficients = planned(vectors, plan)
    everything = [*vectors, *made]
    application = applied_alike(everything)
    for vector in everything:
        check_moves(vector)
    names = [vector.task for vector in vectors]
    if len(names) < 2:
        raise ValueError(f"a forecast of a sum takes two vectors or more, and there is {names[0]} alone")
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two vectors are of the task {', '.join(sorted(twice))}: a forecast takes one for each task")
    given = by_name("images", images)
    check_keys("images", given, [*names, CONTROL])
    if missing := [name for name in names if name not in given]:
        raise ValueError(f"images: there are no pictures of {', '.join(missing)}, of whose experts vectors are given")
    marked = {} if labelled is None else by_name("labelled", labelled)
    for name in marked:
        if name not in names:
            raise ValueError(f"labelled images of {name} and no vector of that task: there are {', '.join(names)}")
    few = {
        name: test_set(f"labelled images of {name}", one, clip.image_size, templates) for name, one in marked.items()
    }
    heads = {name: head_of(clip, name, classes or {}, [given[name], few.get(name)], templates) for name in names}
    calibration, learnt_on = shipped()
    check_theta0(everything, clip.theta0, clip.fingerprint)
    for vector in everything:
        check_finite(f"the {vector.method} vector of {vector.task}", list(vector.tau.values()))
    summed = [] if made or application.affine else [total(vectors, coefficients)]
    taus = [vector.tau for vector in [*everything, *summed]]

    def forecasts(plans_for: Callable[[int], Plans], most: int) -> dict[str, pd.DataFrame]:
        """By task: the forecast of each plan for it, by `kind`."""
        tables = {}
        for own, name in enumerate(names):
            pictures = images_of(f"images of {name}", given[name], clip.image_size, most, "validation")
            source = application.source(clip, taus, Split(pictures, torch.zeros(len(pictures), dtype=torch.long)))
            tried = plans_for(own)
            plans = [through_sum(kind, plan, coefficients) if summed else plan for kind, plan in tried.items()]
            (found,) = evidence(source, heads[name], own, plans)
            expected = found.join(calibration.expect(found, clip.fingerprint != learnt_on))
            if name in few:
                known = application.source(clip, taus, few[name].split)
                expected = combined(expected, *right(known, heads[name], own, plans))
            tables[name] = expected.assign(kind=[names[kind] if isinstance(kind, int) else kind for kind in tried])
        return tables

    scales = () if made else SCALES
    if scales and (searched := images_searched(len(names), most, application.affine)):
        scales = (best_scale(forecasts(lambda own: scaled(coefficients, SCALES), searched)),)
    tables = forecasts(lambda own: plans_tried(coefficients, own, scales, len(vectors)), most)
    return summary(tables, application.affine)


def planned(vectors: Sequence[TaskVector], plan: object) -> tuple[list[TaskVector], list[float]]:
    """The merged vector, if the plan is one, and a coefficient for each vector and for the merged one."""
    given = [plan] * len(vectors) if isinstance(plan, Real) else plan
    given = list(given) if isinstance(given, np.ndarray) else given
    if not (isinstance(given, list | tuple) and all(isinstance(one, Real) for one in given)):
        return as_vectors(plan)[:1], [0.0] * len(vectors) + [1.0]
    if len(given) != len(vectors):
        raise ValueError(f"plan: {len(given)} coefficients are given for {len(vectors)} vectors")
    if not np.isfinite(given).all():
        raise ValueError(f"plan: coefficients must be finite, not {plan}")
    return [], [float(one) for one in given]


def images_searched(vectors: int, most: int, linearised: bool) -> int:
    """On how many images of each task the best of SCALES is looked for, which alone is tried on all; 0: all scales are tried on all."""
    each = -(-TRIED // vectors)
    return 0 if linearised or 0 < most <= each else each


def scaled(coefficients: Sequence[float], scales: Sequence[float]) -> Plans:
    """The plan times each of the scales."""
    return {scale: [scale * alpha for alpha in coefficients] for scale in scales}


def plans_tried(coefficients: Sequence[float], own: int, scales: Sequence[float], vectors: int) -> Plans:
    """For one task: the `plan`, the plan times each of the scales, and by the place of each other of the vectors the plan without it."""
    others = [other for other in range(vectors) if other != own and coefficients[other]]
    return {
        "plan": list(coefficients),
        **scaled(coefficients, scales),
        **{left: [alpha * (place != left) for place, alpha in enumerate(coefficients)] for left in others},
    }


def best_scale(tables: Mapping[str, pd.DataFrame]) -> float:
    """Of SCALES, the one with the highest mean forecast over the tasks; NaN if none was tried."""
    means = pd.concat(tables.values()).query("kind in @SCALES").groupby("kind").expected.mean()
    return float(means.idxmax()) if len(means) else np.nan


def through_sum(kind: object, plan: Sequence[float], whole: Sequence[float]) -> list[float]:
    """A plan of this kind as coefficients of the vectors and, last, of Σ whole_s·τ_s: whichever way has fewer that are not zero.

    For each of these a τ is added to θ₀, which takes as long as some passes of a large encoder.
    """
    left = [-alpha * (place == kind) for place, alpha in enumerate(whole)]
    through = [*left, kind if kind in SCALES else 1.0]
    direct = [*plan, 0.0]
    return through if sum(map(bool, through)) < sum(map(bool, direct)) else direct


def head_of(
    clip: Clip,
    name: str,
    classes: Mapping[str, Sequence[str]],
    given: Sequence[object],
    templates: Sequence[str] | None,
) -> Float[Tensor, "d _"]:
    """The zero-shot head of a task: of its `classes`, else of the first of what is given that has some."""
    own = next((one for one in given if isinstance(one, Task | TestSet)), None)
    names = tuple(classes.get(name, own.classes if own else ()))
    if len(names) < 2:
        raise ValueError(
            f"the class names of {name} are needed, two or more, as classes={{{name!r}: [...]}}: without them nobody knows what its "
            "expert answers"
        )
    return zero_shot_head(clip, names, tuple(templates or (own.templates if own else TEMPLATES)))


def summary(tables: Mapping[str, pd.DataFrame], linearised: bool) -> pd.DataFrame:
    """The rows of `forecast`. tables: by task, the plan, its scales and the plan without each other vector, by `kind`."""
    best, rows = best_scale(tables), {}
    for name, table in tables.items():
        plan, others = table.iloc[0], table[table.kind.isin(tables)].set_index("kind").expected
        gains = others - plan.expected
        harms = len(gains) and gains.max() > 0
        row = {
            "images": int(plan.images), "expected": plan.expected, "low": plan.low, "high": plan.high, "changed": plan.changed,
            "harmed_by": gains.idxmax() if harms else "", "harm": gains.max() if harms else np.nan,
        }  # fmt: skip
        lower = table.set_index("kind").expected.get(best, np.nan)
        rows[name] = row | {"advice": advice(row, best, lower, linearised)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("task")


def advice(row: Mapping, best: float, lower: float, linearised: bool) -> str:
    """What to do about one task.

    best: the factor of the plan's coefficients with the highest mean forecast; lower: this task's forecast at that factor.
    """
    if row["expected"] >= AS_IT_IS:
        return "add as it is"
    if lower >= AS_IT_IS:
        return f"multiply all coefficients by {best:g}"
    if linearised and row["harm"] >= (1 - row["expected"]) / 2:
        return f"reduce_tau_jp on {row['harmed_by']}, which does most of the harm"
    return "merge: no coefficient for all is enough for this task"
