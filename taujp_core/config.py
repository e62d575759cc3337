"""What decides a run?

The suite's recipe for a task and a method, with changes, checked before anything is done.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from .datasets import steps_of_epochs
from .methods import METHODS, Method, find_method
from .precision import PRECISIONS
from .suites import Suite, as_suite, one_of


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run. Build it with `run_config`, which fills in the suite's recipe."""

    suite: Suite
    task: str
    method: str
    seed: int
    steps: int
    batch_size: int
    peak_lr: float
    weight_decay: float
    warmup_steps: int
    clip_norm: float
    penalty_weight: float  # λ
    penalty_batch_size: int  # images of each penalised data set a step
    penalty_start: int  # first step with the penalty
    penalty_tasks: tuple[str, ...]  # data sets whose images the penalty sees
    accumulation: int  # parts that a step's batch is computed in
    precision: str  # of the matrix products: float32, tf32 or bf16
    least_crop: float  # training images are random crops of at least this share of a picture's area; 1: whole pictures
    penalty_reservoir: int = 0  # images kept of each penalised data set but the control; 0: all
    start: str = ""  # digest of the vector that τ starts from; empty: from zero
    options: Mapping[str, int | float] = field(default_factory=dict)  # parameters that only this method has

    def names(self) -> dict:
        """The same as plain data, the suite by its name: what a record holds."""
        return {name: getattr(self, name) for name in [*FIELDS, "options"]} | {"suite": self.suite.name}

    def method_parameters(self) -> dict[str, int | float]:
        """What the method's gradient takes by name."""
        ours = find_method(self.method).parameters
        return {name: self.options[name] if name in self.options else getattr(self, name) for name in ours}


FIELDS = [field.name for field in dataclasses.fields(RunConfig) if field.name != "options"]


def run_config(
    suite: Suite | str, task: str, method: str, seed: int = 0, tasks: list[str] | None = None, **changes
) -> RunConfig:
    """The suite's recipe for this task and method, with `changes` to its fields and to the method's own parameters.

    `tasks` are the tasks that the vector shall live with (all of the suite by default); their images and the
    control's, without this task's own, are what the penalty sees. For a method over environments they are the
    environments, of which this task is one. Raises ValueError or TypeError for whatever is not accepted; a task of one
    class is not: its pictures can be measured on, and kept from moving as another task's penalty does, and no more.
    """
    suite, chosen = as_suite(suite), find_method(method)
    trained = find_method(chosen.vector_of or method)
    one = suite.task(task)
    if len(one.classes) == 1:
        raise ValueError(
            f"{task} has one class, {one.classes[0]!r}: every answer is right, and there is nothing to train"
        )
    of_others = {name for other in METHODS.values() for name in other.parameters} - trained.parameters.keys()
    unknown = changes.keys() - set(FIELDS) - trained.parameters.keys() - of_others
    if unknown:
        raise ValueError(f"unknown run parameter {', '.join(sorted(unknown))}")
    for other in tasks or []:
        suite.task(other)
    values = {"penalty_start": 0, "penalty_reservoir": 0, "accumulation": 1, "precision": "float32", "start": ""}
    values |= {name: parameter.default for name, parameter in trained.parameters.items()} | suite.recipe
    # Parameters that only other methods have are nothing to this one, as λ is nothing to a method without a penalty.
    values, changes = (
        {name: value for name, value in given.items() if name in FIELDS or name not in of_others}
        for given in (values, changes)
    )
    values["peak_lr"] = peak_lr(suite.recipe["peak_lr"], trained)
    epochs = values.pop("epochs", None)
    if "steps" not in values:
        changed = changes.get("batch_size")
        batch_size = changed if isinstance(changed, int) and changed > 0 else values["batch_size"]
        values["steps"] = steps_of_epochs(epochs, one, batch_size)
    known = list(tasks or suite.tasks) + [suite.control.name] * (trained.others != "environments")
    values["penalty_tasks"] = tuple(name for name in known if name != task)
    recipe_steps, values = values["steps"], values | changes
    if "warmup_steps" not in changes and isinstance(values["steps"], int):
        # Short trials keep the recipe's share of warm-up.
        values["warmup_steps"] = round(values["warmup_steps"] * max(values["steps"], 0) / recipe_steps)
    if trained.others == "none":
        values |= {"penalty_weight": 0.0, "penalty_batch_size": 0, "penalty_start": 0, "penalty_tasks": ()}
        values["penalty_reservoir"] = 0
    values = {"suite": suite, "task": task, "method": method, "seed": seed, **values}
    values["options"] = {name: values.pop(name) for name in trained.parameters if name not in FIELDS}
    check_values(values, trained)
    return RunConfig(**values)


