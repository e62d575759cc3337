"""What does `55_stress` ask, and what does it train?"""

from dataclasses import dataclass

from taujp_core.checks import one_of
from taujp_core.suites import Suite

from ..stressed_experts import LongOne, Planned, as_trained, check_long, stressed, with_twin
from ..study import CHANGES, OUTPUT, SEEDS, STORE, SUITE, ask, need_tasks
from .arena import check_merges


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
        long = LongOne(self.long_task, self.long_rate, self.long_steps)
        check_long(long, tasks)
        for method in self.methods:
            one_of("method", method, with_twin())
        for method in self.merged:
            one_of("method of parameter merged", method, self.methods)
        plan = []
        for method in self.methods:
            for seed in self.seeds:
                usual = as_trained(suite, tasks, method, seed, self.recipe)
                plan += [usual, *stressed(usual, tasks, self.recipe, long)]
        return plan
