"""How do merges compare on equal terms?

Every merge makes one vector of the same finished ones and, if it looks at images, from the same unlabelled training
images; then it is used at α = 1, and at the α whose validation accuracy, averaged over the tasks, is the highest: for
all alike. Test accuracies are absolute and normalised, that is divided by those of the experts on the same images. The
control, which no merge but `OURS_WITH_CONTROL` sees, says what became of everything else.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pandas as pd
import psutil
import torch

from taujp_core.checks import one_of
from taujp_core.datasets import load_split, task_identity
from taujp_core.files import read_json, write_json
from taujp_core.identity import digest, fields_of
from taujp_core.methods import find_method
from taujp_core.models import Clip, zero_shot_head
from taujp_core.progress import doing
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector, applied_alike, total
from taujp_core.training.run_store import Run

from ..coefficients import scores, tuned_coefficient
from ..products import edited_source
from ..sentences import in_words, share, standing
from ..trainings import by_method_and_seed
from .merge import ROUND_IMAGES, ROUNDS, merge
from .merge import VERSION as MERGE_VERSION
from .rivals import RIVALS, Evidence, find_rival, rivals_table

Result = TypeVar("Result")

VERSION = 1  # of how merges are measured: raised when the same merge gets another accuracy
OURS, OURS_WITH_CONTROL = "ours", "ours, with the control"
ALPHAS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0)  # of which one is tuned
ALL = 10**9  # more images than any task has
SAMPLES = 0.01  # seconds between two looks at the memory


@dataclass(frozen=True)
class Setting:
    """What all merges share: unlabelled training images per task to merge on, and images of each split to measure on.

    Numbers of images; 0 measures on all of a split. rounds: of ours, at most.
    """

    clip: Clip
    suite: Suite
    merge_images: int
    validation_images: int
    test_images: int
    rounds: int = ROUNDS


@dataclass(frozen=True)
class Arena:
    """Tidy tables; every row has its method (of the vectors) and seed.

    accuracy: merge, choice (one-shot, tuned), coefficient, task (the control among them), accuracy on test images;
    costs: merge, seconds, mib (memory beyond what was held before);
    single: task, pretrained and expert: test accuracies of θ₀ and of the task's own vector (the control has none).
    """

    accuracy: pd.DataFrame
    costs: pd.DataFrame
    single: pd.DataFrame


def merges() -> list[str]:
    """The names of all merges that can race: ours, and those that are registered."""
    return [OURS, OURS_WITH_CONTROL, *RIVALS]


def needs_table() -> pd.DataFrame:
    """A row for each merge: what it needs beside the vectors, and where it was published."""
    own = pd.DataFrame(
        [
            {"name": name, "images": True, "class_names": False, "labels": False, "data_free": False, "paper": "here"}
            for name in (OURS, OURS_WITH_CONTROL)
        ]
    )
    return pd.concat([own, rivals_table()], ignore_index=True)


def check_merges(names: Sequence[str]) -> None:
    """Raises ValueError for an unknown merge."""
    for name in names:
        one_of("merging method", name, merges())


def is_defined(name: str, method: str) -> bool:
    """Whether a merge takes vectors of this method, as they are applied."""
    return name not in RIVALS or find_rival(name).is_defined(find_method(method).application)


def compete(setting: Setting, runs: Sequence[Run], names: Sequence[str], once: Sequence[str], folder: Path) -> Arena:
    """Every merge of `names` for the runs of each method and seed, those of `once` for the first of these alone.

    Results are kept in the folder, one by one, so that a race that was stopped goes on where it was (see `raced`).
    """
    check_merges([*names, *once])
    accuracy, costs, single = [], [], []
    for place, ((method, seed), group) in enumerate(by_method_and_seed(runs).items()):
        vectors, of = [run.vector for run in group], {"method": method, "seed": seed}
        for name in [*names, *(once if place == 0 else ())]:
            if is_defined(name, method):
                with doing(f"{name} of {method} vectors, seed {seed}"):
                    found = raced(name, setting, vectors, folder)
                accuracy.append(pd.DataFrame(found["accuracy"]).assign(merge=name, **of))
                costs.append({"merge": name, "seconds": found["seconds"], "mib": found["mib"], **of})
        single.append(measure_single(setting, vectors).assign(**of))
    return Arena(pd.concat(accuracy, ignore_index=True), pd.DataFrame(costs), pd.concat(single, ignore_index=True))


def raced(name: str, setting: Setting, vectors: Sequence[TaskVector], folder: Path) -> dict:
    """seconds, mib and accuracy (rows of `Arena.accuracy` without merge, method and seed) of one merge.

    What the same merge of the same vectors, in the same setting and of the same versions, left in the folder is read.
    """
    file = folder / f"{identity(name, setting, vectors)}.json"
    if file.is_file():
        return read_json(file)
    merged, seconds, mib = measured(merged_by, name, setting, vectors)
    rows = measure_merge(setting, merged, vectors)
    found = {"merge": name, "seconds": seconds, "mib": mib, "accuracy": rows.to_dict("records")}
    write_json(file, found)
    return found


def identity(name: str, setting: Setting, vectors: Sequence[TaskVector]) -> str:
    """A digest of all that decides a result: of the suite, the data sets that are merged and measured on."""
    suite = setting.suite
    sets = [*(vector.task for vector in vectors), *(control.name for control in suite.controls)]
    return digest(
        {
            **fields_of(setting, "clip", "suite"),
            "merge": name,
            "versions": [VERSION, find_rival(name).version if name in RIVALS else MERGE_VERSION],
            "round_images": ROUND_IMAGES,
            "alphas": ALPHAS,
            "model": [suite.model, suite.pretrained, setting.clip.fingerprint],
            "suite": [suite.name, [task_identity(suite.task(task)) for task in sets]],
            "vectors": [[vector.task, vector.application.name, vector.digest()] for vector in vectors],
        }
    )


def merged_by(name: str, setting: Setting, vectors: Sequence[TaskVector]) -> TaskVector:
    """The one vector that this merge makes, for α = 1. Raises ValueError for an unknown name."""
    check_merges([name])
    clip, suite = setting.clip, setting.suite
    images = {
        vector.task: load_split(suite.task(vector.task), "train").first(setting.merge_images).images
        for vector in vectors
    }
    if name in (OURS, OURS_WITH_CONTROL):
        control = (
            load_split(suite.needed_control(), "train").first(setting.merge_images).images
            if name == OURS_WITH_CONTROL
            else None
        )
        return merge(vectors, clip, images, control, rounds=setting.rounds).vector
    tasks = [suite.task(vector.task) for vector in vectors]
    heads = [zero_shot_head(clip, task.classes, task.templates) for task in tasks]
    evidence = Evidence(clip, applied_alike(vectors), list(images.values()), heads)
    tau = find_rival(name).merged([vector.like(clip.theta0).tau for vector in vectors], evidence)
    return replace(total(vectors), tau=tau)


def measured(compute: Callable[..., Result], *arguments: object) -> tuple[Result, float, float]:
    """compute(*arguments), seconds, and MiB: the most memory that was held on the way beyond what was held before.

    On an accelerator its allocator counts; on a CPU the process is looked at every SAMPLES seconds.
    """
    on_accelerator = torch.cuda.is_available()
    before = torch.cuda.memory_allocated() if on_accelerator else held_bytes()
    most, done = [before], threading.Event()

    def look() -> None:
        while not done.wait(SAMPLES):
            most[0] = max(most[0], held_bytes())

    if on_accelerator:
        torch.cuda.reset_peak_memory_stats()
    else:
        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
    began = time.perf_counter()
    try:
        result = compute(*arguments)
        if on_accelerator:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
    finally:
        done.set()
        if not on_accelerator:
            watcher.join()
    peak = torch.cuda.max_memory_allocated() if on_accelerator else max(most[0], held_bytes())
    return result, seconds, (peak - before) / 2**20


def held_bytes() -> int:
    """What this process holds in memory, without the pages of mapped files, which the system takes back when it needs them."""
    found = psutil.Process().memory_info()
    return found.rss - getattr(found, "shared", 0)  # other systems than Linux do not tell them apart


def accuracies(
    setting: Setting, vector: TaskVector, task: str, split: str, coefficients: Sequence[float]
) -> list[float]:
    """On one data set, at each of these coefficients of one vector."""
    one = setting.suite.task(task)
    head = zero_shot_head(setting.clip, one.classes, one.templates)
    count = setting.validation_images if split == "validation" else setting.test_images
    source = edited_source(setting.clip, [vector], load_split(setting.suite.task(task), split).first(count))
    return scores(source, head, [[alpha] for alpha in coefficients]).accuracy.tolist()


def measure_merge(setting: Setting, merged: TaskVector, vectors: Sequence[TaskVector]) -> pd.DataFrame:
    """choice, coefficient, task, accuracy: at α = 1 and at the tuned α, on the tasks and on the control if there is one."""
    tasks = [vector.task for vector in vectors]
    curves = [
        pd.DataFrame({"coefficient": ALPHAS, "accuracy": accuracies(setting, merged, task, "validation", ALPHAS)})
        for task in tasks
    ]
    coefficients = (1.0, tuned_coefficient(pd.concat(curves)))
    tables = [
        pd.DataFrame(
            {
                "choice": ["one-shot", "tuned"],
                "coefficient": coefficients,
                "task": task,
                "accuracy": accuracies(setting, merged, task, "test", coefficients),
            }
        )
        for task in [*tasks, *(control.name for control in setting.suite.controls)]
    ]
    return pd.concat(tables)


def measure_single(setting: Setting, vectors: Sequence[TaskVector]) -> pd.DataFrame:
    """task, pretrained, expert: test accuracies of θ₀ and of each vector on its own task; the control's of θ₀."""
    both = [accuracies(setting, vector, vector.task, "test", (0.0, 1.0)) for vector in vectors]
    rows = [(vector.task, *found) for vector, found in zip(vectors, both, strict=True)]
    for control in setting.suite.controls:
        rows.append((control.name, *accuracies(setting, vectors[0], control.name, "test", (0.0,)), None))
    return pd.DataFrame(rows, columns=["task", "pretrained", "expert"])


