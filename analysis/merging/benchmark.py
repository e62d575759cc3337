"""How good are merges of published checkpoints, and what did others publish for the same tasks?

Every merge gets the same vectors. The first 8, 14 or 20 of them are merged. Our merge runs once for each number of images, every
other merge once.
"""

import warnings
from collections.abc import Mapping, Sequence
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
from taujp_core.suites.files import suite_files
from taujp_core.task_vectors import TaskVector, applied_alike

from ..paths import in_project
from ..published_numbers import LEAKED, load_published
from ..sentences import share, standing
from .arena import OURS, OURS_WITH_CONTROL, Setting, is_defined, raced
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
        if family.on_the_hub == (root is not None):
            needs = (
                "is on the hub: leave root out"
                if root
                else "is not on the hub: give the folder that its checkpoints lie in"
            )
            raise ValueError(f"parameter root: {checkpoints[0]} {needs}")
        return list(checkpoints)
    if root:
        elsewhere = [name for name, family in families().items() if not family.on_the_hub]
        raise ValueError(f"parameter root: is the folder of a published family: {', '.join(elsewhere)}")
    if len(checkpoints) > 1 and len(checkpoints) != len(tasks):
        raise ValueError(f"parameter checkpoints: {len(checkpoints)} are listed for {len(tasks)} tasks")
    places = [place if is_address(place) else str(in_project(place)) for place in checkpoints]
    if len(places) == 1 and not Path(places[0]).is_dir():
        raise ValueError(
            f"parameter checkpoints: one entry is a published family ({', '.join(families())}) or a folder with a checkpoint for each "
            f"task, and {places[0]} is neither"
        )
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
    checkpoint or with two, and for encoders beside linearised models, and what `load_family`, `load_checkpoints` and
    `load_checkpoint` raise. A warning names checkpoints of other tasks in the folder.
    """
    if len(checkpoints) > 1:
        pairs = zip(checkpoints, tasks, strict=True)
        vectors = [replace(load_checkpoint(path, clip, task=task), task=task) for path, task in pairs]
    elif checkpoints[0] in families():
        vectors = load_family(checkpoints[0], clip, tasks, root, without_gone)
    else:
        vectors = read_folder(checkpoints[0], clip, tasks)
    applied_alike(vectors)
    return vectors


def read_folder(folder: str, clip: Clip, tasks: Sequence[str]) -> list[TaskVector]:
    """The vectors of the tasks among the folder's checkpoints, named as the tasks. Raises as `read_vectors` says."""
    found: dict[str, TaskVector] = {}
    for vector in load_checkpoints(folder, clip):
        if found.setdefault(vector.task.lower(), vector) is not vector:
            raise ValueError(f"{folder} has two checkpoints of {vector.task}")
    wanted = {task.lower(): task for task in tasks}
    if missing := [task for name, task in wanted.items() if name not in found]:
        raise ValueError(f"{folder} has no checkpoint of {', '.join(missing)}: there are {', '.join(found)}")
    if others := [name for name in found if name not in wanted]:
        warnings.warn(f"{folder}: passed over checkpoints of other tasks: {', '.join(others)}", stacklevel=3)
    return [replace(found[name], task=task) for name, task in wanted.items()]


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

    A merge that is not defined for how the vectors are applied has no row. tasks; merge; images: unlabelled ones of each task, 0 of a data-free merge; one_shot, tuned: mean test accuracies of the
    tasks, at α = 1 and at the tuned one, alpha; one_shot_normalised, tuned_normalised: means of the accuracies divided by
    the experts'; control: accuracy at α = 1, NaN without one; seconds; mib; vectors, data: digests of the task vectors and of
    the data sets.
    """
    expert, rows = single.set_index("task").expert, []
    expert = expert.where(expert > 0)
    names = [name for name in names if is_defined(name, vectors[0].method)]
    digests = [vector.digest() for vector in vectors]
    for count in sorted({min(count, len(vectors)) for count in counts}):  # fewer where checkpoints are gone
        tasks = [vector.task for vector in vectors[:count]]
        of_what = {
            "vectors": digest(digests[:count])[:DIGITS],
            "data": digest([task_identity(setting.suite.task(task)) for task in tasks])[:DIGITS],
        }
        for name in names:
            free = name in RIVALS and find_rival(name).data_free
            of_merge = own_images if name in (OURS, OURS_WITH_CONTROL) else [setting.merge_images]
            for images in of_merge:
                with doing(f"{name} of {count} tasks" + ("" if free else f" with {images} images per task")):
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
                rows.append(row | {"seconds": found["seconds"], "mib": found["mib"]} | of_what)
    return pd.DataFrame(rows)


def at_most_images(race: pd.DataFrame) -> pd.DataFrame:
    """One row for each number of tasks and merge: that with the most images."""
    return race.sort_values("images", kind="stable").drop_duplicates(["tasks", "merge"], keep="last").sort_index()


def is_leaked(checkpoints: Sequence[str], tasks: Sequence[str]) -> bool:
    """Whether a checkpoint of these tasks is known to have seen test images."""
    known = families().get(checkpoints[0]) if len(checkpoints) == 1 else None
    return bool(known and {*known.leaked} & {*tasks})


def published_for(suite: Suite, tasks: Sequence[str]) -> pd.DataFrame:
    """Published numbers of merges on this model and these tasks, whatever a suite that has both is called; empty if none."""
    for name in suite_files():
        rows = load_published("addition", name)
        if len(rows):
            known = load_suite(name, complete=False)
            if (known.model, known.pretrained) == (suite.model, suite.pretrained) and {*known.tasks} == {*tasks}:
                return rows[rows.by == "merging"]
    return load_published("addition", "")


def beside(race: pd.DataFrame, suite: Suite, tasks: Sequence[str], leaked: bool = False) -> pd.DataFrame:
    """A row for each published number of a merge that raced on the same model and tasks, best first for each number of tasks.

    tasks, method, α; absolute and normalised: published, in percent; here, here_normalised: measured, at the same choice
    of α (NaN where that is a fixed or an unknown number), with the most images; checkpoints, source, note of the published
    one; vectors, data: of the measured one, as in `race`. Published numbers of experts that had seen test images are there if, and only if, these experts have: `leaked`.
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
        "vectors",
        "data",
    ]
    rows = []
    for count, ours in at_most_images(race).groupby("tasks"):
        published = published_for(suite, tasks[:count])
        measured = ours.assign(method=ours["merge"].replace(PUBLISHED_AS)).set_index("method")
        chosen = published[published.method.isin(measured.index) & (published.note.str.contains(LEAKED) == leaked)]
        for _, theirs in chosen.sort_values("absolute", ascending=False).iterrows():
            key, mine = MEASURED_AT.get(theirs.coefficient), measured.loc[theirs.method]
            here = {"here": np.nan, "here_normalised": np.nan}
            if key:
                here = {"here": 100 * mine[key], "here_normalised": 100 * mine[f"{key}_normalised"]}
            of_what = {"vectors": mine.vectors, "data": mine.data}
            rows.append({**theirs, "tasks": count, "α": theirs.coefficient, **here, **of_what})
    return pd.DataFrame(rows, columns=columns)


def conclusion(race: pd.DataFrame, single: pd.DataFrame, noise: Mapping[int, float]) -> str:
    """A line for each number of tasks, the largest last: ours with the most images beside the others, at α = 1.

    noise: by the number of tasks, two standard errors of a difference of the accuracies.
    """
    lines, experts = [], single.expert.dropna()
    for count, rows in at_most_images(race).groupby("tasks"):
        accuracies = rows.set_index("merge").one_shot
        rivals = accuracies.drop([OURS, OURS_WITH_CONTROL], errors="ignore").to_dict()
        start = f"Of {count} checkpoints (single tasks {share(experts[:count].mean())})"
        if OURS in accuracies and rivals:
            images = rows.set_index("merge").images[OURS]
            lines.append(
                f"{start} our merge with {images} unlabelled images per task reaches {share(accuracies[OURS])} at α = 1: "
                f"{standing(accuracies[OURS], rivals, noise[count])}."
            )
        else:
            best = accuracies.idxmax()
            lines.append(f"{start} the best merge is {best}, which reaches {share(accuracies[best])} at α = 1.")
    return "\n".join(lines)
