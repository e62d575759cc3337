"""What does `52_arena` ask, and what does it train?"""

from dataclasses import dataclass

from taujp_core.methods import find_method
from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig

from ..study import CHANGES, OUTPUT, SEEDS, SHORT, STORE, SUITE, ask, need_tasks
from ..trainings import run_configs
from .arena import check_merges


@dataclass(frozen=True)
class ArenaPlan:
    """vectors: that are merged; joint: by method and seed, the experts' configurations of one model of all tasks, which is
    applied as the method's vectors are."""

    vectors: list[RunConfig]
    joint: dict[tuple[str, int], list[RunConfig]]


@dataclass(frozen=True)
class ArenaStudy:
    suite: str = ask("mini", SUITE)
    tasks: list[str] = ask(
        ["street", "signs"], "some of the suite's tasks, two or more; [] means all", empty=True, of_suite=True
    )
    methods: list[str] = ask(["standard"], "of the vectors; also linear, taujp-efficient, taujp-strict")
    seeds: list[int] = ask([0], SEEDS)
    recipe: dict = ask(SHORT, CHANGES)
    merges: list[str] = ask(["ours", "task arithmetic", "TIES", "TSV-M", "ActMat", "RegMean"], "that race")
    once: list[str] = ask(
        ["FeatCal"], "more of them, slow ones, with the first of the methods and seeds alone", empty=True
    )
    rounds: int = ask(3, "of ours, at most", least=1)
    merge_images: int = ask(16, "unlabelled training images per task to merge on", least=1)
    tuning_images: int = ask(30, "of each validation split, to tune α on; 0: all")
    images: int = ask(100, "of each test split to measure on; 0: all")
    in_curves: list[str] = ask(["ours", "task arithmetic", "ActMat", "RegMean"], "merges in the last two figures")
    image_counts: list[int] = ask([4, 16], "images per task in the first of these; 0: all")
    task_counts: list[int] = ask([2], "numbers of tasks in the second")
    store: str = ask("runs", STORE)
    output: str = ask("runs/mini-arena", OUTPUT)

    def plan(self, suite: Suite) -> ArenaPlan:
        tasks = self.tasks or list(suite.tasks)
        need_tasks(tasks, 2)
        for names in (self.merges, self.once, self.in_curves):
            check_merges(names)
        if both := sorted({*self.merges} & {*self.once}):
            raise ValueError(f"parameter once: {', '.join(both)} is among the merges already")
        for count in self.task_counts:
            if not 2 <= count <= len(tasks):
                raise ValueError(
                    f"parameter task_counts: must be from 2 to {len(tasks)}, the number of tasks, not {count}"
                )
        joint = {
            (method, seed): run_configs(
                suite, tasks, [find_method(method).application.plain_method], [seed], **self.recipe
            )
            for method in self.methods
            for seed in self.seeds
        }
        return ArenaPlan(run_configs(suite, tasks, self.methods, self.seeds, **self.recipe), joint)
