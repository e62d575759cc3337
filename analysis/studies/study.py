"""What does a study's file ask for, and can all of it be done?

    answers: what the study answers
    costs: what it took, filled in after it ran
    suites: [mini]                       the grid of trainings: suites × methods × λ × seeds × tasks
    methods: [standard, taujp-efficient]
    tasks: [mnist, uci]                  [] or left out: all of each suite
    known: []                            tasks whose images the penalty sees; [] or left out: those that are trained
    penalty_weights: [0.02, 0.2]         λ; [] or left out: the recipe's
    seeds: [0, 1]                        left out: [0]
    recipe: {steps: 80}                  changes to the suites' recipe
    store: runs                          the run store, below TAUJP_HOME or the repository
    results: ../../results/mini          folder, beside the study's file, that finished notebooks are copied to
    notebooks:                           what reads the runs, when all of them are there
      - notebook: 30_addition            of notebooks/, or a path beside the study's file
        parameters: {seeds: [0, 1]}
        after: []                        earlier notebooks of this list that it reads too

Either part may be left out: trainings without notebooks, notebooks without trainings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import yaml

from taujp_core.checks import check_keys, one_of
from taujp_core.methods import find_method
from taujp_core.suites import load_suite
from taujp_core.suites.entries import check_name
from taujp_core.suites.files import suite_files

from ..study import fits

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
ENTRY = ("notebook", "parameters", "after")


@dataclass(frozen=True)
class Evaluation:
    """A notebook that reads runs. after: names, as the study gives them, of notebooks that it reads too."""

    name: str
    path: Path
    parameters: dict
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """A study's file, read and checked."""

    name: str
    answers: str
    costs: str = ""
    suites: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    penalty_weights: list[float] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0])
    recipe: dict = field(default_factory=dict)
    store: str = "runs"
    results: Path | None = None
    notebooks: list[Evaluation] = field(default_factory=list)


KINDS = {"answers": str, "costs": str, "store": str, "results": str, "recipe": dict, "notebooks": list[dict]} | {
    "suites": list[str], "methods": list[str], "tasks": list[str], "known": list[str],
    "penalty_weights": list[float], "seeds": list[int],
}  # fmt: skip


def read_study(path: Path) -> Study:
    """Raises FileNotFoundError for a file or a notebook that is not there, ValueError or TypeError, in a sentence that
    names the file, for whatever is not accepted. Whether the trainings and notebooks can be done is asked by `plan`."""
    try:
        return checked(path, parse(path))
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path}: {error}") from None


def parse(path: Path) -> dict:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: a study is a YAML file")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, Mapping):
        raise ValueError(f"must hold keys such as answers, methods and notebooks, not {raw!r}")
    return dict(raw)


def checked(path: Path, raw: dict) -> Study:
    check_keys("the study", raw, KINDS)
    for key, value in raw.items():
        check_kind(key, value, KINDS[key])
    check_name("study", path.stem)
    if path.stem in suite_files():
        raise ValueError(f"a study cannot have the name of a suite: runs/{path.stem} holds that suite's runs")
    if not raw.get("answers", "").strip():
        raise ValueError("answers must say what the study answers")
    if not raw.get("methods") and not raw.get("notebooks"):
        raise ValueError("there is nothing to do: give suites and methods to train, notebooks, or both")
    if bool(raw.get("methods")) != bool(raw.get("suites")):
        raise ValueError("suites and methods belong together: give both, or neither")
    for key in ("seeds", "store"):
        if not raw.get(key, "given"):
            raise ValueError(f"{key} must not be empty")
    if raw.get("penalty_weights") and "penalty_weight" in raw.get("recipe", {}):
        raise ValueError("penalty_weight stands in the recipe, and penalty_weights are given: give one")
    for method in raw.get("methods", []):
        find_method(method)
    for name in raw.get("suites", []):
        suite = load_suite(name)
        for task in (*raw.get("tasks", []), *raw.get("known", [])):
            one_of(f"task of {name}", task, suite.tasks)
    given = {key: value for key, value in raw.items() if key not in ("results", "notebooks")}
    given["penalty_weights"] = [float(weight) for weight in raw.get("penalty_weights", [])]
    results, notebooks = None, evaluations(path, raw.get("notebooks", []))
    if "results" in raw:
        results, files = (path.parent / raw["results"]).resolve(), [evaluation.path.name for evaluation in notebooks]
        for name in files:
            if files.count(name) > 1:
                raise ValueError(
                    f"results needs one file per notebook, but several notebooks are named {name}: rename all but one"
                )
    return Study(path.stem, results=results, notebooks=notebooks, **given)


def evaluations(path: Path, entries: list[dict]) -> list[Evaluation]:
    found: list[Evaluation] = []
    for entry in entries:
        check_keys("an entry of notebooks", entry, ENTRY)
        check_kind("notebook", entry.get("notebook"), str)
        check_kind("parameters", entry.get("parameters", {}), dict)
        check_kind("after", entry.get("after", []), list[str])
        for name in entry.get("after", []):
            one_of("earlier notebook to come after", name, [earlier.name for earlier in found])
        name = entry["notebook"]
        place = path.parent / name if name.endswith(".ipynb") else NOTEBOOKS / f"{name}.ipynb"
        if not place.is_file():
            raise ValueError(f"the notebook {name} does not exist: there is no {place}")
        found.append(Evaluation(name, place.resolve(), entry.get("parameters", {}), tuple(entry.get("after", []))))
    return found


def check_kind(key: str, value: object, kind: type) -> None:
    """Raises TypeError for a value, or an element of a list, of another type; ValueError for one that stands there twice."""
    if not fits(value, kind):
        listed = get_args(kind)
        said = f"a list of {listed[0].__name__}" if listed else kind.__name__
        raise TypeError(f"{key} must be {said}, not {value!r}")
    for place, element in enumerate(value if isinstance(value, list) else ()):
        if element in value[:place]:
            raise ValueError(f"{key}: {element!r} stands there twice")