def peak_lr(rates: object, method: Method) -> object:
    """The recipe's, one for all or by method; a method that it does not know learns as the one it is applied like."""
    if not isinstance(rates, dict):
        return rates
    like = {"encoder": "standard", "linearised": "linear"}[method.application]
    if method.name not in rates and like not in rates:
        raise ValueError(f"peak_lr of the recipe is not said for {method.name}, only for {', '.join(rates)}")
    return rates.get(method.name) or rates[like]


def check_values(values: dict, method: Method) -> None:
    """Raises TypeError or ValueError with a sentence about the first field that is out of bounds."""
    one_of("precision", values["precision"], PRECISIONS)
    least = {
        "seed": 0,
        "steps": 1,
        "batch_size": 1,
        "warmup_steps": 0,
        "accumulation": 1,
        "penalty_start": 0,
        "penalty_batch_size": int(method.others != "none"),
        "penalty_reservoir": 0,
    }
    for name, minimum in least.items():
        check_integer(name, values[name], minimum)
    if not isinstance(values["start"], str):
        raise TypeError(f"start must be the digest of a vector, not {values['start']!r}")
    for name in ("peak_lr", "weight_decay", "clip_norm", "penalty_weight", "least_crop"):
        values[name] = checked_number(name, values[name])
    for name, parameter in method.parameters.items():
        of = values["options"] if name in values["options"] else values
        if isinstance(parameter.default, int):
            check_integer(name, of[name], parameter.least)
        else:
            of[name] = checked_number(name, of[name])
            if of[name] < parameter.least:
                raise ValueError(f"{name} must be at least {parameter.least}, not {of[name]}")
    if not 0 < values["least_crop"] <= 1:
        raise ValueError(f"least_crop must be above 0 and at most 1, not {values['least_crop']}")
    for part in (values["batch_size"], values["penalty_batch_size"]):
        if part % values["accumulation"]:
            raise ValueError(f"accumulation {values['accumulation']} does not divide the batch of {part} images")
    check_penalty_tasks(values["penalty_tasks"], values["task"], values["suite"])
    values["penalty_tasks"] = tuple(values["penalty_tasks"])
    if method.others != "none" and not values["penalty_tasks"]:
        raise ValueError(f"{values['method']} needs at least one other data set")
    if method.others == "environments":
        check_environments(values)


def check_penalty_tasks(names: object, task: str, suite: Suite) -> None:
    if not isinstance(names, tuple | list):
        raise TypeError(f"penalty_tasks must be a list of data sets, not {names!r}")
    for place, name in enumerate(names):
        suite.task(name)
        if name == task or name in names[:place]:
            raise ValueError(f"penalty_tasks of {task} must be other data sets, each once, not {', '.join(names)}")


def check_environments(values: dict) -> None:
    """Raises ValueError for environments with other classes than the task's, and for a step that is not one batch of each."""
    suite, classes = values["suite"], values["suite"].task(values["task"]).classes
    for name in values["penalty_tasks"]:
        if suite.task(name).classes != classes:
            raise ValueError(f"{name} is no environment of {values['task']}: its classes are others")
    for name, accepted in (("accumulation", 1), ("penalty_start", 0)):
        if values[name] != accepted:
            raise ValueError(
                f"{values['method']} takes a batch of every environment at each step: {name} must be {accepted}"
            )


def check_integer(name: str, value: object, least: int | float) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least:g}, not {value}")


def checked_number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be finite and not negative, not {value}")
    return float(value)
