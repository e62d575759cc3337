"""Which suites are there? A suite names a model, tasks, a control (a data set that should not change) and a recipe."""

from .suite import Suite, as_suite, load_suite, own_suite, own_task

__all__ = ["Suite", "as_suite", "load_suite", "own_suite", "own_task"]
