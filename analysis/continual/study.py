"""What does `40_continual` ask, and what does it train?"""

from dataclasses import dataclass

from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig

from ..study import CHANGES, OUTPUT, STORE, SUITE, ask
from .sequences import arrival_orders, sequence_configs


@dataclass(frozen=True)
class ContinualPlan:
    """orders: of arrival, by their number from 1; configs: by method and number of the order, one per arrival."""

    orders: dict[int, list[str]]
    configs: dict[tuple[str, int], list[RunConfig]]


@dataclass(frozen=True)
class ContinualStudy:
    suite: str = ask("mini", SUITE)
    tasks: list[str] = ask(
        ["uci", "fashion"],
        "at least two of the suite's tasks, in their first order; [] means all",
        empty=True,
        of_suite=True,
    )
    # Each order is a training of all tasks.
    orders: int = ask(2, "orders of arrival: the first is that of tasks, the others are drawn", least=1, most=1_000)
    methods: list[str] = ask(["sequential", "taujp-efficient"], "any of the table above")
    reservoir: int = ask(100, "images that taujp-memory keeps of each past task")
    seed: int = ask(0, "of the trainings")
    recipe: dict = ask({"steps": 4, "batch_size": 32}, CHANGES)
    store: str = ask("runs", STORE)
    output: str = ask("runs/mini-continual", OUTPUT)

    def plan(self, suite: Suite) -> ContinualPlan:
        orders = dict(enumerate(arrival_orders(self.tasks or list(suite.tasks), self.orders), 1))
        configs = {
            (method, number): sequence_configs(suite, order, method, self.reservoir, self.seed, **self.recipe)
            for method in self.methods
            for number, order in orders.items()
        }
        return ContinualPlan(orders, configs)
