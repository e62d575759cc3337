"""What does `36_explore` ask, and what does it train?"""

from dataclasses import dataclass

from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig

from ..study import CHANGES, SEED, SHORT, SOME_TASKS, STORE, SUITE, TASKS, WRITTEN, ask
from ..trainings import run_configs
from .gather import check_linearised


@dataclass(frozen=True)
class ExploreStudy:
    suite: str = ask("mini", SUITE)
    tasks: list[str] = ask(TASKS, SOME_TASKS)
    methods: list[str] = ask(["post-hoc-linearised", "linear", "taujp-efficient"], "linearised ones")
    seed: int = ask(0, SEED)
    recipe: dict = ask(SHORT, CHANGES)
    images: int = ask(100, "validation images of each task; 0: all")
    train: bool = ask(True, "train what is not in the store yet; False: say what is missing")
    store: str = ask("runs", STORE)
    output: str = ask("runs/explore", "folder for explore.html and summary.json", path=WRITTEN)

    def plan(self, suite: Suite) -> list[RunConfig]:
        check_linearised(self.methods)
        return run_configs(suite, self.tasks or list(suite.tasks), self.methods, [self.seed], **self.recipe)
