"""What does `35_training_rivals` ask, and what does it train?"""

from dataclasses import dataclass

from taujp_core.checks import one_of
from taujp_core.methods import find_method
from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig, run_config

from ..study import IMAGES, METHOD_NAMES, OUTPUT, SOME_TASKS, Grid, ask
from ..trainings import run_configs


@dataclass(frozen=True)
class RivalsPlan:
    """methods: each at its own settings; pictures: by the one data set that the penalty sees; weights: by the factor of λ;
    budget: by the steps. Weights and budget are of the first seed."""

    methods: list[RunConfig]
    pictures: dict[str, list[RunConfig]]
    weights: dict[float, list[RunConfig]]
    budget: dict[int, list[RunConfig]]


@dataclass(frozen=True)
class TrainingRivalsStudy(Grid):
    tasks: list[str] = ask(["street", "terrain"], SOME_TASKS)
    methods: list[str] = ask(["linear", "taujp-efficient", "attention-only"], "any training method")
    recipe: dict = ask({"steps": 8, "batch_size": 16}, "changes to the suite's recipe, for all methods; {}: none")
    penalty_images: list[str] = ask(
        ["dead-leaves"], "in place of other tasks', one a training: auxiliary pictures, the control", empty=True
    )
    factors: list[float] = ask([10.0], "that multiply each method's λ; 1 is there anyway", empty=True)
    budget_methods: list[str] = ask(["linear", "taujp-efficient"], METHOD_NAMES)
    budget_steps: list[int] = ask([2, 4], "lengths of their trainings", least=1, empty=True)
    images: int = ask(40, IMAGES)
    output: str = ask("runs/training-rivals", OUTPUT)

    def plan(self, suite: Suite) -> RivalsPlan:
        if 0 in self.factors or 1 in self.factors:
            raise ValueError(f"parameter factors: must be above 0 and not 1, which is there anyway, not {self.factors}")
        tasks, first = self.tasks or list(suite.tasks), self.seeds[:1]
        for name in self.penalty_images:
            accepted = [*suite.auxiliary, *(control.name for control in suite.controls)]
            one_of("pictures of parameter penalty_images", name, accepted)
        penalised = [method for method in self.methods if find_method(method).penalised]
        pictures = {
            name: run_configs(suite, tasks, penalised, self.seeds, **self.recipe | {"penalty_tasks": [name]})
            for name in (self.penalty_images if penalised else [])
        }
        weighted = {
            method: run_config(suite, tasks[0], method, tasks=tasks, **self.recipe).method_parameters()[
                "penalty_weight"
            ]
            for method in self.methods
            if "penalty_weight" in find_method(method).parameters
        }
        weights = {
            factor: [
                config
                for method, weight in weighted.items()
                for config in run_configs(
                    suite, tasks, [method], first, **self.recipe | {"penalty_weight": factor * float(weight)}
                )
            ]
            for factor in (self.factors if weighted else [])
        }
        budget = {
            steps: run_configs(suite, tasks, self.budget_methods, first, **self.recipe | {"steps": steps})
            for steps in self.budget_steps
        }
        methods = run_configs(suite, tasks, self.methods, self.seeds, **self.recipe)
        return RivalsPlan(methods, pictures, weights, budget)
