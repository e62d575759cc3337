"""What does `10_train` ask, and what does it train?"""

from dataclasses import dataclass

from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig, run_config

from ..study import CHANGES, KNOWN, SEED, SHORT, STORE, SUITE, TASKS, ask


@dataclass(frozen=True)
class TrainingStudy:
    suite: str = ask("mini", SUITE)
    task: str = ask("street", "one of the suite's tasks, or its control")
    method: str = ask("taujp-efficient", "standard, linear, taujp-strict, taujp-efficient or post-hoc-linearised")
    seed: int = ask(0, SEED)
    known: list[str] = ask(TASKS, KNOWN)
    recipe: dict = ask(SHORT, CHANGES)
    store: str = ask("runs", STORE)

    def plan(self, suite: Suite) -> RunConfig:
        return run_config(suite, self.task, self.method, self.seed, self.known or None, **self.recipe)
