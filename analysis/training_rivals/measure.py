"""What is the sum of vectors worth, what did it cost to train them, and what does each further image buy?"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from taujp_core.datasets import load_split
from taujp_core.methods import find_method
from taujp_core.models import Clip, zero_shot_head
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector, applied_alike, total
from taujp_core.training.config import RunConfig
from taujp_core.training.run_store import Run
from taujp_core.training.step_images import images_seen

from ..coefficients import scores
from ..products import edited_source
from ..sentences import NOTHING, by_name, in_words, listed, relation, share, standing
from ..tau_jp import own_and_others, tau_jp
from ..tau_jp_reduction import addition_accuracies
from ..trainings import by_method_and_seed

# What a training takes of the other tasks.
NEEDS = {
    "none": "nothing",
    "before": "images, once before",
    "in turn": "images of one task per step",
    "all": "images of all at each step",
    "environments": "images and labels of all at each step",
}


def measure_sums(clip: Clip, suite: Suite, runs: Sequence[Run], images: int = 0) -> pd.DataFrame:
    """A row for each method and seed: the sum of its vectors, as the method applies them, and what the trainings cost.

    On the first `images` of each split, on all for 0. Test accuracies, means over tasks:

    single_task; one_shot (α = 1); normalised, the mean of one_shot over single_task; tuned (the one α that is best on
    validation images), alpha; control (of the sum at α = 1) and control_before (of θ₀), NaN without a control.
    validation: one_shot on validation images, by which settings are chosen.
    tau_jp_others: mean of τJp on the other tasks' validation images, NaN for one task.
    needs: of other tasks; own_images, other_images: seen in a training, each as often as it is seen; penalised: by the
    τJp penalty, of each other data set. seconds: a training's; memory: its process' most, MiB.
    """
    rows = []
    for (method, seed), group in by_method_and_seed(runs).items():
        vectors, tasks = [run.vector for run in group], [run.config.task for run in group]
        found = addition_accuracies(clip, suite, vectors, applied_alike(vectors), images)
        moved = own_and_others(tau_jp(clip, vectors, [suite.task(task) for task in tasks], images), tasks)
        before, after = control_accuracies(clip, suite, vectors, images)
        rows.append(
            {
                "method": method,
                "seed": seed,
                "single_task": found.single.mean(),
                "one_shot": found.one_shot.mean(),
                "normalised": (found.one_shot / found.single.where(found.single > 0)).mean(),
                "validation": found.validation.mean(),
                "tuned": found.best.mean(),
                "alpha": found.alpha.mean(),
                "control": after,
                "control_before": before,
                "tau_jp_others": moved.tau_jp_others.mean(),
                "needs": NEEDS[find_method(method).others],
                **images_of(group[0].config),
                "seconds": np.mean([run.record["seconds"] for run in group]),
                "memory": max(run.record["peak_memory_mib"] for run in group),
            }
        )
    return pd.DataFrame(rows)


def control_accuracies(clip: Clip, suite: Suite, vectors: Sequence[TaskVector], images: int) -> tuple[float, float]:
    """Test accuracy on the control, of θ₀ and of the sum at α = 1. NaN without a control."""
    if not suite.control:
        return np.nan, np.nan
    head = zero_shot_head(clip, suite.control.classes, suite.control.templates)
    source = edited_source(clip, [total(vectors)], load_split(suite.control, "test").first(images))
    before, after = scores(source, head, [[0.0], [1.0]]).accuracy
    return before, after


def images_of(config: RunConfig) -> dict[str, float]:
    """own_images, other_images and penalised of one training, each image as often as it is seen."""
    own, others = images_seen(config)
    if find_method(config.method).others == "before":
        others = int(config.options.get("reference_images", 0)) * len(config.penalty_tasks)
    seen = others / len(config.penalty_tasks) if find_method(config.method).penalised else np.nan
    return {"own_images": own, "other_images": others, "penalised": seen}


def pictures_table(sums: pd.DataFrame, pictures: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """`measure_sums` of methods with the τJp penalty, on the other tasks' images and, as `METHOD on NAME`, on one set in their
    place. pictures: `measure_sums` by the name of the set."""
    kept = sums[sums.method.isin(pd.concat(pictures.values()).method)]
    others = [table.assign(method=table.method + f" on {name}") for name, table in pictures.items()]
    return pd.concat([kept, *others], ignore_index=True).sort_values("method", kind="stable", ignore_index=True)


def weights_table(sums: pd.DataFrame, factors: Mapping[float, pd.DataFrame]) -> pd.DataFrame:
    """`measure_sums` by the factor of λ, that of each method's own settings, 1, among them; first seed."""
    kept = sums[sums.method.isin(pd.concat(factors.values()).method) & (sums.seed == sums.seed.iloc[0])]
    parts = [kept.assign(factor=1.0), *(table.assign(factor=factor) for factor, table in factors.items())]
    return pd.concat(parts, ignore_index=True).sort_values(["method", "factor"], ignore_index=True)


def budget_law(budget: pd.DataFrame) -> pd.DataFrame:
    """method, a, b: normalised accuracy at α = 1 as 1 − a·n^−b of n penalised images of each other data set.

    By least squares of log(1 − normalised) on log n. A point with nothing left to gain (normalised ≥ 1) says nothing
    about the slope and is left out; two points are needed.
    """
    rows = []
    for method, points in budget[(budget.normalised < 1) & budget.penalised.gt(0)].groupby("method", sort=False):
        if points.penalised.nunique() > 1:
            slope, level = np.polyfit(np.log(points.penalised), np.log(1 - points.normalised), 1)
            rows.append({"method": method, "a": np.exp(level), "b": -slope})
    return pd.DataFrame(rows, columns=["method", "a", "b"])


def pareto_front(means: pd.DataFrame) -> pd.DataFrame:
    """The rows that no other is better than at no more seconds, by seconds. means: seconds, one_shot."""
    order = means.sort_values(["seconds", "one_shot"], ascending=[True, False])
    return order[order.one_shot > order.one_shot.astype(float).cummax().shift(fill_value=-np.inf)]


def conclusion(sums: pd.DataFrame, noise: float) -> str:
    """What the best method with the τJp penalty is beside the others: at its cost, and at any. The last sentence is the main one.

    noise: two standard errors of a difference of the accuracies, by `analysis.sentences.noise`.
    """
    means = sums.groupby("method", sort=False).mean(numeric_only=True)
    penalised = means[[find_method(method).penalised for method in means.index]]
    rivals = means.drop(index=penalised.index)
    if penalised.empty or rivals.empty or sums.tau_jp_others.isna().all():
        return NOTHING
    ours = penalised.loc[penalised.one_shot.idxmax()]
    cheaper = rivals[rivals.seconds <= ours.seconds]
    losing = [name for name, row in cheaper.iterrows() if relation(ours.one_shot, row.one_shot, noise) == "below"]
    name = in_words(ours.name)
    at_cost = (
        f"{listed([in_words(rival) for rival in losing])} {'takes' if len(losing) == 1 else 'take'} no longer than {name} and "
        f"{'does' if len(losing) == 1 else 'do'} better at α = 1"
        if losing
        else f"No other method that takes no longer than {name} does better at α = 1"
    )
    front = listed([in_words(name) for name in pareto_front(means).index])
    return (
        f"No method beats these in both time and accuracy at α = 1: {front}.\n"
        f"{at_cost}.\n"
        f"At α = 1 the sum of all vectors reaches {share(ours.one_shot)} with {name} (single tasks "
        f"{share(ours.single_task)}): {standing(ours.one_shot, by_name(rivals.one_shot), noise)}."
    )
