"""What does `20_causal_probe` ask, and what does it train?"""

from collections.abc import Sequence
from dataclasses import dataclass

from taujp_core.methods import METHODS, find_method
from taujp_core.models import Clip
from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig, run_config
from taujp_core.training.run_store import check_snapshots, is_finished, run_folder

from ..paths import in_project
from ..study import STORE, SUITE, WRITTEN, ask, need_tasks
from ..trainings import run_configs
from .arms import UNTREATED_METHOD

PENALISED, RAISED = "taujp-efficient", "taujp-raise"
# Methods whose finished vectors are added, before and after their reduction.
REDUCED = ("linear", "standard", PENALISED)
ONSET = "onset"  # folder in the store of the runs that leave snapshots


@dataclass(frozen=True)
class CausalPlan:
    """dose: by λ, which the untreated ones are without; onset: by the start of the penalty and, last, never; target: each
    task penalised on the next one's images alone; raised: with τJp raised; edited: by method; added: by method, of all known
    tasks."""

    dose: dict[float, list[RunConfig]]
    onset: list[RunConfig]
    target: list[RunConfig]
    raised: list[RunConfig]
    edited: dict[str, list[RunConfig]]
    added: dict[str, list[RunConfig]]


@dataclass(frozen=True)
class CausalStudy:
    suite: str = ask("mini", SUITE)
    tasks: list[str] = ask(
        ["mnist", "signs", "terrain"], "whose vectors are probed, at least three", empty=True, of_suite=True
    )
    known: list[str] = ask(
        ["mnist", "signs", "terrain"],
        "tasks whose images the penalty sees, and that are added; []: all",
        empty=True,
        of_suite=True,
    )
    penalty_weights: list[float] = ask([0.0, 0.2], "the doses λ; 0 must be among them")
    seeds: list[int] = ask([0], "of every arm: one training of every vector for each")
    onset_starts: list[int] = ask([2, 4], "first steps with the penalty; the last is the number of steps: never")
    onset_snapshots: list[int] = ask([2, 3, 4], "steps after which τ is saved", least=1)
    onset_weight: float = ask(0.6, "λ from then on")
    target_weight: float = ask(0.6, "λ on the images of one other task alone")
    raise_weight: float = ask(0.2, "λ by which τJp is raised in training, up to a bound")
    edited: list[str] = ask(["linear"], "methods whose vectors are edited")
    steps: int = ask(4, "optimiser steps per task; 0: the suite's recipe")
    images: int = ask(20, "validation images of each task to measure on")
    solve_images: int = ask(4, "training images of each task, without labels, to solve the edits on", least=1)
    iterations: int = ask(2, "of conjugate gradients", least=1)
    # Beyond it the ends of an interval of 95 % are known to a twentieth of a per cent, and draws are kept in memory.
    resamples: int = ask(19, "of each bootstrap and permutation test", least=1, most=100_000)
    store: str = ask("runs", STORE)
    output: str = ask("runs/causal-probe", "folder for the points, the tables and summary.json", path=WRITTEN)

    def plan(self, suite: Suite) -> CausalPlan:
        need_tasks(self.tasks, 3)
        if 0 not in self.penalty_weights or len(self.penalty_weights) < 2:
            raise ValueError(
                "parameter penalty_weights: 0, the untreated, and at least one other are needed, not "
                f"{self.penalty_weights}"
            )
        known = self.known or list(suite.tasks)
        if len(known) < 2:
            raise ValueError(f"parameter known: at least two tasks are needed, for they are added, not {known[0]}")
        for name in ("onset_weight", "target_weight", "raise_weight"):
            if not getattr(self, name):
                raise ValueError(f"parameter {name}: must be above 0, for an arm whose λ is 0 changes nothing")
        for method in self.edited:
            check_edited(method)
        changes = {"steps": self.steps} if self.steps else {}

        def trained(method: str, tasks: list[str], seeds: list[int], **more) -> list[RunConfig]:
            return run_configs(suite, tasks, [method], seeds, known, **changes, **more)

        dose = {
            weight: trained(PENALISED, self.tasks, self.seeds, penalty_weight=weight)
            if weight
            else trained(UNTREATED_METHOD, self.tasks, self.seeds)
            for weight in self.penalty_weights
        }
        onsets = onset_configs(
            suite, self.tasks, self.seeds, known, self.onset_starts, self.onset_snapshots,
            penalty_weight=self.onset_weight, **changes,
        )  # fmt: skip
        alone = [
            config
            for task, spared in zip(self.tasks, [*self.tasks[1:], self.tasks[0]], strict=True)
            for config in trained(
                PENALISED, [task], self.seeds, penalty_weight=self.target_weight, penalty_tasks=[spared]
            )
        ]
        raised = trained(RAISED, self.tasks, self.seeds, penalty_weight=self.raise_weight)
        edited = {method: trained(method, self.tasks, self.seeds) for method in self.edited}
        added = {method: trained(method, known, self.seeds) for method in REDUCED}
        return CausalPlan(dose, onsets, alone, raised, edited, added)

    def check(self, plan: CausalPlan, clip: Clip) -> None:
        """Raises ValueError if a run of the onset arm is in the store, without a vector that is asked for."""
        for config in plan.onset:
            folder = run_folder(in_project(self.store) / ONSET, config, clip.fingerprint)
            if is_finished(folder):
                check_snapshots(folder, self.onset_snapshots, config.steps)


def check_edited(name: str) -> None:
    """Raises ValueError for a method whose finished vectors the edits cannot start from.

    The edits take τJp off vectors that nothing has kept from other tasks' images, each training once: not vectors that
    have seen those images in training, and not the vectors of another method, which are measured in both applications anyway.
    """
    method = find_method(name)
    untreated = [other for other, one in METHODS.items() if one.others == "none" and not one.vector_of]
    if method.vector_of:
        why = f"it applies the vectors of {method.vector_of}, and every vector is measured in both applications"
    elif method.others != "none":
        why = "its vectors have seen other tasks' images in training, and are not untreated"
    else:
        return
    raise ValueError(f"parameter edited: {name} cannot be edited, for {why}: accepted are {', '.join(untreated)}")


def onset_configs(
    suite: Suite,
    tasks: Sequence[str],
    seeds: Sequence[int],
    known: Sequence[str],
    starts: Sequence[int],
    snapshot_steps: Sequence[int],
    **changes,
) -> list[RunConfig]:
    """One run per start, seed and task: the penalty is on from that step; the last start must be after the training.

    The seed decides the batches alone, so runs of one seed are the same until the first of their starts. Raises
    ValueError for starts and saved steps that do not make an onset arm.
    """
    configs = [
        run_config(suite, task, PENALISED, seed, list(known), penalty_start=start, **changes)
        for start in starts
        for seed in seeds
        for task in tasks
    ]
    # Tasks may have different numbers of steps.
    steps, most = (of(config.steps for config in configs) for of in (min, max))
    *early, last = sorted(starts)
    if last < most:
        raise ValueError(f"one start must be {most}, the number of steps: the runs without a penalty")
    if not early or early[-1] >= steps:
        raise ValueError(f"all starts but the last must be before step {steps}, and there must be one: not {starts}")
    if max(snapshot_steps) > steps or max(snapshot_steps) <= early[-1]:
        raise ValueError(
            f"steps to save after must be from 1 to {steps}, the last of them after the start {early[-1]}: "
            f"not {snapshot_steps}"
        )
    return configs
