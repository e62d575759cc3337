"""What does `52_arena` ask, and what does it train?"""

from dataclasses import dataclass
from typing import Annotated

from taujp_core.methods import application
from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig

from ..study import Changes, Output, Parameter, Seeds, Store, SuiteName, default, need_tasks
from ..trainings import run_configs
from .arena import check_merges

JOINTLY = {"encoder": "standard", "linearised": "linear"}  # methods of the joint models, by how they are applied


@dataclass(frozen=True)
class ArenaPlan:
    """vectors: that are merged; joint: by method and seed, the experts' configurations of one model of all tasks, which is
    applied as the method's vectors are."""

    vectors: list[RunConfig]
    joint: dict[tuple[str, int], list[RunConfig]]


@dataclass(frozen=True)
class ArenaStudy:
    suite: SuiteName = "mini"
    tasks: Annotated[
        list[str], Parameter("some of the suite's tasks, two or more; [] means all", empty=True, of_suite=True)
    ] = default(["fashion", "street"])
    methods: Annotated[list[str], Parameter("of the vectors; also linear, taujp-efficient, taujp-strict")] = default(
        ["standard"]
    )
    seeds: Seeds = default([0])
    recipe: Changes = default({"steps": 40})
    merges: Annotated[list[str], Parameter("that race")] = default(
        ["ours", "task arithmetic", "TIES", "TSV-M", "ActMat", "RegMean"]
    )
    once: Annotated[
        list[str], Parameter("more of them, slow ones, with the first of the methods and seeds alone", empty=True)
    ] = default(["FeatCal"])
    rounds: Annotated[int, Parameter("of ours, at most", least=1)] = 3
    merge_images: Annotated[int, Parameter("unlabelled training images per task to merge on", least=1)] = 16
    tuning_images: Annotated[int, Parameter("of each validation split, to tune α on; 0: all")] = 30
    images: Annotated[int, Parameter("of each test split to measure on; 0: all")] = 100
    in_curves: Annotated[list[str], Parameter("merges in the last two figures")] = default(
        ["ours", "task arithmetic", "ActMat", "RegMean"]
    )
    image_counts: Annotated[list[int], Parameter("images per task in the first of these; 0: all")] = default([4, 16])
    task_counts: Annotated[list[int], Parameter("numbers of tasks in the second")] = default([2])
    store: Store = "runs"
    output: Output = "runs/mini-arena"

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
            (method, seed): run_configs(suite, tasks, [JOINTLY[application(method)]], [seed], **self.recipe)
            for method in self.methods
            for seed in self.seeds
        }
        return ArenaPlan(run_configs(suite, tasks, self.methods, self.seeds, **self.recipe), joint)
