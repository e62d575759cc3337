"""What does `33_disentanglement` ask, and what does it train?"""

from dataclasses import dataclass

from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig

from ..study import KNOWN, METHOD_NAMES, OUTPUT, SEED, SHORT, STORE, SUITE, TASKS, ask
from ..trainings import run_configs


@dataclass(frozen=True)
class DisentanglementStudy:
    suite: str = ask("mini", SUITE)
    pair: list[str] = ask(["textures", "terrain"], "the two tasks: α₁ is the first one's", of_suite=True)
    tasks: list[str] = ask(TASKS, KNOWN)
    methods: list[str] = ask(["standard", "linear", "taujp-efficient"], METHOD_NAMES)
    seed: int = ask(0, SEED)
    steps: int = ask(SHORT["steps"], "optimiser steps per task; 0: the suite's recipe")
    batch_size: int = ask(SHORT["batch_size"], "images of the task per step; 0: the suite's recipe")
    penalty_weight: float = ask(SHORT["penalty_weight"], "λ")
    # 401 are 0.01 apart: finer than a picture of the map can show.
    points: int = ask(9, "coefficients on each axis, from -2 to 2", least=5, most=401)
    images: int = ask(80, "validation images of each task")
    store: str = ask("runs", STORE)
    output: str = ask("runs/disentanglement", OUTPUT)

    def plan(self, suite: Suite) -> list[RunConfig]:
        if len(self.pair) != 2:
            raise ValueError(f"parameter pair: must be two different tasks, not {', '.join(self.pair)}")
        if self.points % 4 != 1:
            raise ValueError(f"parameter points: 0 and 1 must be among them, as with 5, 9, 13, …, not {self.points}")
        changes = {"steps": self.steps, "batch_size": self.batch_size}
        changes = {name: value for name, value in changes.items() if value} | {"penalty_weight": self.penalty_weight}
        known = self.tasks or list(suite.tasks)
        return run_configs(suite, self.pair, self.methods, [self.seed], known, **changes)
