"""What does each vector do to pictures with and without the nuisance colour, alone and merged?

At α = 1, and ERM's vector also shortened to an invariant one's norm, or stopped when it had its accuracy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from taujp_core.datasets import Split, load_split
from taujp_core.models import Clip, zero_shot_head
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector

from ..coefficients import scores
from ..interference import interference
from ..products import edited_source, measure_products
from .coloured import FLIPPED, environment, tinted
from .trained import ERM, Trained

NORM, STOPPED = "erm at the norm of {}", "erm stopped at the accuracy of {}"


@dataclass(frozen=True)
class Variant:
    """A model θ₀ + coefficient·τ."""

    kind: str
    vector: TaskVector
    coefficient: float = 1.0


@dataclass(frozen=True)
class Measured:
    """Tidy tables; every row has its kind, application, task and seed.

    answers: set (seen, flipped, grey), model (alone, merged), accuracy, loss (nats), ece, ace: test images;
    effects: other (a task), pictures (grey, coloured), tau_jp (validation images), loss_change, accuracy_loss,
        changed (test images, what adding the vector to the other task's model does);
    vectors: norm (of coefficient·τ), coefficient, seen_accuracy (validation images).
    """

    answers: pd.DataFrame
    effects: pd.DataFrame
    vectors: pd.DataFrame


def pictures_of(suite: Suite, name: str, split: str, count: int, agreements: Sequence[float]) -> dict[str, Split]:
    """A coloured task's pictures: as in training (half of the images from each environment on), flipped, and grey.

    All with the same kind of noisy labels; the draws are not those of training.
    """
    task = suite.task(name)
    images, labels = load_split(suite.task(name), split).first(count).tensors
    classes = len(task.classes)
    parts = torch.arange(len(labels)).chunk(len(agreements))
    seen = [
        environment(images[rows], labels[rows], classes, agreement, (1, e))
        for e, (agreement, rows) in enumerate(zip(agreements, parts, strict=True))
    ]
    flipped, noisy = environment(images, labels, classes, FLIPPED, (2,), shift=1)
    return {
        "seen": Split(*(torch.cat(tensors) for tensors in zip(*seen, strict=True))),
        "flipped": Split(flipped, noisy),
        "grey": Split(images, noisy),
    }


def crossed(suite: Suite, name: str, split: str, count: int) -> dict[str, Split]:
    """Another task's pictures, grey and in colours that say nothing of the class; true labels."""
    images, labels = load_split(suite.task(name), split).first(count).tensors
    classes = len(suite.task(name).classes)
    shown = torch.randint(classes, (len(labels),), generator=torch.Generator().manual_seed(3))
    return {"grey": Split(images, labels), "coloured": Split(tinted(images, shown, classes), labels)}


def measure(
    clip: Clip,
    suite: Suite,
    trained: Sequence[Trained],
    partners: Mapping[tuple[str, int], Sequence[TaskVector]],
    agreements: Sequence[float],
    images: int,
) -> Measured:
    """partners: by application and seed the grey tasks' vectors, which are merged with, but for a task's own; suite: the
    uncoloured one."""
    groups: dict[tuple[str, str, int], list[Trained]] = {}
    for one in trained:
        groups.setdefault((one.vector.application.name, one.task, one.seed), []).append(one)
    tables = []
    for (application, task, seed), ours in groups.items():
        seen = pictures_of(suite, task, "validation", images, agreements)["seen"]
        variants = with_controls(clip, suite, task, ours, seen)
        others = [vector for vector in partners[application, seed] if vector.task != task]
        found = measure_group(clip, suite, task, variants, others, agreements, images)
        tables.append([table.assign(application=application, task=task, seed=seed) for table in found])
    return Measured(*(pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True)))