def summary_table(arena: Arena) -> pd.DataFrame:
    """A row for each method, seed and merge.

    one_shot, tuned: mean test accuracy over the tasks; one_shot_normalised, tuned_normalised: mean of the accuracies
    divided by the experts'; one_shot_control, tuned_control; tuned_coefficient; seconds; mib.
    """
    rows = []
    experts = dict(list(arena.single.dropna().groupby(["method", "seed"])))
    for (method, seed, name), group in arena.accuracy.groupby(["method", "seed", "merge"], sort=False):
        row = {"method": method, "seed": seed, "merge": name}
        expert = experts[method, seed].set_index("task").expert
        for choice, key in {"one-shot": "one_shot", "tuned": "tuned"}.items():
            values = group[group.choice == choice].set_index("task").accuracy
            row[key] = values[expert.index].mean()
            row[f"{key}_normalised"] = (values[expert.index] / expert).mean()
            (row[f"{key}_control"],) = values.drop(expert.index)
        (row["tuned_coefficient"],) = group[group.choice == "tuned"].coefficient.unique()
        rows.append(row)
    return pd.DataFrame(rows).merge(arena.costs, on=["method", "seed", "merge"])


def over_images(
    setting: Setting, vectors: Sequence[TaskVector], names: Sequence[str], counts: Sequence[int], folder: Path
) -> pd.DataFrame:
    """merge, images, data_free, accuracy (mean test accuracy of the tasks at α = 1): with so many images per task.

    A count beyond a task's training images, and 0, is all of them; data-free merges have one row, with 0 images.
    """
    rows = []
    for name in names:
        free = name in RIVALS and find_rival(name).data_free
        for count in [0] if free else counts:
            with_images = setting if free else replace(setting, merge_images=count or ALL)
            with doing(f"{name} with {count or 'all'} images per task"):
                values = one_shot(name, with_images, vectors, folder)
            rows.append({"merge": name, "images": count, "data_free": free, "accuracy": values.mean()})
    return pd.DataFrame(rows)


