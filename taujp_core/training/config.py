"""What decides a run? The suite's recipe for a task and a method, with changes, checked before anything is done."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..checks import one_of
from ..datasets import steps_of_epochs
from ..methods import METHODS, Method, find_method
from ..products.precision import PRECISIONS
from ..suites import Suite, as_suite
from ..suites.recipe import RECIPE, Number, checked, number_of
from ..tasks import Task


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
    penalty_tasks: tuple[str, ...]  # data sets whose images the penalty sees: tasks, control, auxiliary pictures
    accumulation: int  # parts that a step's batch is computed in
    precision: str  # of the matrix products: float32, tf32 or bf16
    least_crop: float  # training images are random crops of at least this share of a picture's area; 1: whole pictures
    penalty_reservoir: int = 0  # images kept of each penalised task; 0: all
    start: str = ""  # digest of the vector that τ starts from; empty: from zero
    options: Mapping[str, int | float | str] = field(default_factory=dict)  # parameters that only this method has

    def names(self) -> dict:
        """The same as plain data, the suite by its name: what a record holds."""
        return {name: getattr(self, name) for name in [*FIELDS, "options"]} | {"suite": self.suite.name}

    def method_parameters(self) -> dict[str, int | float | str]:
        """What the method's gradient takes by name."""
        ours = find_method(self.method).parameters
        return {name: self.options[name] if name in self.options else getattr(self, name) for name in ours}


FIELDS = [field.name for field in dataclasses.fields(RunConfig) if field.name != "options"]


def run_config(
    suite: Suite | str, task: str, method: str, seed: int = 0, tasks: list[str] | None = None, **changes: object
) -> RunConfig:
    """The suite's recipe for this task and method, with `changes` to its fields and to the method's own parameters.

    `tasks` lists the tasks whose vectors will be added (by default all tasks of the suite). The penalty uses the
    images of the control and of these tasks, except `task` itself, or those of `penalty_tasks`, a list of names of the
    suite's tasks, control and auxiliary pictures. For a method over environments they are the
    environments, of which this task is one. Raises ValueError or TypeError for whatever is not accepted; a task of one
    class is refused, because there is nothing to train. Another task's penalty may use the images of a one-class task.
    """
    suite, chosen = as_suite(suite), find_method(method)
    trained = find_method(chosen.vector_of or method)
    one = suite.task(task)
    if len(one.classes) == 1:
        raise ValueError(
            f"{task} has one class, {one.classes[0]!r}: every answer is right, and there is nothing to train"
        )
    for other in tasks or []:
        suite.task(other)
    check_changes(changes, trained)
    checked("seed", seed, Number("", int))
    recipe = recipe_of(suite, one, trained, {**suite.recipe.get("methods", {}).get(trained.name, {}), **changes})
    controls = () if trained.others == "environments" else suite.controls
    known = [*(tasks or suite.tasks), *(control.name for control in controls)]
    penalised = changes.get("penalty_tasks", [name for name in known if name != task])
    config = RunConfig(
        suite=suite,
        task=task,
        method=method,
        seed=seed,
        penalty_tasks=() if trained.others == "none" else as_names(penalised),
        start=as_digest(changes.get("start", "")),
        options={name: recipe.pop(name) for name in trained.parameters if name not in FIELDS},
        **recipe,
    )
    check_config(config, trained)
    return config


def check_changes(changes: Mapping, method: Method) -> None:
    """Raises ValueError for a name that is neither a field nor any method's parameter."""
    of_methods = {name for other in METHODS.values() for name in other.parameters}
    if unknown := changes.keys() - set(FIELDS) - of_methods:
        raise ValueError(f"unknown run parameter {', '.join(sorted(unknown))}")


