"""What does `32_analogy` ask, and what does it train?"""

from dataclasses import dataclass
from typing import Annotated

from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig

from ..study import Changes, Images, Methods, Output, Parameter, Seeds, Store, SuiteName, default
from ..trainings import run_configs
from .quadruples import Quadruple, named_quadruples, tasks_of


@dataclass(frozen=True)
class AnalogyPlan:
    quadruples: list[Quadruple]
    configs: list[RunConfig]


@dataclass(frozen=True)
class AnalogyStudy:
    suite: SuiteName = "mini-domains"
    quadruples: Annotated[list[list[str]], Parameter("see above; [] means all", empty=True)] = default(
        [["uci-inverted", "mnist-inverted", "uci", "mnist"]]
    )
    methods: Methods = default(["standard", "linear", "taujp-efficient"])
    seeds: Seeds = default([0])
    recipe: Changes = default({"steps": 4, "batch_size": 32})
    images: Images = 60
    store: Store = "runs"
    output: Output = "runs/mini-analogy"

    def plan(self, suite: Suite) -> AnalogyPlan:
        quadruples = named_quadruples(suite, self.quadruples)
        tasks = tasks_of(quadruples, suite)
        return AnalogyPlan(quadruples, run_configs(suite, tasks, self.methods, self.seeds, **self.recipe))
