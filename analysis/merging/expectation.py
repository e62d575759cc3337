"""What is to be expected of a merge, before it and after it, on images without labels?

By how much a model disagrees with each expert on the expert's own images: `distance`, of features, in units of the
pre-trained model's (mean ‖f − f_t‖² / mean ‖f₀ − f_t‖²: 0 is the expert, 1 as far from it as the model without any
vector); and `changed`, the share of images with another answer than the expert's, where the classes are known.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from taujp_core.datasets import load_split
from taujp_core.evaluation import accuracy, check_finite
from taujp_core.models import Clip, logits, zero_shot_head
from taujp_core.parameters import Parameters, zeros_like
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector, applied_alike, check_moves, check_theta0, total


def disagreement(
    clip: Clip,
    vectors: Sequence[TaskVector],
    images: Mapping[str, Tensor],
    heads: Mapping[str, Float[Tensor, "d _"]],
    merged: TaskVector | None = None,
) -> pd.DataFrame:
    """task, model (`pre-trained`, `sum`, and `merged` where there is one), distance, changed; a row each.

    heads: zero-shot heads by task, of as many tasks as have one. Raises ValueError for a vector of another θ₀, for one
    that is zero, and for images on which an expert's features are the pre-trained model's: no distance has a unit there.
    Raises FloatingPointError for features that are NaN or infinite.
    """
    check_theta0([*vectors, *([merged] if merged else [])], clip.theta0, clip.fingerprint)
    for vector in vectors:
        check_moves(vector)
    application = applied_alike(vectors)
    zero = zeros_like(clip.theta0)
    models: dict[str, Parameters] = {"pre-trained": zero, "sum": total(vectors).like(clip.theta0).tau}
    if merged:
        models["merged"] = merged.like(clip.theta0).tau
    rows = []
    for vector in vectors:
        own, head = images[vector.task], heads.get(vector.task)
        expert = application.features(clip, vector.like(clip.theta0).tau, own)
        found = {name: application.features(clip, tau, own) for name, tau in models.items()}
        for name, feature in {"expert": expert, **found}.items():
            check_finite(f"the {name} model's feature of an image of {vector.task}", [feature])
        size = (found["pre-trained"] - expert).square().sum(-1).mean()
        if not size > 0:
            raise ValueError(
                f"the features of {vector.task}'s expert are those of the pre-trained model on all its {len(own)} images: "
                "its vector is too small to be measured on them"
            )
        for name, feature in found.items():
            distance = (feature - expert).square().sum(-1).mean() / size
            row = {"task": vector.task, "model": name, "distance": distance.item(), "changed": np.nan}
            if head is not None:
                other = logits(feature, head).argmax(-1) != logits(expert, head).argmax(-1)
                row["changed"] = other.double().mean().item()
            rows.append(row)
    return pd.DataFrame(rows)


def heads_of(clip: Clip, suite: Suite, vectors: Sequence[TaskVector]) -> dict[str, Float[Tensor, "d _"]]:
    """Zero-shot heads of those vectors' tasks that the suite has."""
    tasks = [suite.task(vector.task) for vector in vectors if vector.task in suite.tasks]
    return {task.name: zero_shot_head(clip, task.classes, task.templates) for task in tasks}


def accuracies(clip: Clip, suite: Suite, vectors: Sequence[TaskVector], merged: TaskVector, count: int) -> pd.DataFrame:
    """Accuracy on `count` test images of each vector's task that the suite has, and of its control.

    A row each; pre-trained, sum, merged, and expert, which the control has none of.
    """
    application = applied_alike(vectors)
    zero = zeros_like(clip.theta0)
    models = {"pre-trained": zero, "sum": total(vectors).tau, "merged": merged.tau}
    own = {vector.task: vector.tau for vector in vectors if vector.task in suite.tasks}
    rows = {}
    for name in [*own, *(task.name for task in suite.controls if own)]:
        images, labels = load_split(suite.task(name), "test").first(count).tensors
        head = zero_shot_head(clip, suite.task(name).classes, suite.task(name).templates)
        taus = models | ({"expert": own[name]} if name in own else {})
        rows[name] = {
            model: accuracy(application.features(clip, tau, images), head, labels) for model, tau in taus.items()
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def sentence(table: pd.DataFrame, model: str) -> str:
    """What `disagreement` says of one of its models; answers where they are known, else features."""
    ours = table[table.model == model].set_index("task")
    if ours.changed.notna().all():
        worst = ours.changed.idxmax()
        return (
            f"The {model} model answers otherwise than the expert on {ours.changed.mean():.0%} of the images "
            f"(most on {worst}: {ours.changed[worst]:.0%})."
        )
    worst = ours.distance.idxmax()
    return (
        f"The {model} model's features are {ours.distance.mean():.2f} of the pre-trained model's distance from the "
        f"experts' (most on {worst}: {ours.distance[worst]:.2f})."
    )


def conclusion(table: pd.DataFrame) -> str:
    """The merged model beside the plain sum, on images that no merge has seen; table: `disagreement` with both."""
    answers = table.changed.notna().all()
    means = table.groupby("model")["changed" if answers else "distance"].mean()
    said = {name: f"{means[name]:.0%}" if answers else f"{means[name]:.2f}" for name in ("sum", "merged")}
    if answers:
        of = "The merged checkpoint answers otherwise than the experts on {merged} of images that it has not seen, the plain sum on {sum}."
    else:
        of = (
            "On images that it has not seen, the features of the merged checkpoint are {merged} of the pre-trained model's distance "
            "from the experts', those of the plain sum {sum}."
        )
    return of.format(**said)
