"""Which points make a study, and can each of them be done?

A training is a point of `10_train`, named by its run's folder, whose digest covers all that decides the run: so points
that name the same run (`linear` at two λ, a vector applied in two ways) are one. An evaluation's digest covers its
notebook's code, its parameters, and the points that it reads.
"""

import shutil
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

from taujp_core.files import Damaged, write_atomically, write_json
from taujp_core.identity import digest
from taujp_core.methods import find_method
from taujp_core.models import Clip
from taujp_core.pretrained import load_clip
from taujp_core.suites import Suite, load_suite
from taujp_core.training.config import RunConfig
from taujp_core.training.run_store import run_folder

from ..notebook_parameters import check_study
from ..paths import PLAN, check_writable, in_project
from ..trainings import run_configs
from .damage import check_notebook
from .notebooks import check_names, code_cells, defaults_of, study_of
from .point import Point, finished_file
from .study import NOTEBOOKS, Study

TRAINING = NOTEBOOKS / "10_train.ipynb"


def points_of(study: Study) -> list[Point]:
    """Trainings, then evaluations, each after what it reads. Every configuration is checked, and that its data sets are
    there: raises ValueError, TypeError or FileNotFoundError in a sentence."""
    check_writable(study.store)
    points = {point.key: point for name in study.suites for point in trainings(study, load_suite(name))}
    trained, by_name = tuple(points), {}
    for evaluation in study.notebooks:
        check_names(evaluation.path, evaluation.parameters)
        after = trained + tuple(key for name in evaluation.after for key in by_name[name])
        decides = [code_cells(evaluation.path), evaluation.parameters, sorted(after)]
        point = Point(f"{evaluation.path.stem}-{digest(decides)}", str(evaluation.path), evaluation.parameters, after)
        points[point.key] = point
        by_name.setdefault(evaluation.name, []).append(point.key)
    return list(points.values())


def trainings(study: Study, suite: Suite) -> list[Point]:
    """A point a run, in the order of the study's λ, methods, seeds and tasks."""
    tasks = study.tasks or list(suite.tasks)
    known = study.known or tasks
    asked: list[tuple[RunConfig, dict]] = []
    for weight in study.penalty_weights or [None]:
        changes = study.recipe if weight is None else {**study.recipe, "penalty_weight": weight}
        configs = run_configs(suite, tasks, study.methods, study.seeds, known, **changes)
        asked += [(config, changes) for config in configs]
    for name in sorted(
        {task.name for task in suite.controls}.union(*([one.task, *one.penalty_tasks] for one, _ in asked))
    ):
        suite.task(name).locate()
    clip = theta0_of(suite.model, suite.pretrained)
    return [training(study, config, changes, list(known), clip) for config, changes in asked]


def training(study: Study, config: RunConfig, changes: dict, known: list[str], clip: Clip) -> Point:
    """Of a method that only applies vectors: the training of the vector."""
    method = find_method(config.method).vector_of or config.method
    folder = run_folder(in_project(study.store), replace(config, method=method), clip.fingerprint)
    parameters = {
        "suite": config.suite.name, "task": config.task, "method": method, "seed": config.seed, "known": known,
        "recipe": dict(changes), "store": study.store,
    }  # fmt: skip
    key = f"{config.suite.name}-{config.task}-{folder.name}"
    return Point(key, str(TRAINING), parameters, run=str(folder))


@cache
def theta0_of(model: str, pretrained: str | None) -> Clip:
    """For its fingerprint, which is part of a run's name."""
    return load_clip(model, pretrained, device="cpu")


def check_parameters(points: Iterable[Point]) -> None:
    """Ask each notebook's study whether it takes the point's parameters on this machine, as its first cells do when they
    run: of trainings one for each suite and method, whose configurations differ in nothing that is asked there.

    Raises ValueError in a sentence. Only for points that run on this machine.
    """
    asked = set()
    for point in points:
        kind = (point.parameters["suite"], point.parameters["method"]) if point.run else point.key
        notebook = Path(point.notebook)
        study = None if kind in asked else study_of(notebook)
        asked.add(kind)
        if study:
            try:
                check_study(study, defaults_of(notebook) | point.parameters)
            except ValueError as error:
                raise ValueError(f"{notebook.stem}: {error}") from None


def write_plan(folder: Path, study: Study, points: list[Point]) -> None:
    """`plan.json`: what the study answers, and its points, whose keys end with their digests."""
    write_json(
        folder / PLAN, {"study": study.name, "answers": study.answers, "points": [asdict(point) for point in points]}
    )


def vanished(folder: Path, points: list[Point]) -> list[str]:
    """Keys of finished points that the study no longer has; they are left alone."""
    keys = {finished_file(folder, point.key).name for point in points}
    ends = (".failed.ipynb", ".damaged.ipynb")
    there = sorted(path.name for path in (folder / "points").glob("*.ipynb"))
    return [name.removesuffix(".ipynb") for name in there if name not in keys and not name.endswith(ends)]


def take_over(folder: Path, points: Iterable[Point]) -> int:
    """Copy the notebooks of trainings that another study beside this one did, as long as their runs are in the store.

    A point's key names its run, so that the same key is the same training. Returns how many were copied.
    """
    count = 0
    for point in points:
        target = finished_file(folder, point.key)
        if not point.run or target.exists() or not (Path(point.run) / "record.json").exists():
            continue
        others = sorted(folder.parent.glob(f"*/points/{point.key}.ipynb"))
        if other := next((other for other in others if is_whole(other)), None):
            write_atomically(target, lambda temporary, other=other: shutil.copyfile(other, temporary))
            count += 1
    return count


def is_whole(notebook: Path) -> bool:
    """Whether it can be read, and came to its end."""
    try:
        check_notebook(notebook)
    except (OSError, Damaged):
        return False
    return True