def most_images(suite: Suite, tasks: Sequence[str]) -> int:
    """What `all` training images of a task are: of the tasks' numbers the largest."""
    return max(len(load_split(suite.task(task), "train")) for task in tasks)


def over_tasks(
    setting: Setting, vectors: Sequence[TaskVector], names: Sequence[str], counts: Sequence[int], folder: Path
) -> pd.DataFrame:
    """merge, tasks, accuracy, normalised: means over the tasks at α = 1, of merges of the first so many vectors."""
    expert = measure_single(setting, vectors).set_index("task").expert
    rows = []
    for count in counts:
        for name in names:
            with doing(f"{name} of {count} tasks"):
                values = one_shot(name, setting, vectors[:count], folder)
            shares = values / expert[values.index]
            rows.append({"merge": name, "tasks": count, "accuracy": values.mean(), "normalised": shares.mean()})
    return pd.DataFrame(rows)


def one_shot(name: str, setting: Setting, vectors: Sequence[TaskVector], folder: Path) -> pd.Series:
    """Test accuracy of a merge at α = 1, by task."""
    rows = pd.DataFrame(raced(name, setting, vectors, folder)["accuracy"])
    return rows[rows.choice == "one-shot"].set_index("task").accuracy[[vector.task for vector in vectors]]


