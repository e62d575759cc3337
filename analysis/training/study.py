"""What does `10_train` ask, and what does it train?"""

from dataclasses import dataclass
from typing import Annotated

from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig, run_config

from ..study import Changes, Known, Parameter, Seed, Store, SuiteName, default


@dataclass(frozen=True)
class TrainingStudy:
    suite: SuiteName = "mini"
    task: Annotated[str, Parameter("one of the suite's tasks, or its control")] = "street"
    method: Annotated[str, Parameter("standard, linear, taujp-strict, taujp-efficient or post-hoc-linearised")] = (
        "taujp-efficient"
    )
    seed: Seed = 0
    known: Known = default(["fashion", "street"])
    recipe: Changes = default({"steps": 40})
    store: Store = "runs"

    def plan(self, suite: Suite) -> RunConfig:
        return run_config(suite, self.task, self.method, self.seed, self.known or None, **self.recipe)
