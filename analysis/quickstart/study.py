"""What does `00_quickstart` ask, and what does it train?"""

from dataclasses import dataclass

from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig

from ..study import IMAGES, SEED, SHORT, STORE, SUITE, TASKS, WRITTEN, ask, need_tasks
from ..trainings import run_configs

METHODS = ("standard", "linear", "taujp-efficient")


@dataclass(frozen=True)
class QuickstartStudy:
    suite: str = ask("mini", SUITE)
    tasks: list[str] = ask(TASKS, "some of the suite's tasks", empty=True, of_suite=True)
    steps: int = ask(SHORT["steps"], "optimiser steps per task")
    batch_size: int = ask(SHORT["batch_size"], "images of the task per step")
    penalty_weight: float = ask(SHORT["penalty_weight"], "λ")
    seed: int = ask(0, SEED)
    images: int = ask(100, IMAGES)
    store: str = ask("runs", STORE)
    output: str = ask("runs/quickstart", "folder for summary.json", path=WRITTEN)

    def plan(self, suite: Suite) -> list[RunConfig]:
        need_tasks(self.tasks, 1)
        for task in suite.datasets().values():  # whose pictures are shown
            task.locate()
        changes = {"steps": self.steps, "batch_size": self.batch_size, "penalty_weight": self.penalty_weight}
        return run_configs(suite, self.tasks, METHODS, [self.seed], **changes)
