"""Which model, which tasks, which control, which recipe? What belongs together is a suite."""

from .suite import Suite, as_suite, load_suite, own_suite, own_task

__all__ = ["Suite", "as_suite", "load_suite", "own_suite", "own_task"]
