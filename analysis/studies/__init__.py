"""How does a study of hundreds of trainings get done, on two cores or a cluster, whatever is killed meanwhile?

A study is a YAML file (`study`): which trainings, and which notebooks read them. Each is a point (`plan`): a notebook
with parameters, done if its executed notebook exists and not before (`points`). The driver (`driver`) hands out the
points that are not done, to its own process (`here`) or to Dask workers (`cluster`); nothing but files is remembered.

    python -m analysis.studies notebooks/experiments/NAME.yaml [--workers N] [--scheduler-file F] [--dry-run]
"""

__all__ = ["collect"]


def __getattr__(name: str) -> object:
    """`collect`, when it is asked for: imports would take seconds before the command could answer Ctrl-C."""
    if name == "collect":
        from .records import collect

        return collect
    raise AttributeError(f"module {__name__} has no attribute {name}")