def with_controls(clip: Clip, suite: Suite, task: str, ours: Sequence[Trained], seen: Split) -> list[Variant]:
    """Every vector at α = 1, and for each invariant one ERM at its norm and ERM stopped at its accuracy."""
    (erm,) = (one for one in ours if one.kind in ERM.values())
    invariant = [one for one in ours if one.kind == one.vector.method and one is not erm]
    stops = [*erm.stopped, erm.vector]
    wanted = accuracies(clip, suite, task, [one.vector for one in invariant], seen)
    reached = accuracies(clip, suite, task, stops, seen)
    variants = [Variant(one.kind, one.vector) for one in ours]
    for one, accuracy in zip(invariant, wanted, strict=True):
        variants.append(Variant(NORM.format(one.kind), erm.vector, one.vector.norm() / erm.vector.norm()))
        nearest = min(range(len(stops)), key=lambda k, accuracy=accuracy: abs(reached[k] - accuracy))
        variants.append(Variant(STOPPED.format(one.kind), stops[nearest]))
    return variants


def accuracies(clip: Clip, suite: Suite, task: str, vectors: Sequence[TaskVector], split: Split) -> list[float]:
    """Of each vector alone at α = 1."""
    source = edited_source(clip, vectors, split)
    return scores(source, head_of(clip, suite, task), torch.eye(len(vectors)).tolist()).accuracy.tolist()


def measure_group(
    clip: Clip,
    suite: Suite,
    task: str,
    variants: Sequence[Variant],
    partners: Sequence[TaskVector],
    agreements: Sequence[float],
    images: int,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The three tables of one coloured task; all vectors are applied in the same way."""
    distinct = list({id(one.vector): one.vector for one in variants}.values())
    vectors, kinds = [*distinct, *partners], [one.kind for one in variants]

    def point(one: Variant, partner: Sequence[float]) -> list[float]:
        return [one.coefficient * (vector is one.vector) for vector in distinct] + list(partner)

    answers, effects = [], []
    nobody, everybody = [0.0] * len(partners), [1.0] * len(partners)
    for name, split in pictures_of(suite, task, "test", images, agreements).items():
        source, head = edited_source(clip, vectors, split), head_of(clip, suite, task)
        for model, beside in (("alone", nobody), ("merged", everybody)):
            found = scores(source, head, [point(one, beside) for one in variants])
            answers.append(found.assign(kind=kinds, set=name, model=model))
    for k, partner in enumerate(partners):
        own = [float(k == j) for j in range(len(partners))]
        validation = crossed(suite, partner.task, "validation", images)
        for name, split in crossed(suite, partner.task, "test", images).items():
            head = head_of(clip, suite, partner.task)
            base, points = [0.0] * len(distinct) + own, [point(one, own) for one in variants]
            found = interference(edited_source(clip, vectors, split), head, base, points)
            by_vector = measure_products(clip, distinct, validation[name]).tau_jp().tolist()
            tau_jp = [one.coefficient * by_vector[position(distinct, one.vector)] for one in variants]
            effects.append(found.assign(kind=kinds, other=partner.task, pictures=name, tau_jp=tau_jp))
    norms = [one.coefficient * one.vector.norm() for one in variants]
    seen = pictures_of(suite, task, "validation", images, agreements)["seen"]
    source = edited_source(clip, distinct, seen)
    accuracy = scores(source, head_of(clip, suite, task), [point(one, []) for one in variants]).accuracy
    of_vectors = {"kind": kinds, "coefficient": [one.coefficient for one in variants], "norm": norms}
    return (
        pd.concat(answers),
        pd.concat(effects),
        pd.DataFrame(of_vectors).assign(seen_accuracy=accuracy),
    )


def position(vectors: Sequence[TaskVector], wanted: TaskVector) -> int:
    return next(k for k, vector in enumerate(vectors) if vector is wanted)


def head_of(clip: Clip, suite: Suite, name: str) -> Tensor:
    task = suite.task(name)
    return zero_shot_head(clip, task.classes, task.templates)
