"""What does `55_stress` ask, and what does it train?"""

from dataclasses import dataclass

from taujp_core.checks import one_of
from taujp_core.methods import METHODS
from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig, run_config

from ..study import CHANGES, OUTPUT, SEEDS, STORE, SUITE, ask, need_tasks
from ..trainings import run_configs
from .arena import check_merges
from .stress import AS_TRAINED, LONG, SMOOTHED, UNSURE, Planned


@dataclass(frozen=True)
class StressStudy:
    suite: str = ask("mini", SUITE)
    tasks: list[str] = ask(
        ["street", "signs", "terrain"],
        "some of the suite's tasks, two or more; [] means all",
        empty=True,
        of_suite=True,
    )
    methods: list[str] = ask(["standard", "taujp-strict"], "whose vectors are added; also linear")
    merges: list[str] = ask(["ours", "TSV-M"], "beside the plain sum")
    merged: list[str] = ask(["standard"], "methods whose vectors these merges merge", empty=True)
    seeds: list[int] = ask([0], SEEDS)
    recipe: dict = ask({"steps": 6, "batch_size": 16, "penalty_batch_size": 8}, CHANGES)
    long_task: str = ask("street", "whose expert gets the long vector")
    long_rate: float = ask(4.0, "times the recipe's learning rate in its training")
    long_steps: int = ask(2, "times the recipe's steps", least=1)
    repair_steps: int = ask(6, "of distillation per repaired expert; the authors take 500", least=1)
    repair_images: int = ask(48, "unlabelled training images per task for it; 0: all")
    repair_batch: int = ask(16, "of them per step; the authors take 128", least=1)
    rounds: int = ask(1, "of our merge, at most", least=1)
    merge_images: int = ask(8, "unlabelled training images per task to merge on", least=1)
    tuning_images: int = ask(30, "of each validation split, to tune α on; 0: all")
    images: int = ask(100, "of each test split to measure on; 0: all")
    store: str = ask("runs", STORE)
    output: str = ask("runs/mini-stress", OUTPUT)

    def plan(self, suite: Suite) -> list[Planned]:
        tasks = self.tasks or list(suite.tasks)
        need_tasks(tasks, 2)
        check_merges(self.merges)
        one_of("task of parameter long_task", self.long_task, tasks)
        twins = [name.removesuffix(SMOOTHED) for name in METHODS if name.endswith(SMOOTHED)]
        for method in self.methods:
            one_of("method", method, twins)
        for method in self.merged:
            one_of("method of parameter merged", method, self.methods)
        if not self.long_rate > 0:
            raise ValueError(f"parameter long_rate: must be above 0, not {self.long_rate}")
        plan = []
        for method in self.methods:
            for seed in self.seeds:
                ours = run_configs(suite, tasks, [method], [seed], **self.recipe)
                long = [self.long(one, tasks) if one.task == self.long_task else one for one in ours]
                smoothed = run_configs(suite, tasks, [method + SMOOTHED], [seed], **self.recipe)
                for condition, configs in {AS_TRAINED: ours, LONG: long, UNSURE: smoothed}.items():
                    plan.append(Planned(method, seed, condition, ours[0].peak_lr, configs))
        return plan

    def long(self, config: RunConfig, tasks: list[str]) -> RunConfig:
        """The training of the same expert at a larger learning rate, with more steps."""
        changes = {"steps": self.long_steps * config.steps, "peak_lr": self.long_rate * config.peak_lr}
        return run_config(
            config.suite, config.task, config.method, config.seed, tasks=tasks, **{**self.recipe, **changes}
        )
