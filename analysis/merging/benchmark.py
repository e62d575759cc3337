"""How good are merges of published checkpoints, and what did others publish for the same tasks?

The race is that of `arena`: all merges get the same vectors, of which the first 8, 14 or 20 are merged. Ours races once for
each number of images, the others with one.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from taujp_core.checkpoints import families, load_checkpoint, load_checkpoints, load_family
from taujp_core.checkpoints.hub import is_address
from taujp_core.checks import one_of
from taujp_core.datasets import load_split, task_identity
from taujp_core.identity import digest
from taujp_core.models import Clip
from taujp_core.progress import doing
from taujp_core.suites import Suite, load_suite
from taujp_core.task_vectors import TaskVector

from ..paths import in_project
from ..published_numbers import LEAKED, load_published
from ..sentences import share, standing
from .arena import OURS, OURS_WITH_CONTROL, Setting, raced
from .rivals import RIVALS, find_rival

PUBLISHED_AS = {"AdaMerging, layer-wise": "AdaMerging"}  # by our name of a merge, where it is another
MEASURED_AT = {"1": "one_shot", "learned": "one_shot", "tuned": "tuned"}  # by `coefficient` of a published number
DIGITS = 12  # of a digest, in tables


def find_checkpoints(checkpoints: Sequence[str], suite: Suite, tasks: Sequence[str], root: Path | None) -> list[str]:
    """The same names and addresses, and where the paths among them lead; nothing is downloaded or read.

    Raises ValueError for what are no checkpoints of these tasks, FileNotFoundError for a path that leads nowhere.
    """
    if len(checkpoints) == 1 and checkpoints[0] in families():
        family = families()[checkpoints[0]]
        for task in tasks:
            one_of(f"task of {checkpoints[0]}", task, family.tasks)
        if family.model != suite.model:
            raise ValueError(f"{checkpoints[0]} is fine-tuned from {family.model}, and {suite.name} has {suite.model}")
        return list(checkpoints)
    if root:
        raise ValueError(f"parameter root: is the folder of a published family: {', '.join(families())}")
    if len(checkpoints) > 1 and len(checkpoints) != len(tasks):
        raise ValueError(f"parameter checkpoints: {len(checkpoints)} are listed for {len(tasks)} tasks")
    places = [place if is_address(place) else str(in_project(place)) for place in checkpoints]
    for place in places:
        if not is_address(place) and not Path(place).exists():
            raise FileNotFoundError(f"parameter checkpoints: {place} does not exist")
    return places


def read_vectors(
    clip: Clip, tasks: Sequence[str], checkpoints: Sequence[str], root: Path | None = None, without_gone: bool = False
) -> list[TaskVector]:
    """The vectors of the tasks, in their order.

    checkpoints: one name of a published family; one folder, whose checkpoints bear the tasks' names, whatever their case;
    or several paths and addresses on the hub, in the order of the tasks. Raises ValueError for a task without a
    checkpoint, and what `load_family`, `load_checkpoints` and `load_checkpoint` raise.
    """
    if len(checkpoints) > 1:
        return [load_checkpoint(path, clip, task=task) for path, task in zip(checkpoints, tasks, strict=True)]
    (place,) = checkpoints
    if place in families():
        return load_family(place, clip, tasks, root, without_gone)
    found = {vector.task.lower(): vector for vector in load_checkpoints(place, clip)}
    if missing := [task for task in tasks if task.lower() not in found]:
        raise ValueError(f"{place} has no checkpoint of {', '.join(missing)}: there are {', '.join(found)}")
    return [replace(found[task.lower()], task=task) for task in tasks]


def checkpoint_table(setting: Setting, vectors: Sequence[TaskVector], single: pd.DataFrame) -> pd.DataFrame:
    """A row for each task: digest and norm of the vector, digest of the data set, test images that are measured on, and
    accuracies of θ₀ and of the expert. single: of `measure_single`."""
    accuracies, rows = single.set_index("task"), []
    for vector in vectors:
        task = setting.suite.task(vector.task)
        rows.append(
            {
                "task": task.name,
                "vector": vector.digest()[:DIGITS],
                "norm": vector.norm(),
                "data": digest(task_identity(task))[:DIGITS],
                "test_images": len(load_split(task, "test").first(setting.test_images)),
                "pretrained": accuracies.pretrained[task.name],
                "expert": accuracies.expert[task.name],
            }
        )
    return pd.DataFrame(rows)


def race(
    setting: Setting,
    vectors: Sequence[TaskVector],
    single: pd.DataFrame,
    counts: Sequence[int],
    names: Sequence[str],
    own_images: Sequence[int],
    folder: Path,
) -> pd.DataFrame:
    """A row for each number of tasks and merge, for ours one for each number of images. Results are kept as in `raced`.

    tasks; merge; images: unlabelled ones of each task, 0 of a data-free merge; one_shot, tuned: mean test accuracies of the
    tasks, at α = 1 and at the tuned one, alpha; one_shot_normalised, tuned_normalised: means of the accuracies divided by
    the experts'; control: accuracy at α = 1, NaN without one; seconds; mib.
    """
    expert, rows = single.set_index("task").expert, []
    for count in sorted({min(count, len(vectors)) for count in counts}):  # fewer where checkpoints are gone
        tasks = [vector.task for vector in vectors[:count]]
        for name in names:
            free = name in RIVALS and find_rival(name).data_free
            of_merge = own_images if name in (OURS, OURS_WITH_CONTROL) else [setting.merge_images]
            for images in of_merge:
                with doing(f"{name} of {count} tasks" + ("" if free else f" with {images} images a task")):
                    found = raced(name, replace(setting, merge_images=images), vectors[:count], folder)
                table = pd.DataFrame(found["accuracy"]).set_index("task")
                row = {"tasks": count, "merge": name, "images": 0 if free else images}
                for choice, key in {"one-shot": "one_shot", "tuned": "tuned"}.items():
                    chosen = table[table.choice == choice]
                    values = chosen.accuracy[tasks]
                    row |= {key: values.mean(), f"{key}_normalised": (values / expert[tasks]).mean()}
                    control = chosen.accuracy.drop(tasks)
                    if choice == "one-shot":
                        row["control"] = control.iloc[0] if len(control) else np.nan
                    row["alpha"] = chosen.coefficient.iloc[0]
                rows.append(row | {"seconds": found["seconds"], "mib": found["mib"]})
    return pd.DataFrame(rows)


def at_most_images(race: pd.DataFrame) -> pd.DataFrame:
    """One row for each number of tasks and merge: that with the most images."""
    return race.sort_values("images", kind="stable").drop_duplicates(["tasks", "merge"], keep="last").sort_index()


def is_leaked(checkpoints: Sequence[str], tasks: Sequence[str]) -> bool:
    """Whether a checkpoint of these tasks is known to have seen test images."""
    known = families().get(checkpoints[0]) if len(checkpoints) == 1 else None
    return bool(known and {*known.leaked} & {*tasks})


def beside(race: pd.DataFrame, suite: Suite, tasks: Sequence[str], leaked: bool = False) -> pd.DataFrame:
    """A row for each published number of a merge that raced on the same model and tasks, best first for each number of tasks.

    tasks, method, α; absolute and normalised: published, in percent; here, here_normalised: measured, at the same choice
    of α (NaN where that is a fixed number), with the most images; checkpoints, source, note of the published one. Numbers
    of experts that had seen test images stand beside each other alone: `leaked` says whether these have.
    """
    columns = [
        "tasks",
        "method",
        "α",
        "absolute",
        "normalised",
        "here",
        "here_normalised",
        "checkpoints",
        "source",
        "note",
    ]
    backbone, rows = re.sub(r"^clip\d+-", "", suite.name), []
    for count, ours in at_most_images(race).groupby("tasks"):
        name = f"clip{count}-{backbone}"
        published = load_published("addition", name)
        if published.empty or {*load_suite(name, complete=False).tasks} != {*tasks[:count]}:
            continue
        measured = ours.assign(method=ours["merge"].replace(PUBLISHED_AS)).set_index("method")
        chosen = published[
            (published.by == "merging")
            & published.method.isin(measured.index)
            & (published.note.str.contains(LEAKED) == leaked)
        ]
        for _, theirs in chosen.sort_values("absolute", ascending=False).iterrows():
            key, mine = MEASURED_AT.get(theirs.coefficient), measured.loc[theirs.method]
            here = {"here": np.nan, "here_normalised": np.nan}
            if key:
                here = {"here": 100 * mine[key], "here_normalised": 100 * mine[f"{key}_normalised"]}
            rows.append({**theirs, "tasks": count, "α": theirs.coefficient, **here})
    return pd.DataFrame(rows, columns=columns)


def conclusion(race: pd.DataFrame, single: pd.DataFrame, noise: float) -> str:
    """A line for each number of tasks, the largest last: ours with the most images beside the others, at α = 1."""
    lines, experts = [], single.expert.dropna()
    for count, rows in at_most_images(race).groupby("tasks"):
        accuracies = rows.set_index("merge").one_shot
        rivals = accuracies.drop([OURS, OURS_WITH_CONTROL], errors="ignore").to_dict()
        start = f"Of {count} checkpoints (single tasks {share(experts[:count].mean())})"
        if OURS in accuracies and rivals:
            images = rows.set_index("merge").images[OURS]
            lines.append(
                f"{start} our merge with {images} unlabelled images per task reaches {share(accuracies[OURS])} at α = 1: "
                f"{standing(accuracies[OURS], rivals, noise)}."
            )
        else:
            best = accuracies.idxmax()
            lines.append(f"{start} the best merge is {best}, which reaches {share(accuracies[best])} at α = 1.")
    return "\n".join(lines)
