"""Which points make a study, and can each of them be done?

A training is a point of `10_train`, named by its run's folder, whose digest covers all that decides the run: so points
that name the same run (`linear` at two λ, a vector applied in two ways) are one. An evaluation's digest covers its
notebook's code, its parameters, and the points that it reads.
"""

import ast
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from taujp_core.files import write_json
from taujp_core.methods import find_method
from taujp_core.models import Clip, load_clip
from taujp_core.suites import Suite, load_suite
from taujp_core.training.config import RunConfig
from taujp_core.training.run_store import run_folder

from ..begin import check_study
from ..paths import PLAN, check_writable, in_project
from ..trainings import run_configs
from .notebooks import study_of
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
        decides = [code_digest(evaluation.path), evaluation.parameters, sorted(after)]
        digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:10]
        point = Point(f"{evaluation.path.stem}-{digest}", str(evaluation.path), evaluation.parameters, after)
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
    for name in sorted({suite.control.name}.union(*([one.task, *one.penalty_tasks] for one, _ in asked))):
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


@cache
def cells_of(notebook: Path) -> tuple[nbformat.NotebookNode, ...]:
    try:
        return tuple(nbformat.read(notebook, 4).cells)
    except (OSError, ValueError, AttributeError, nbformat.reader.NotJSONError) as error:
        raise ValueError(f"{notebook} is not a notebook: {error}") from None


def code_cells(notebook: Path) -> tuple[str, ...]:
    return tuple(cell.source for cell in cells_of(notebook) if cell.cell_type == "code")


def code_digest(notebook: Path) -> str:
    return hashlib.sha256(json.dumps(code_cells(notebook)).encode()).hexdigest()


def check_names(notebook: Path, parameters: dict) -> None:
    """Raises ValueError for a parameter that the notebook does not have, for papermill only warns, and for parameters of
    a notebook without a cell for them, for papermill puts them before all others, where defaults undo them."""
    tagged = [cell for cell in cells_of(notebook) if "parameters" in cell.metadata.get("tags", [])]
    if parameters and (not tagged or tagged[0].cell_type != "code"):
        raise ValueError(
            f"{notebook.name} has no code cell tagged `parameters`, so that it would run with its defaults instead of "
            f"the study's {', '.join(parameters)}: tag the cell that holds them"
        )
    accepted = assigned(notebook, tagged[0].source) if parameters else []
    for name in parameters:
        if name not in accepted:
            raise ValueError(f"{notebook.stem} has no parameter {name}: accepted are {', '.join(accepted) or 'none'}")


def assigned(notebook: Path, source: str) -> list[str]:
    """Names that a cell assigns to."""
    try:
        body = ast.parse(TransformerManager().transform_cell(source)).body  # a cell may hold magics
    except SyntaxError as error:
        raise ValueError(f"{notebook.name}: the cell tagged `parameters` is not Python: {error}") from None
    names = [node.target.id for node in body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    return names + [target.id for target in targets if isinstance(target, ast.Name)]


def check_parameters(points: Iterable[Point]) -> None:
    """Ask each notebook's study whether it takes the point's parameters on this machine, as its first cells do when they
    run: of trainings one for each suite and method, whose configurations differ in nothing that is asked there.

    Raises ValueError in a sentence. Only for points that run on this machine.
    """
    asked = set()
    for point in points:
        kind = (point.parameters["suite"], point.parameters["method"]) if point.run else point.key
        study = study_of(Path(point.notebook))
        if study is None or kind in asked:
            continue
        asked.add(kind)
        try:
            check_study(study, point.parameters)
        except ValueError as error:
            raise ValueError(f"{Path(point.notebook).stem}: {error}") from None


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
