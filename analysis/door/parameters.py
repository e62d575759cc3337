"""Are a notebook's parameters what it takes? Its first call asks, before anything is trained or written.

A name means the same in every notebook, so one parameter is checked by its name, here; what they are together, by
`analysis.door.plans`, which names the trainings that will be needed.
"""

import math
import sys
import types
from pathlib import Path
from typing import get_args, get_origin

from taujp_core.checks import one_of
from taujp_core.methods import METHODS
from taujp_core.suites import Suite, load_suite
from taujp_core.training.config import FIELDS

from ..paths import check_readable, check_writable
from .plans import check_plan

JUPYTER_NAMES = {"In", "Out", "exit", "quit", "open", "get_ipython"}
# Seeds, and the numbers of epochs, seed NumPy's generator, which takes 32 bits.
LARGEST = 2**32 - 1
# The least and the largest of whole numbers; those of a list's elements stand under the list's name.
BOUNDS = {
    "iterations": (1, LARGEST),
    "images": (0, LARGEST),  # 0: all of them
    "solve_images": (1, LARGEST),
    "merge_images": (1, LARGEST),
    "rounds": (1, LARGEST),
    "batch_size": (1, LARGEST),
    "orders": (1, 1000),  # each is a training of all tasks
    "onset_snapshots": (1, LARGEST),
    # Beyond it the ends of an interval of 95 % are known to a twentieth of a per cent, and draws are kept in memory.
    "resamples": (1, 100_000),
    # 401 are 0.01 apart: finer than a picture of the map can show.
    "points": (5, 401),
}
MAY_BE_EMPTY = ("tasks", "known", "quadruples", "once")  # where it means all, or none; plans refuse it elsewhere
OF_THE_SUITE = ("tasks", "known", "pair", "new_task", "others")
WRITTEN, READ = ("store", "output"), ("published", "base")
NO_CHANGES = ("suite", "task", "method", "seed", "start", "options")  # what a recipe's changes cannot set


class ParameterError(ValueError):
    """A notebook parameter that is not accepted; shown as one sentence, without a traceback."""

    def _render_traceback_(self) -> list[str]:  # IPython's hook
        return [f"ParameterError: {self}"]


def check_parameters(namespace: dict) -> None:
    """Check the notebook's parameters. Call it first, with `globals()`.

    The annotated names are the notebook's own; papermill puts its values below them without annotations and
    only warns about names that the notebook does not have. Integers are accepted for floats. Raises ParameterError.
    """
    declared = annotations(namespace)
    given = {
        name
        for name, value in namespace.items()
        if not name.startswith("_") and name not in JUPYTER_NAMES and not isinstance(value, types.ModuleType | type)
        and not callable(value)
    }  # fmt: skip
    # When a cell is run again by hand, the names of later cells are there too.
    for name in sorted(given - declared.keys()) if "_parameters_checked" not in namespace else ():
        raise ParameterError(f"unknown parameter {name}: accepted are {', '.join(declared)}")
    for name, hint in declared.items():
        namespace[name] = typed(name, namespace[name], hint)
    try:
        check_values({name: namespace[name] for name in declared})
    except (OSError, TypeError, ValueError) as error:
        raise ParameterError(str(error)) from error
    namespace["_parameters_checked"] = True


def annotations(namespace: dict) -> dict[str, object]:
    """Types of the annotated names at the top level of a notebook."""
    if sys.version_info >= (3, 14):
        import annotationlib

        if "__annotate__" in namespace:
            return annotationlib.call_annotate_function(namespace["__annotate__"], annotationlib.Format.VALUE)
    return namespace.get("__annotations__", {})


def typed(name: str, value: object, hint: object) -> object:
    """The value, integers where floats are wanted as floats. (beartype looks at one element of a list, not at all.)"""
    if not fits(value, hint):
        kind = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
        raise ParameterError(f"parameter {name} must be {kind}, not {type(value).__name__} {value!r}")
    if hint is float:
        return float(value)
    return [float(number) for number in value] if hint == list[float] else value


def fits(value: object, hint: object) -> bool:
    arguments = get_args(hint)
    if get_origin(hint) is list:
        return isinstance(value, list) and all(fits(element, arguments[0]) for element in value)
    if arguments:
        return any(fits(value, one) for one in arguments)
    return isinstance(value, int | float if hint is float else hint) and (hint is bool or not isinstance(value, bool))


def check_values(values: dict[str, object]) -> None:
    """Raises ParameterError for the first value that is not accepted; what `load_suite` and `check_plan` raise."""
    suite = load_suite(values["suite"]) if "suite" in values else None
    for name, value in values.items():
        # Where a folder of checkpoints is given, their names are the tasks, and `tasks` is not used.
        named = suite if name in OF_THE_SUITE and not (name == "tasks" and values.get("published")) else None
        try:
            check_value(name, value, named)
        except (OSError, TypeError, ValueError) as error:
            raise ParameterError(f"parameter {name}: {error}") from error
    check_plan(suite, values)


def check_value(name: str, value: object, named: Suite | None) -> None:
    """named: the suite, if the value is names of its tasks."""
    elements = value if isinstance(value, list) else [value]
    if not elements and name not in MAY_BE_EMPTY:
        raise ValueError("at least one is needed, not []")
    for place, element in enumerate(elements):
        if element in elements[:place]:
            raise ValueError(f"{element!r} stands there twice")
        if isinstance(element, int | float) and not isinstance(element, bool):
            check_number(name, element)
        if named:
            one_of("task", element, named.tasks)
    if isinstance(value, dict):
        for key in value:
            one_of("run parameter", key, changes())
    if name in WRITTEN:
        check_writable(str(Path(value).parent) if value.endswith(".safetensors") else value)  # a file, or a folder
    if name in READ and value:
        check_readable(value, folder=name != "base")


def check_number(name: str, value: int | float) -> None:
    if isinstance(value, float):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"must be finite and not negative, not {value}")
        return
    least, largest = BOUNDS.get(name, (0, LARGEST))
    if not least <= value <= largest:
        raise ValueError(f"must be from {least} to {largest}, not {value}")


def changes() -> list[str]:
    """What a change to the recipe may set: a run's fields but for those with parameters of their own, and the methods'."""
    of_methods = {parameter for method in METHODS.values() for parameter in method.parameters}
    return sorted({*FIELDS, *of_methods} - set(NO_CHANGES))