def findings(summary: pd.DataFrame) -> dict[str, bool]:
    """What is expected of `OURS`, for each method of the vectors, checked against means over seeds.

    A rival that was measured with the first seed alone counts with it. Nothing without ours and a rival.
    """
    found = {}
    for method, means in means_of(summary).items():
        if not {OURS} < set(means.index):
            continue
        ours, rivals = means.loc[OURS], means[[name in RIVALS for name in means.index]]
        found[f"{method}: at α = 1 ours is above every rival at α = 1"] = bool(ours.one_shot > rivals.one_shot.max())
        found[f"{method}: at α = 1 ours is above every rival's tuned accuracy"] = bool(
            ours.one_shot > rivals.tuned.max()
        )
        if "task arithmetic" in rivals.index:
            kept = means.reindex([OURS, OURS_WITH_CONTROL]).one_shot_control.max()
            least = rivals.tuned_control["task arithmetic"]
            found[f"{method}: at α = 1 ours leaves the control no worse than tuned task arithmetic"] = bool(
                kept >= least
            )
    return found


def means_of(summary: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By method of the vectors: a row per merge, means over the seeds."""
    return {
        method: group.groupby("merge", sort=False).mean(numeric_only=True)
        for method, group in summary.groupby("method", sort=False)
    }


MEASURES = {
    "one_shot": ("test accuracy at α = 1", 1),
    "tuned": ("test accuracy at the tuned α", 1),
    "one_shot_control": ("control accuracy at α = 1", 1),
    "tuned_control": ("control accuracy at the tuned α", 1),
    "seconds": ("seconds", -1),
}


def losses(summary: pd.DataFrame) -> pd.DataFrame:
    """Where ours loses: method, measure, rival, ours and theirs, a row for each rival that is better in a measure.

    Means over the seeds; of the best rival first.
    """
    rows = []
    for method, means in means_of(summary).items():
        if OURS not in means.index:
            continue
        rivals = means[[name in RIVALS for name in means.index]]
        for measure, (words, sign) in MEASURES.items():
            better = rivals[sign * rivals[measure] > sign * means[measure][OURS]]
            for name, value in better[measure].sort_values(ascending=sign < 0).items():
                rows.append((method, words, name, means[measure][OURS], value))
    return pd.DataFrame(rows, columns=["method", "measure", "rival", "ours", "theirs"])


def conclusion(summary: pd.DataFrame, noise: float, control_noise: float) -> str:
    """Where ours stands among its rivals at α = 1, a line for each method of the vectors.

    noise, control_noise: two standard errors of a difference of accuracies on the tasks and on the control.
    """
    lines = []
    for method, means in means_of(summary).items():
        if not {OURS} < set(means.index):
            continue
        ours, rivals = means.loc[OURS], means[[name in RIVALS for name in means.index]]
        lines.append(
            f"Our merge of vectors of {in_words(method)} reaches {share(ours.one_shot)} at α = 1: "
            f"{standing(ours.one_shot, rivals.one_shot.to_dict(), noise)}. Its control accuracy is {share(ours.one_shot_control)}: "
            f"{standing(ours.one_shot_control, rivals.one_shot_control.to_dict(), control_noise)}."
        )
    return "\n".join(lines) or "There is nothing to compare: that takes ours and a rival."
