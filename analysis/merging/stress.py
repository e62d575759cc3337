"""Which merges survive an expert with a long vector, or experts of low confidence, and does a repair before the merge help?

The two stress tests of DisTaC (`stressed_experts`), each before and after its repair (`distac`): the long vector is distilled into one
as long as the others on average, and each unsure expert into a surer one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from taujp_core.datasets import load_split
from taujp_core.models import logits, zero_shot_head
from taujp_core.progress import doing
from taujp_core.task_vectors import TaskVector

from ..metrics import accuracy
from ..products import edited_source
from ..sentences import in_words, listed, relation, share
from ..stressed_experts import AS_TRAINED, LONG, UNSURE, Experts
from .arena import Setting, is_defined, raced
from .distac import norm_of_others, repaired, shorter, surer

REPAIRED = ", repaired"
CONDITIONS = (AS_TRAINED, LONG, LONG + REPAIRED, UNSURE, UNSURE + REPAIRED)
PLAIN_SUM = "task arithmetic"


@dataclass(frozen=True)
class Repair:
    """Of each expert: steps of distillation, unlabelled training images of its task (0: all), and images per step."""

    steps: int
    images: int
    batch_size: int


def with_repairs(
    setting: Setting, experts: Sequence[Experts], long_task: str, repair: Repair, folder: Path
) -> list[Experts]:
    """The same experts and, after each that are stressed, these repaired: of `one long` the long one, of `unsure` all.

    The learning rate of a repair is that of the experts' recipe, as in the authors' script. Vectors are kept in the folder.
    """
    found = []
    for one in experts:
        found.append(one)
        if one.condition != AS_TRAINED:
            with doing(f"repair of the {one.method} vectors, {one.condition}, seed {one.seed}"):
                vectors = [mended(setting, one, place, long_task, repair, folder) for place in range(len(one.vectors))]
            found.append(replace(one, condition=one.condition + REPAIRED, vectors=vectors))
    return found


def mended(setting: Setting, experts: Experts, place: int, long_task: str, repair: Repair, folder: Path) -> TaskVector:
    """The vector at this place after the repair, if it takes one."""
    vector, settings = experts.vectors[place], (repair.steps, experts.peak_lr, repair.batch_size)
    if experts.condition == LONG and vector.task != long_task:
        return vector
    how = (
        shorter(vector.norm(), norm_of_others(experts.vectors, place), *settings)
        if experts.condition == LONG
        else surer(*settings)
    )
    return repaired(setting.clip, setting.suite, vector, repair.images, how, folder)


def experts_table(setting: Setting, experts: Sequence[Experts]) -> pd.DataFrame:
    """method, seed, condition, task; norm of the vector, times_others (over the mean of the others'); accuracy and confidence
    (mean largest probability) of the expert on its test images."""
    rows = []
    for one in experts:
        for place, vector in enumerate(one.vectors):
            task, norm = setting.suite.task(vector.task), vector.norm()
            split = load_split(task, "test").first(setting.test_images)
            source = edited_source(setting.clip, [vector], split)
            head = zero_shot_head(setting.clip, task.classes, task.templates)
            answers = logits(source.edited_features([1.0]), head)
            rows.append(
                {
                    "method": one.method,
                    "seed": one.seed,
                    "condition": one.condition,
                    "task": vector.task,
                    "norm": norm,
                    "times_others": norm / norm_of_others(one.vectors, place),
                    "accuracy": accuracy(answers, source.labels),
                    "confidence": answers.softmax(-1).amax(-1).double().mean().item(),
                }
            )
    return pd.DataFrame(rows)


def race(
    setting: Setting,
    experts: Sequence[Experts],
    table: pd.DataFrame,
    merges: Sequence[str],
    merged: Sequence[str],
    folder: Path,
) -> pd.DataFrame:
    """A row for each experts and merge: the plain sum of all, these merges of vectors of the `merged` methods alone.

    method, seed, condition, merge; one_shot, tuned: mean test accuracies of the tasks; one_shot_normalised, tuned_normalised:
    means of the accuracies over those of these experts (`table`: of `experts_table`); alpha: the tuned one. Merges that are not defined for a
    method's vectors have no row. Results are kept in the folder (`arena.raced`).
    """
    single, rows = table.set_index(["method", "seed", "condition", "task"]).accuracy.sort_index(), []
    for one in experts:
        tasks, of = [vector.task for vector in one.vectors], (one.method, one.seed, one.condition)
        for name in dict.fromkeys([PLAIN_SUM, *(merges if one.method in merged else ())]):
            if not is_defined(name, one.method):
                continue
            with doing(f"{name} of {one.method} vectors, {one.condition}, seed {one.seed}"):
                found = pd.DataFrame(raced(name, setting, one.vectors, folder)["accuracy"]).set_index("task")
            row = {"method": one.method, "seed": one.seed, "condition": one.condition, "merge": name}
            for choice, key in {"one-shot": "one_shot", "tuned": "tuned"}.items():
                values = found[found.choice == choice].accuracy[tasks]
                row |= {key: values.mean(), f"{key}_normalised": (values / single[of][tasks]).mean()}
            row["alpha"] = found[found.choice == "tuned"].coefficient.iloc[0]
            rows.append(row)
    return pd.DataFrame(rows)


def by_condition(raced: pd.DataFrame, value: str) -> pd.DataFrame:
    """Means over seeds of this column of `race`: a row for each method and merge, a column for each condition."""
    means = raced.pivot_table(index=["method", "merge"], columns="condition", values=value, sort=False)
    return means[[condition for condition in CONDITIONS if condition in means]]


def conclusion(raced: pd.DataFrame, table: pd.DataFrame, long_task: str, noise: float) -> str:
    """How strong the stress was, how many sums and merges lose by it, what the repair brings, and, the last sentence and the
    main one, what becomes of each method's plain sum.

    noise: two standard errors of a difference of the accuracies.
    """
    means, stresses = by_condition(raced, "one_shot"), {LONG: "one long vector", UNSURE: "unsure experts"}
    dose = table.groupby("condition").confidence.mean()
    times = table[(table.condition == LONG) & (table.task == long_task)].times_others
    counts = {
        condition: sum(relation(row[condition], row[AS_TRAINED], noise) == "below" for _, row in means.iterrows())
        for condition in CONDITIONS[1:]
    }
    losing = [
        f"{counts[condition]} {'loses' if counts[condition] == 1 else 'lose'} by {words} ({counts[condition + REPAIRED]} after the repair)"
        for condition, words in stresses.items()
    ]
    sums = means.xs(PLAIN_SUM, level="merge")
    repairs = [
        f"After the repair the plain sum of vectors of {in_words(method)} reaches {share(row[LONG + REPAIRED])} with one long vector and "
        f"{share(row[UNSURE + REPAIRED])} with unsure experts."
        for method, row in sums.iterrows()
    ]
    stressed = {
        condition: listed(
            [
                f"{changed(row[AS_TRAINED], row[condition], noise)} for vectors of {in_words(method)}"
                for method, row in sums.iterrows()
            ]
        )
        for condition in stresses
    }
    return "\n".join(
        [
            f"The long vector is {times.min():.1f} to {times.max():.1f} times as long as the others are on average; the mean confidence of "
            f"the experts is {share(dose[AS_TRAINED])} as trained and {share(dose[UNSURE])} with label smoothing.",
            f"Of {len(means)} sums and merges at α = 1, {listed(losing)}.",
            *repairs,
            f"At α = 1 the plain sum with one long vector {stressed[LONG]}; with unsure experts it {stressed[UNSURE]}.",
        ]
    )


def changed(before: float, after: float, noise: float) -> str:
    """What the stress does to an accuracy."""
    both = f"{share(before)} to {share(after)}"
    return {
        "above": f"rises from {both}",
        "level with": f"stays level ({both})",
        "below": f"falls from {both}",
    }[relation(after, before, noise)]
