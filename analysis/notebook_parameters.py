"""How does a notebook begin? One call checks its parameters, and hands back suite, model, configurations and folders."""

import types
from collections.abc import Mapping, MutableMapping
from dataclasses import fields, is_dataclass, replace
from typing import NamedTuple

import torch

from taujp_core.models import Clip, check_texts
from taujp_core.parameters import device_of
from taujp_core.pretrained import load_clip
from taujp_core.products.memory import graph_bytes, total_memory
from taujp_core.products.precision import check_precision
from taujp_core.suites import Suite, load_suite
from taujp_core.training.config import RunConfig
from taujp_core.training.step_images import penalty_images

from .paths import in_project
from .study import check_value, configurations, parameters_of, typed

JUPYTER_NAMES = {"In", "Out", "exit", "quit", "open", "get_ipython"}


class ParameterError(ValueError):
    """A notebook parameter that is not accepted; shown as one sentence, without a traceback."""

    def _render_traceback_(self) -> list[str]:  # IPython's hook
        return [f"ParameterError: {self}"]


class Begun(NamedTuple):
    """suite and clip: None where the study has no parameter `suite`; plan: what the study's `plan` returns; folders: by the
    name of the parameter, where each of its paths leads, None for an empty one."""

    suite: Suite | None
    clip: Clip | None
    plan: object
    folders: types.SimpleNamespace


def begin(study: type, namespace: MutableMapping[str, object]) -> Begun:
    """Check the notebook's parameters and plan what it trains, before anything is trained or written.

    Call it first, with the study and `globals()`; parameters that the notebook does not have are the study's defaults.
    papermill only warns about names that the notebook does not have: names that are not the study's are refused here.
    Integers are accepted for floats, and a Suite for its name, so that the cell can be run again by hand. Raises
    ParameterError.
    """
    accepted = [field.name for field in fields(study)] if is_dataclass(study) else []
    if not accepted or not callable(getattr(study, "plan", None)):
        raise ParameterError(f"a study is a dataclass of parameters with a function plan, not {study!r}")
    # When a cell is run again by hand, the names of later cells are there too.
    for name in sorted(meant(namespace) - {*accepted}) if "_begun" not in namespace else ():
        raise ParameterError(f"unknown parameter {name}: accepted are {', '.join(accepted)}")
    asked, begun = check_study(study, {name: namespace[name] for name in accepted if name in namespace})
    namespace.update({name: asked[name] for name in accepted if name in namespace})
    namespace["_begun"] = True
    return begun


def meant(namespace: Mapping[str, object]) -> set[str]:
    """Names that may be meant as parameters."""
    return {
        name
        for name, value in namespace.items()
        if not name.startswith("_") and name not in JUPYTER_NAMES and not isinstance(value, types.ModuleType | type)
        and not callable(value)
    }  # fmt: skip


def check_study(study: type, values: Mapping[str, object]) -> tuple[dict[str, object], Begun]:
    """The parameters, defaults among them, and what begins with them. Raises ParameterError, in a sentence.

    Data sets and weights must be there, and a step's images must fit into memory. Nothing is written, but the caches.
    """
    try:
        given = study(**values)  # and its defaults
        suite = clip = None
        if isinstance(values.get("suite"), Suite):
            suite = values["suite"]
            given = replace(given, suite=suite.name)
        parameters = parameters_of(study)
        asked = {name: typed(name, getattr(given, name), kind) for name, (kind, _) in parameters.items()}
        if "suite" in asked:
            suite = suite or load_suite(asked["suite"])
        for name, (_, parameter) in parameters.items():
            if parameter.unless and asked[parameter.unless]:
                continue
            try:
                check_value(asked[name], parameter, suite)
            except (OSError, TypeError, ValueError) as error:
                raise ParameterError(f"parameter {name}: {error}") from error
        chosen = study(**asked)
        plan = chosen.plan(suite) if suite else chosen.plan()
        if suite:
            check_data(suite, configurations(plan))
            clip = load_clip(suite.model, suite.pretrained)
            check_steps(clip, configurations(plan))
        if hasattr(study, "check"):
            chosen.check(plan, clip)
    except (OSError, TypeError, ValueError) as error:
        raise ParameterError(str(error)) from error
    paths = {name: asked[name] for name, (_, parameter) in parameters.items() if parameter.path}
    folders = {name: in_project(path) if path else None for name, path in paths.items()}
    if suite:
        asked["suite"] = suite
    return asked, Begun(suite, clip, plan, types.SimpleNamespace(**folders))


def check_steps(clip: Clip, configs: list[RunConfig]) -> None:
    """Raises ValueError for class names that are too long, a number format that the device has not, and too many images."""
    for task in dict.fromkeys(config.suite.task(config.task) for config in configs):
        check_texts(clip, task.classes, task.templates)
    for config in configs:
        check_precision(config.precision, device_of(clip.theta0))
    if not configs:
        return
    largest = max(configs, key=lambda config: images_at_once(config) / config.accumulation)
    check_memory(clip, images_at_once(largest), largest.accumulation)


def check_data(suite: Suite, configs: list[RunConfig]) -> None:
    """Data sets that are not there would stop the first run that wants them, when others are trained."""
    wanted = {task.name for task in suite.controls}.union(*([config.task, *config.penalty_tasks] for config in configs))
    for name in suite.with_auxiliary():
        if name in wanted and configs:
            suite.task(name).locate()


def images_at_once(config: RunConfig) -> int:
    """Of one step, its penalised images among them."""
    return config.batch_size + penalty_images(config)


def check_memory(clip: Clip, images: int, parts: int) -> None:
    """Raises ValueError for a step that takes more than all the memory of the device, however little else is there."""
    device = device_of(clip.theta0)
    one = graph_bytes(clip.encoder, clip.theta0, torch.zeros(1, 3, clip.image_size, clip.image_size, dtype=torch.uint8))
    needed, there = one * images / parts / 2**30, total_memory(device) / 2**30
    if needed > there:
        raise ValueError(
            f"batches of {images} images, penalised ones among them, in {parts} {'part' if parts == 1 else 'parts'} "
            f"take at least {needed:.0f} GiB, and {device} has {there:.0f} GiB: a smaller batch_size is accepted"
        )
