"""Which vectors are compared? Those of every objective, and the controls that tell invariance from shrinkage.

For each coloured task, seed and way of application: ERM; the invariant objectives; the oracle, ERM on grey pictures; an
invariant objective whose environments were dealt anew (`shuffled`); and, in the tangent space, ERM with the τJp penalty on
the other tasks' grey pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from taujp_core.applications import APPLICATIONS
from taujp_core.checks import one_of
from taujp_core.methods import find_method
from taujp_core.models import Clip
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import RunConfig, run_config
from taujp_core.training.finetune import finetune
from taujp_core.training.run_store import snapshot_file

ERM = {method.application.name: method.name for method in map(find_method, ("erm", "erm-linear"))}
# By application, which trains the other tasks' vectors.
PARTNER = {name: application.plain_method for name, application in APPLICATIONS.items()}
PENALISED = "taujp-efficient"
STOPS = 6  # snapshots of an ERM training, of which one is its vector stopped early


@dataclass(frozen=True)
class Trained:
    """A vector and what it stands for: kind is a method's name, `oracle`, `shuffled METHOD` or `erm + τJp`."""

    kind: str
    task: str
    seed: int
    vector: TaskVector
    stopped: tuple[TaskVector, ...] = ()  # of ERM: the vector at earlier steps


def plan(
    suite: Suite,
    tasks: Sequence[str],
    others: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    environments: int,
    **changes,
) -> dict[tuple[str, str, int], RunConfig]:
    """Configurations by kind, task and seed; suite: `coloured_suite`. A step has as many images for every kind."""
    firsts: dict[str, str] = {}  # the first method of each application
    for method in methods:
        firsts.setdefault(one_of("application in this study", find_method(method).application.name, ERM), method)
    configs = {}
    for task in tasks:
        for seed in seeds:

            def over(method: str, kind: str, at: str, task: str = task, seed: int = seed) -> None:
                names = [f"{task}{at}-{e}" for e in range(environments)]
                configs[kind, task, seed] = run_config(suite, names[0], method, seed, names, **changes)

            for application in firsts:
                over(ERM[application], ERM[application], "")
                over(ERM[application], f"oracle, {application}", "-grey")
            for method in methods:
                over(method, method, "")
            for first in firsts.values():
                over(first, f"{first}, shuffled", "-shuffled")
            penalised = find_method(PENALISED).application.name
            if penalised in firsts:
                pooled = {name: value for name, value in changes.items() if name != "penalty_weight"}
                pooled |= {"batch_size": environments * configs[ERM[penalised], task, seed].batch_size}
                configs["erm-linear + τJp", task, seed] = run_config(
                    suite,
                    f"{task}-pooled",
                    PENALISED,
                    seed,
                    [f"{task}-pooled", *(other for other in others if other != task)],
                    **pooled,
                )
    return configs


def train(clip: Clip, configs: dict[tuple[str, str, int], RunConfig], store: Path) -> list[Trained]:
    """Train or load them all, in order."""
    found = []
    for (kind, task, seed), config in configs.items():
        stops = []
        if kind in ERM.values():
            stops = sorted({max(1, config.steps * k // STOPS) for k in range(1, STOPS)})
        run = finetune(config, store, clip, stops)
        stopped = tuple(TaskVector.load(snapshot_file(run.folder, step), clip) for step in stops)
        found.append(Trained(kind, task, seed, run.vector, stopped))
    return found