def recipe_of(suite: Suite, task: Task, method: Method, changes: Mapping) -> dict:
    """The suite's recipe for this task and method, with changes, each number checked.

    What only other methods have is nothing to this one, as λ is nothing to a method without a penalty; and the suite's λ
    is that of the τJp penalty, so that a method with a penalty of its own has its own.
    """
    mine = {*RECIPE, "precision", *method.parameters}
    defaults = {name: number.default for name, number in RECIPE.items() if number.default is not None}
    own = {name: parameter.default for name, parameter in method.parameters.items()}
    others = set(own) & {"penalty_weight"} if not method.penalised else set()
    said = {name: value for name, value in suite.recipe.items() if name in mine - others}
    values = {**defaults, "precision": "float32", **own, **said, "peak_lr": peak_lr(suite.recipe["peak_lr"], method)}
    asked = {name: value for name, value in changes.items() if name in mine}
    if "steps" not in values:
        batch_size = int(checked("batch_size", {**values, **asked}["batch_size"], RECIPE["batch_size"]))
        values["steps"] = steps_of_epochs(suite.recipe["epochs"], task, batch_size)
    steps = checked("steps", asked.get("steps", values["steps"]), RECIPE["steps"])
    # Short trials keep the recipe's share of warm-up.
    values["warmup_steps"] = round(values["warmup_steps"] * steps / values["steps"])
    values |= asked
    if method.others in ("none", "before"):
        kept = {*method.parameters, *(["penalty_reservoir"] if method.others == "before" else [])}
        nothing = {"penalty_weight": 0.0, "penalty_batch_size": 0, "penalty_start": 0, "penalty_reservoir": 0}
        values |= {name: value for name, value in nothing.items() if name not in kept}
    one_of("precision", values["precision"], PRECISIONS)
    numbers = RECIPE | {name: number_of(p) for name, p in method.parameters.items()}
    return values | {name: checked(name, values[name], number) for name, number in numbers.items()}


def peak_lr(rates: object, method: Method) -> object:
    """The recipe's, one for all or by method; a method that it does not know learns as the one it is applied like, and that, if
    features are affine in τ, as `linear`."""
    if not isinstance(rates, Mapping):
        return rates
    names = [method.name, method.application.plain_method, *(["linear"] if method.application.affine else [])]
    known = [name for name in names if name in rates]
    if not known:
        raise ValueError(f"peak_lr of the recipe is not said for {method.name}, only for {', '.join(rates)}")
    return rates[known[0]]


def as_names(names: object) -> tuple[str, ...]:
    if not isinstance(names, tuple | list):
        raise TypeError(f"penalty_tasks must be a list of data sets, not {names!r}")
    return tuple(names)


def as_digest(start: object) -> str:
    if not isinstance(start, str):
        raise TypeError(f"start must be the digest of a vector, not {start!r}")
    return start


def check_config(config: RunConfig, method: Method) -> None:
    """Raises ValueError with a sentence about what does not go together."""
    if not config.least_crop > 0:
        raise ValueError(f"least_crop must be above 0 and at most 1, not {config.least_crop}")
    if method.others not in ("none", "before") and config.penalty_batch_size < 1:
        raise ValueError(f"penalty_batch_size must be at least 1, not {config.penalty_batch_size}")
    every = int(config.options.get("penalty_every", 1))
    if every > config.steps:
        raise ValueError(f"penalty_every must be at most {config.steps}, the number of steps, not {every}")
    for part in (config.batch_size, config.penalty_batch_size):
        if part % config.accumulation:
            raise ValueError(f"accumulation {config.accumulation} does not divide the batch of {part} images")
    check_penalty_tasks(config.penalty_tasks, config.task, config.suite)
    if method.others != "none" and not config.penalty_tasks:
        raise ValueError(f"{config.method} needs at least one other data set")
    if method.others == "environments":
        check_environments(config)


def check_penalty_tasks(names: tuple[str, ...], task: str, suite: Suite) -> None:
    for place, name in enumerate(names):
        suite.task(name)
        if name == task or name in names[:place]:
            raise ValueError(f"penalty_tasks of {task} must be other data sets, each once, not {', '.join(names)}")


def check_environments(config: RunConfig) -> None:
    """Raises ValueError for environments with other classes than the task's, and for a step that is not one batch of each."""
    classes = config.suite.task(config.task).classes
    for name in config.penalty_tasks:
        if config.suite.task(name).classes != classes:
            raise ValueError(f"{name} is no environment of {config.task}: its classes are others")
    for name, accepted in (("accumulation", 1), ("penalty_start", 0)):
        if getattr(config, name) != accepted:
            raise ValueError(
                f"{config.method} takes a batch of every environment at each step: {name} must be {accepted}"
            )
