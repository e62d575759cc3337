"""What does `00_quickstart` ask, and what does it train?"""

from dataclasses import dataclass
from typing import Annotated

from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig

from ..study import WRITTEN, Images, Parameter, Seed, Store, SuiteName, default, need_tasks
from ..trainings import run_configs

METHODS = ("standard", "linear", "taujp-efficient")


@dataclass(frozen=True)
class QuickstartStudy:
    suite: SuiteName = "mini"
    tasks: Annotated[list[str], Parameter("some of the suite's tasks", empty=True, of_suite=True)] = default(
        ["fashion", "street"]
    )
    steps: Annotated[int, Parameter("optimiser steps per task")] = 40
    penalty_weight: Annotated[float, Parameter("λ")] = 0.2
    seed: Seed = 0
    images: Images = 200
    store: Store = "runs"
    output: Annotated[str, Parameter("folder for summary.json", path=WRITTEN)] = "runs/quickstart"

    def plan(self, suite: Suite) -> list[RunConfig]:
        need_tasks(self.tasks, 1)
        for task in suite.datasets().values():  # whose pictures are shown
            task.locate()
        changes = {"steps": self.steps, "penalty_weight": self.penalty_weight}
        return run_configs(suite, self.tasks, METHODS, [self.seed], **changes)
