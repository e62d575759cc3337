"""What does `36_explore` ask, and what does it train?"""

from dataclasses import dataclass
from typing import Annotated

from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig

from ..study import WRITTEN, Changes, Parameter, Seed, SomeTasks, Store, SuiteName, default
from ..trainings import run_configs
from .gather import check_linearised


@dataclass(frozen=True)
class ExploreStudy:
    suite: SuiteName = "mini"
    tasks: SomeTasks = default(["fashion", "street"])
    methods: Annotated[list[str], Parameter("linearised ones")] = default(
        ["post-hoc-linearised", "linear", "taujp-efficient"]
    )
    seed: Seed = 0
    recipe: Changes = default({"steps": 40})
    images: Annotated[int, Parameter("validation images of each task; 0: all")] = 200
    train: Annotated[bool, Parameter("train what is not in the store yet; False: say what is missing")] = True
    store: Store = "runs"
    output: Annotated[str, Parameter("folder for explore.html and summary.json", path=WRITTEN)] = "runs/explore"

    def plan(self, suite: Suite) -> list[RunConfig]:
        check_linearised(self.methods)
        return run_configs(suite, self.tasks or list(suite.tasks), self.methods, [self.seed], **self.recipe)
