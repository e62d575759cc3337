"""What does `33_disentanglement` ask, and what does it train?"""

from dataclasses import dataclass
from typing import Annotated

from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig

from ..study import Known, Methods, Output, Parameter, Seed, Store, SuiteName, default
from ..trainings import run_configs


@dataclass(frozen=True)
class DisentanglementStudy:
    suite: SuiteName = "mini"
    pair: Annotated[list[str], Parameter("the two tasks: α₁ is the first one's", of_suite=True)] = default(
        ["fashion", "street"]
    )
    tasks: Known = default(["fashion", "street"])
    methods: Methods = default(["standard", "linear", "taujp-efficient"])
    seed: Seed = 0
    steps: Annotated[int, Parameter("optimiser steps per task; 0: the suite's recipe")] = 40
    penalty_weight: Annotated[float, Parameter("λ")] = 0.2
    # 401 are 0.01 apart: finer than a picture of the map can show.
    points: Annotated[int, Parameter("coefficients on each axis, from -2 to 2", least=5, most=401)] = 9
    images: Annotated[int, Parameter("validation images of each task")] = 60
    store: Store = "runs"
    output: Output = "runs/disentanglement"

    def plan(self, suite: Suite) -> list[RunConfig]:
        if len(self.pair) != 2:
            raise ValueError(f"parameter pair: must be two different tasks, not {', '.join(self.pair)}")
        if self.points % 4 != 1:
            raise ValueError(f"parameter points: 0 and 1 must be among them, as with 5, 9, 13, …, not {self.points}")
        changes = {"penalty_weight": self.penalty_weight} | ({"steps": self.steps} if self.steps else {})
        known = self.tasks or list(suite.tasks)
        return run_configs(suite, self.pair, self.methods, [self.seed], known, **changes)
