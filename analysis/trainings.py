"""Which runs are needed, and which are there already? What is missing is trained."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from taujp_core.methods import find_method
from taujp_core.models import Clip, zero_shot_head
from taujp_core.progress import doing
from taujp_core.suites import Suite, as_suite
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import RunConfig, run_config
from taujp_core.training.finetune import finetune
from taujp_core.training.run_store import Run


def train(clip: Clip, configs: Sequence[RunConfig], store: Path | str, snapshot_steps: Sequence[int] = ()) -> list[Run]:
    """A run for each configuration, in their order: trained, continued where it was stopped, or loaded.

    snapshot_steps: τ is saved after each of these, too. All heads are made before the first training starts.
    """
    for task in dict.fromkeys(config.suite.task(config.task) for config in configs):
        zero_shot_head(clip, task.classes, task.templates)
    runs = []
    for number, config in enumerate(configs, 1):
        with doing(f"training {number} of {len(configs)}: {config.task} by {config.method}, seed {config.seed}"):
            runs.append(finetune(config, store, clip, snapshot_steps))
    return runs


def run_configs(
    suite: Suite | str,
    tasks: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int] = (0,),
    known: Sequence[str] | None = None,
    **changes: Any,
) -> list[RunConfig]:
    """A configuration for each method, seed and task, in this order; `changes` go to `run_config`.

    `known` are the tasks whose images the penalty sees; by default those that are trained. Raises ValueError or
    TypeError for whatever is not accepted.
    """
    suite = as_suite(suite)
    return [
        run_config(suite, task, method, seed, tasks=list(known or tasks), **changes)
        for method in methods
        for seed in seeds
        for task in tasks
    ]


def tasks_of(configs: Iterable[RunConfig]) -> list[str]:
    """Each task once, in the order of the configurations."""
    return list(dict.fromkeys(config.task for config in configs))


def by_method_and_seed(runs: Iterable[Run]) -> dict[tuple[str, int], list[Run]]:
    """The runs that make one model: those of a method and a seed, in their order."""
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.config.method, run.config.seed), []).append(run)
    return groups


def tables_of_models(
    runs: Iterable[Run], measure: Callable[[list[TaskVector]], Iterable[pd.DataFrame]]
) -> list[pd.DataFrame]:
    """What `measure` says of the vectors of each method and seed, table by table, with a column for both."""
    tables = []
    for (method, seed), group in by_method_and_seed(runs).items():
        with doing(f"measuring the vectors of {method}, seed {seed}"):
            tables.append([table.assign(method=method, seed=seed) for table in measure([run.vector for run in group])])
    return [pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True)]


def penalised_and_rivals(summary: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means over seeds, a row per method: those with the τJp penalty, and the others. Either may be empty."""
    means = summary.groupby("method").mean(numeric_only=True)
    penalised = means[[find_method(method).penalised for method in means.index]]
    return penalised, means.drop(index=penalised.index)


def run_table(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per run: task, method, seed, validation accuracy before and after, ‖τ‖, seconds."""
    rows = [
        {
            "method": run.config.method,
            "seed": run.config.seed,
            "task": run.config.task,
            "zero_shot": run.record["metrics"]["zero_shot_validation_accuracy"],
            "accuracy": run.record["metrics"]["validation_accuracy"],
            "tau_norm": run.record["metrics"]["tau_norm"],
            "seconds": run.record["seconds"],
        }
        for run in runs
    ]
    return pd.DataFrame(rows)


def cost(runs: Sequence[Run]) -> str:
    """A sentence about what the training of these runs took, and on what."""
    runs = list({run.folder: run for run in runs}.values())  # two methods may apply the vectors of one training
    seconds = pd.Series([run.record["seconds"] for run in runs], index=[run.config.method for run in runs])
    each = ", ".join(f"{method} {mean:.1f} s" for method, mean in seconds.groupby(level=0, sort=False).mean().items())
    hardware, versions = runs[-1].record["hardware"], runs[-1].record["versions"]
    return (
        f"{len(runs)} runs trained in {seconds.sum() / 60:.1f} minutes (mean a run: {each}) on "
        f"{hardware['accelerator'] or hardware['processor']}, {hardware['threads']} threads, torch {versions['torch']}; "
        f"commit {runs[-1].record['commit']}."
    )
