"""How far can a task be unlearnt, and what does that cost?

A model that has unlearnt a task is θ₀ − α·τ; it should be as good as before on the control.

Protocol (Ilharco et al. 2023, sec. 3; Ortiz-Jimenez et al. 2023, sec. 5): every vector is negated alone. Its tuned
coefficient is the one with the lowest accuracy on the task among those that keep 95 % of the pre-trained model's
accuracy on the control, both on validation images; test accuracies are reported at α = 0, 1 and the tuned α, and are
averaged over the tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from taujp_core.datasets import load_split
from taujp_core.models import Clip, zero_shot_head
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector
from taujp_core.training.run_store import Run

from ..coefficients import CONTROL_SHARE, scores, tuned_negation
from ..products import edited_source
from ..sentences import NOTHING, by_name, in_words, moved, standing
from ..trainings import penalised_and_rivals, tables_of_models

# Beyond 1: a vector that leaves the control alone can be taken further. (The published table has such a case: the
# tuned τJp model forgets more than the one at α = 1.)
COEFFICIENTS = tuple(k / 20 for k in range(41))


@dataclass(frozen=True)
class Negation:
    """Tidy tables; every row has its method, seed and task.

    curves: coefficient, target, control: validation accuracies on the task and on the control;
    test: choice (pre-trained, one-shot, tuned), coefficient, target, control: test accuracies.
    """

    curves: pd.DataFrame
    test: pd.DataFrame


def measure_negation(clip: Clip, suite: Suite, runs: Sequence[Run], images: int = 0) -> Negation:
    """Negate each run's vector, applied as its method is.

    Measured on the first `images` of each split, on all for 0. Raises ValueError without a control, and for one of one class, on which every
    model is right.
    """
    control = suite.needed_control()
    if len(control.classes) < 2:
        raise ValueError(f"the control {control.name} has one class: every answer is right, whatever is unlearnt")
    return Negation(*tables_of_models(runs, lambda vectors: negate(clip, suite, vectors, images)))


def negate(
    clip: Clip, suite: Suite, vectors: Sequence[TaskVector], images: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The two tables for vectors of one method, one a task."""
    tasks = [suite.task(vector.task) for vector in vectors]
    heads = [zero_shot_head(clip, task.classes, task.templates) for task in tasks]
    untouched = suite.needed_control()
    control_head = zero_shot_head(clip, untouched.classes, untouched.templates)

    def accuracies(split: str, coefficients: Sequence[Sequence[float]]) -> list[pd.DataFrame]:
        """target and control, a table a vector, at its coefficients; the control's images are read once for all."""
        control = edited_source(clip, vectors, load_split(untouched, split).first(images))
        tables = []
        for k, (task, head, alphas) in enumerate(zip(tasks, heads, coefficients, strict=True)):
            target = edited_source(clip, [vectors[k]], load_split(task, split).first(images))
            negated = [[-alpha * (t == k) for t in range(len(vectors))] for alpha in alphas]
            tables.append(
                pd.DataFrame(
                    {
                        "task": task.name,
                        "coefficient": alphas,
                        "target": scores(target, head, [[-alpha] for alpha in alphas]).accuracy,
                        "control": scores(control, control_head, negated).accuracy,
                    }
                )
            )
        return tables

    curves = accuracies("validation", [COEFFICIENTS] * len(vectors))
    test = accuracies("test", [(0.0, 1.0, tuned_negation(curve)) for curve in curves])
    return pd.concat(curves), pd.concat([table.assign(choice=["pre-trained", "one-shot", "tuned"]) for table in test])


def summary_table(negation: Negation) -> pd.DataFrame:
    """A row for each method and seed: test accuracies on target and control at each choice, averaged over tasks,
    and the mean tuned coefficient."""
    rows = []
    for (method, seed), test in negation.test.groupby(["method", "seed"], sort=False):
        means = test.groupby("choice")[["target", "control", "coefficient"]].mean()
        row = {"method": method, "seed": seed}
        for choice, name in {"pre-trained": "pretrained", "one-shot": "one_shot", "tuned": "tuned"}.items():
            row |= {f"{name}_target": means.target[choice], f"{name}_control": means.control[choice]}
        rows.append(row | {"tuned_coefficient": means.coefficient["tuned"]})
    return pd.DataFrame(rows)


def findings(summary: pd.DataFrame) -> dict[str, bool]:
    """What is expected of the best penalised method (the lowest tuned target), checked against means over seeds.

    Nothing without a penalised method and a rival.
    """
    penalised, rivals = penalised_and_rivals(summary)
    if penalised.empty or rivals.empty:
        return {}
    ours = penalised.loc[penalised.tuned_target.idxmin()]
    return {
        f"{CONTROL_SHARE:.0%} of the control's accuracy left at α = 1": bool(ours.one_shot_control >= CONTROL_SHARE * ours.pretrained_control),
        "the highest control accuracy at α = 1": bool(ours.one_shot_control > rivals.one_shot_control.max()),
        "the lowest target accuracy at the tuned α": bool(ours.tuned_target < rivals.tuned_target.min()),
    }  # fmt: skip


def conclusion(summary: pd.DataFrame, noise: float, control_noise: float) -> str:
    """What the best penalised method forgets and what the others do, two sentences, the control's last.

    noise, control_noise: two standard errors of a difference of accuracies on the tasks and on the control.
    """
    penalised, rivals = penalised_and_rivals(summary)
    if penalised.empty or rivals.empty:
        return NOTHING
    ours = penalised.loc[penalised.tuned_target.idxmin()]
    name = in_words(ours.name)
    forgotten = standing(ours.tuned_target, by_name(rivals.tuned_target), noise, lower_is_better=True)
    control = standing(ours.one_shot_control, by_name(rivals.one_shot_control), control_noise)
    return (
        f"At the tuned α, accuracy on the negated task {moved(ours.pretrained_target, ours.tuned_target)} "
        f"with {name}: {forgotten}.\n"
        f"At α = 1 the control's accuracy {moved(ours.pretrained_control, ours.one_shot_control)} "
        f"with {name}: {control}."
    )
