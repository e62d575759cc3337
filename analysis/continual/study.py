"""What does `40_continual` ask, and what does it train?"""

from dataclasses import dataclass
from typing import Annotated

from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig

from ..study import Changes, Output, Parameter, Store, SuiteName, default
from .sequences import arrival_orders, sequence_configs


@dataclass(frozen=True)
class ContinualPlan:
    """orders: of arrival, by their number from 1; configs: by method and number of the order, one per arrival."""

    orders: dict[int, list[str]]
    configs: dict[tuple[str, int], list[RunConfig]]


@dataclass(frozen=True)
class ContinualStudy:
    suite: SuiteName = "mini"
    tasks: Annotated[
        list[str],
        Parameter("at least two of the suite's tasks, in their first order; [] means all", empty=True, of_suite=True),
    ] = default(["uci", "fashion"])
    # Each order is a training of all tasks.
    orders: Annotated[
        int, Parameter("orders of arrival: the first is that of tasks, the others are drawn", least=1, most=1000)
    ] = 2
    methods: Annotated[list[str], Parameter("any of the table above")] = default(["sequential", "taujp-efficient"])
    reservoir: Annotated[int, Parameter("images that taujp-memory keeps of each past task")] = 100
    seed: Annotated[int, Parameter("of the trainings")] = 0
    recipe: Changes = default({"steps": 4, "batch_size": 32})
    store: Store = "runs"
    output: Output = "runs/mini-continual"

    def plan(self, suite: Suite) -> ContinualPlan:
        orders = dict(enumerate(arrival_orders(self.tasks or list(suite.tasks), self.orders), 1))
        configs = {
            (method, number): sequence_configs(suite, order, method, self.reservoir, self.seed, **self.recipe)
            for method in self.methods
            for number, order in orders.items()
        }
        return ContinualPlan(orders, configs)
