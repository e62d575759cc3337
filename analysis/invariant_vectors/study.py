"""What does `62_invariant_vectors` ask, and what does it train?"""

from dataclasses import dataclass

from taujp_core.methods import find_method
from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig

from ..study import IMAGES, OUTPUT, SEEDS, STORE, SUITE, ask, need_tasks
from ..trainings import run_configs
from .coloured import coloured_suite
from .trained import PARTNER, plan


@dataclass(frozen=True)
class InvariantPlan:
    """coloured: by kind, task and seed, trainings on coloured pictures, which are made here; partners: by application and
    seed, of the other tasks' vectors."""

    coloured: dict[tuple[str, str, int], RunConfig]
    partners: dict[tuple[str, int], list[RunConfig]]


@dataclass(frozen=True)
class InvariantStudy:
    suite: str = ask("mini", SUITE)
    tasks: list[str] = ask(["mnist"], "grey tasks of the suite that are coloured", empty=True, of_suite=True)
    others: list[str] = ask(
        ["fashion"], "grey tasks whose vectors they are merged with, and whose pictures are crossed", of_suite=True
    )
    methods: list[str] = ask(["irmv1", "irmv1-linear"], "also ib-irm, pair, bayesian-irm, and each with -linear")
    agreements: list[float] = ask([0.9, 0.8], "how often colour goes with the label, an environment each")
    seeds: list[int] = ask([0], SEEDS)
    recipe: dict = ask(
        {"steps": 4, "batch_size": 16, "penalty_batch_size": 16, "penalty_weight": 1}, "changes; {}: none"
    )
    partner_recipe: dict = ask({"steps": 8, "batch_size": 32}, "changes for the other tasks' vectors; {}: none")
    known: list[str] = ask(
        ["mnist", "fashion"],
        "tasks that those were trained to live with; []: all of the suite",
        empty=True,
        of_suite=True,
    )
    images: int = ask(40, IMAGES)
    store: str = ask("runs", STORE)
    output: str = ask("runs/invariant-vectors", OUTPUT)

    def plan(self, suite: Suite) -> InvariantPlan:
        need_tasks(self.tasks, 1)
        for task in self.tasks:
            if self.others == [task]:
                raise ValueError(
                    f"parameter others: {task} is a coloured task itself, and is not merged with its own vector"
                )
        made = coloured_suite(suite, self.tasks, self.agreements)
        environments = len(self.agreements)
        coloured = plan(made, self.tasks, self.others, self.methods, self.seeds, environments, **self.recipe)
        partners = {
            (way, seed): run_configs(
                suite, self.others, [PARTNER[way]], [seed], self.known or None, **self.partner_recipe
            )
            for way in dict.fromkeys(find_method(method).application.name for method in self.methods)
            for seed in self.seeds
        }
        return InvariantPlan(coloured, partners)
