"""What does `53_forecast` ask, and what does it train?"""

from dataclasses import dataclass

from taujp_core.checks import one_of
from taujp_core.suites import Suite

from ..stressed_experts import LongOne, Planned, as_trained, check_long, stressed, with_twin
from ..study import IMAGES, OUTPUT, Grid, ask, need_tasks


@dataclass(frozen=True)
class ForecastStudy(Grid):
    methods: list[str] = ask(["standard", "linear"], "any training method")
    unlabelled: list[int] = ask([16, 64], "numbers of validation images per task to forecast from", least=4)
    sizes: list[int] = ask(
        [3], "numbers of vectors in sums; pairs and all vectors are there anyway", least=3, empty=True
    )
    alphas: list[float] = ask([0.3, 0.6, 1.0], "coefficients of these sums")
    choices: int = ask(4, "sums of each number of vectors, drawn by a fixed seed", least=1)
    merge_images: int = ask(16, "training images per task that our merge looks at; they need no labels", least=1)
    rounds: int = ask(2, "of our merge, at most; 24 let held-out images decide", least=1)
    stressed: list[str] = ask(["standard"], "methods whose experts are put to two stress tests, too", empty=True)
    long_rate: float = ask(4.0, "times the recipe's learning rate in the training of the first task's long vector")
    long_steps: int = ask(2, "times the recipe's steps", least=1)
    images: int = ask(100, IMAGES)
    output: str = ask("runs/forecast", OUTPUT)

    def plan(self, suite: Suite) -> list[Planned]:
        tasks = self.tasks or list(suite.tasks)
        need_tasks(tasks, 3)  # calibrations are learnt on other tasks than a forecast's, and those must interfere
        for size in self.sizes:
            if size > len(tasks):
                raise ValueError(f"parameter sizes: must be from 3 to {len(tasks)}, the number of tasks, not {size}")
        if not all(self.alphas):
            raise ValueError("parameter alphas: must be above 0, and one is 0")
        plan = [as_trained(suite, tasks, method, seed, self.recipe) for method in self.methods for seed in self.seeds]
        can_be = [method for method in with_twin() if method in self.methods]
        for method in self.stressed:
            one_of("method of parameter stressed", method, can_be)
        long = LongOne(tasks[0], self.long_rate, self.long_steps)
        check_long(long, tasks)
        under = [stressed(usual, tasks, self.recipe, long) for usual in plan if usual.method in self.stressed]
        return plan + [one for both in under for one in both]
