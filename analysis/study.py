"""What may a notebook be asked to do? The parameters of studies, what each accepts, and those that many studies share.

A study is a frozen dataclass in `analysis/STUDY/study.py`. A field is a parameter of the study's notebook: its name, its
type, and by `ask` its default and what is accepted. `plan(suite)`, or `plan()` where there is no parameter `suite`, returns the
configurations that the notebook trains, grouped as it needs them; it raises ValueError, TypeError or OSError, in a
sentence, for parameters that do not go together. `check(plan, clip)`, if there is one, does so once the model is loaded.
`analysis.notebook_parameters` calls them.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from taujp_core.checks import one_of
from taujp_core.methods import METHODS
from taujp_core.suites import Suite
from taujp_core.training.config import FIELDS, RunConfig

from .paths import check_readable, check_writable
from .trainings import run_configs

LARGEST = 2**32 - 1  # seeds, and the numbers of epochs, seed NumPy's generator, which takes 32 bits
NO_CHANGES = ("suite", "task", "method", "seed", "start", "options")  # what a recipe's changes cannot set
# What most notebooks train by default: they share these runs. Four tasks and 40 steps are the least at which the methods part.
TASKS = ["street", "textures", "signs", "terrain"]
SHORT = {"steps": 40, "batch_size": 32, "penalty_weight": 0.4}
WRITTEN, READ, FOLDER = "written", "read", "folder"


@dataclass(frozen=True)
class Accepted:
    """What a parameter accepts beside its type, and what its comment in the notebook says.

    least, most: of a whole number, or of each in a list; empty: whether a list may be; of_suite: names tasks of the suite;
    path: it is WRITTEN to, READ if it is not empty, or a FOLDER that is; unless: a parameter that, where it is given, takes
    the place of this one.
    """

    says: str
    least: int = 0
    most: int = LARGEST
    empty: bool = False
    of_suite: bool = False
    path: str = ""
    unless: str = ""


def ask(value: object, says: str | Accepted, **accepted: Any) -> Any:
    """A parameter as a dataclass's field: its default, and its `Accepted` or what that is made of."""
    parameter = says if isinstance(says, Accepted) else Accepted(says, **accepted)
    return field(default_factory=lambda: copy.deepcopy(value), metadata={"parameter": parameter})


SUITE = Accepted("model, tasks and control: a file of taujp_core/suites, or of TAUJP_SUITES")
SOME_TASKS = Accepted("some of the suite's tasks; [] means all", empty=True, of_suite=True)
KNOWN = Accepted("tasks whose images the penalty sees; []: all", empty=True, of_suite=True)
METHOD_NAMES = Accepted("also taujp-strict, post-hoc-linearised")
SEED = Accepted("order of the batches")
SEEDS = Accepted("one training of every vector for each")
CHANGES = Accepted("changes to the suite's recipe; {}: none")
IMAGES = Accepted("of each validation and test split to measure on; 0: all")
STORE = Accepted("folder of the run store; finished runs in it are not trained again", path=WRITTEN)
OUTPUT = Accepted("folder for the tables and summary.json", path=WRITTEN)


@dataclass(frozen=True)
class Grid:
    """Every method, seed and task: what addition, negation and calibration ask and train."""

    suite: str = ask("mini", SUITE)
    tasks: list[str] = ask(TASKS, SOME_TASKS)
    methods: list[str] = ask(["standard", "linear", "taujp-efficient"], METHOD_NAMES)
    seeds: list[int] = ask([0], SEEDS)
    recipe: dict = ask(SHORT, CHANGES)
    images: int = ask(100, IMAGES)
    store: str = ask("runs", STORE)

    def plan(self, suite: Suite) -> list[RunConfig]:
        return run_configs(suite, self.tasks or list(suite.tasks), self.methods, self.seeds, **self.recipe)


def parameters_of(study: type) -> dict[str, tuple[object, Accepted]]:
    """Type and `Accepted` of each field; a field without one accepts what its type does."""
    hints = get_type_hints(study)
    return {each.name: (hints[each.name], each.metadata.get("parameter", Accepted(""))) for each in fields(study)}


def configurations(plan: object) -> list[RunConfig]:
    """All configurations of a plan: of its lists, dicts and dataclasses, in their order."""
    if isinstance(plan, RunConfig):
        return [plan]
    if is_dataclass(plan):
        parts = [getattr(plan, each.name) for each in fields(plan)]
    else:
        parts = plan.values() if isinstance(plan, Mapping) else plan if isinstance(plan, list | tuple) else []
    return [config for part in parts for config in configurations(part)]


def typed(name: str, value: object, kind: object) -> object:
    """The value, integers where floats are wanted as floats. (beartype looks at one element of a list, not at all.)"""
    if not fits(value, kind):
        wanted = kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
        raise TypeError(f"parameter {name} must be {wanted}, not {type(value).__name__} {value!r}")
    if kind is float:
        return float(value)
    return [float(number) for number in value] if kind == list[float] else value


def fits(value: object, kind: object) -> bool:
    arguments = get_args(kind)
    if get_origin(kind) is list:
        return isinstance(value, list) and all(fits(element, arguments[0]) for element in value)
    if arguments:
        return any(fits(value, one) for one in arguments)
    return isinstance(value, int | float if kind is float else kind) and (kind is bool or not isinstance(value, bool))


def check_value(value: object, parameter: Accepted, suite: Suite | None) -> None:
    """Raises ValueError, or FileNotFoundError, for a value of the right type that is not accepted."""
    elements = value if isinstance(value, list) else [value]
    if not elements and not parameter.empty:
        raise ValueError("at least one is needed, not []")
    for place, element in enumerate(elements):
        if element in elements[:place]:
            raise ValueError(f"{element!r} stands there twice")
        if isinstance(element, int | float) and not isinstance(element, bool):
            check_number(element, parameter)
        if parameter.of_suite:
            one_of("task", element, suite.tasks)
    if isinstance(value, dict):
        for key in value:
            one_of("run parameter", key, changes())
    if parameter.path == WRITTEN:
        check_writable(str(Path(value).parent) if value.endswith(".safetensors") else value)  # a file, or a folder
    elif parameter.path and value:
        check_readable(value, folder=parameter.path == FOLDER)


def check_number(value: int | float, parameter: Accepted) -> None:
    if isinstance(value, float):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"must be finite and not negative, not {value}")
    elif not parameter.least <= value <= parameter.most:
        raise ValueError(f"must be from {parameter.least} to {parameter.most}, not {value}")


def changes() -> list[str]:
    """What a change to the recipe may set: a run's fields but for those with parameters of their own, and the methods'."""
    of_methods = {parameter for method in METHODS.values() for parameter in method.parameters}
    return sorted({*FIELDS, *of_methods} - set(NO_CHANGES))


def need_tasks(tasks: Sequence[str], least: int) -> None:
    """Raises ValueError for fewer tasks than a plan takes."""
    if len(tasks) < least:
        number = "one task is" if least == 1 else f"{least} tasks are"
        raise ValueError(f"parameter tasks: at least {number} needed, not {tasks}")
