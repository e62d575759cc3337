"""How are the experts of DisTaC's two stress tests trained?

    as trained   the experts of one recipe
    one long     one of them was trained at a larger learning rate, with more steps: its vector is several times as long
    unsure       all of them were trained with label smoothing: they are as good, and answer with low confidence

Source: DisTaC (Yoshida et al., ICLR 2026, 2508.01148).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from taujp_core.checks import one_of
from taujp_core.methods import METHODS
from taujp_core.models import Clip
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import RunConfig, run_config

from .trainings import run_configs, train

SMOOTHED = "-smoothed"  # a method and its twin with label smoothing
AS_TRAINED, LONG, UNSURE = "as trained", "one long", "unsure"


@dataclass(frozen=True)
class LongOne:
    """The task whose expert gets the long vector, and by what its training exceeds the recipe: in learning rate and in steps."""

    task: str
    rate: float
    steps: int


@dataclass(frozen=True)
class Planned:
    """The trainings of all experts of one method, seed and condition; peak_lr: of the recipe, without the long expert's factor."""

    method: str
    seed: int
    condition: str
    peak_lr: float
    configs: list[RunConfig]


@dataclass(frozen=True)
class Experts:
    """Their vectors, in the order of the tasks; method: that of the plan, also where its twin has trained them."""

    method: str
    seed: int
    condition: str
    peak_lr: float
    vectors: list[TaskVector]


def with_twin() -> list[str]:
    """The methods whose experts can be made unsure."""
    return [name.removesuffix(SMOOTHED) for name in METHODS if name.endswith(SMOOTHED)]


def check_long(long: LongOne, tasks: Sequence[str]) -> None:
    """Raises ValueError for a task that is not there, and for a rate that trains nothing."""
    one_of("task of parameter long_task", long.task, tasks)
    if not long.rate > 0:
        raise ValueError(f"parameter long_rate: must be above 0, not {long.rate}")


def as_trained(suite: Suite, tasks: Sequence[str], method: str, seed: int, recipe: dict) -> Planned:
    configs = run_configs(suite, tasks, [method], [seed], **recipe)
    return Planned(method, seed, AS_TRAINED, configs[0].peak_lr, configs)


def stressed(usual: Planned, tasks: Sequence[str], recipe: dict, long: LongOne) -> list[Planned]:
    """The two stress tests of the same experts, after `check_long`. recipe: the changes that `usual` was planned with."""

    def longer(config: RunConfig) -> RunConfig:
        changes = {"steps": long.steps * config.steps, "peak_lr": long.rate * config.peak_lr}
        return run_config(
            config.suite, config.task, config.method, config.seed, tasks=list(tasks), **{**recipe, **changes}
        )

    one_long = [longer(config) if config.task == long.task else config for config in usual.configs]
    smoothed = run_configs(usual.configs[0].suite, tasks, [usual.method + SMOOTHED], [usual.seed], **recipe)
    return [
        Planned(usual.method, usual.seed, condition, usual.peak_lr, configs)
        for condition, configs in {LONG: one_long, UNSURE: smoothed}.items()
    ]


def train_experts(clip: Clip, plan: Sequence[Planned], store: Path | str) -> list[Experts]:
    """Trained, or loaded."""
    return [
        Experts(
            one.method, one.seed, one.condition, one.peak_lr, [run.vector for run in train(clip, one.configs, store)]
        )
        for one in plan
    ]
