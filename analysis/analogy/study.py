"""What does `32_analogy` ask, and what does it train?"""

from dataclasses import dataclass

from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig

from ..study import CHANGES, IMAGES, METHOD_NAMES, OUTPUT, SEEDS, STORE, SUITE, ask
from ..trainings import run_configs
from .quadruples import Quadruple, named_quadruples, tasks_of


@dataclass(frozen=True)
class AnalogyPlan:
    quadruples: list[Quadruple]
    configs: list[RunConfig]


@dataclass(frozen=True)
class AnalogyStudy:
    suite: str = ask("mini-domains", SUITE)
    quadruples: list[list[str]] = ask(
        [["uci-inverted", "mnist-inverted", "uci", "mnist"]], "see above; [] means all", empty=True
    )
    methods: list[str] = ask(["standard", "linear", "taujp-efficient"], METHOD_NAMES)
    seeds: list[int] = ask([0], SEEDS)
    recipe: dict = ask({"steps": 4, "batch_size": 32}, CHANGES)
    images: int = ask(60, IMAGES)
    store: str = ask("runs", STORE)
    output: str = ask("runs/mini-analogy", OUTPUT)

    def plan(self, suite: Suite) -> AnalogyPlan:
        quadruples = named_quadruples(suite, self.quadruples)
        tasks = tasks_of(quadruples, suite)
        return AnalogyPlan(quadruples, run_configs(suite, tasks, self.methods, self.seeds, **self.recipe))
