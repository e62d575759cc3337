"""Are a benchmark's checkpoints there? Asked before its data sets are downloaded.

    python -m analysis.merging.benchmark_look '{suite: clip8-b32, tasks: [], checkpoints: [tall-masks-b32]}'

The argument holds parameters of `54_benchmark`, as papermill's `-y` takes them.
"""

import sys
from dataclasses import fields

import yaml

from taujp_core.checkpoints import families
from taujp_core.checkpoints.published import missing, there
from taujp_core.checks import check_keys
from taujp_core.suites import load_suite

from ..paths import in_project
from .benchmark import find_checkpoints
from .benchmark_study import BenchmarkStudy


def look(parameters: dict) -> None:
    """Raises what `find_checkpoints` and `there` raise, ValueError for unknown parameters, and for an address or a path that
    leads nowhere."""
    check_keys("the benchmark", parameters, [field.name for field in fields(BenchmarkStudy)])
    asked = BenchmarkStudy(**parameters)
    suite = load_suite(asked.suite, complete=False)
    tasks, root = asked.tasks or list(suite.tasks), in_project(asked.root) if asked.root else None
    places = find_checkpoints(asked.checkpoints, suite, tasks, root)
    if places and places[0] in families():
        there(places[0], tasks, root, asked.without_gone)
    elif gone := [reason for place in places if (reason := missing(place))]:
        raise ValueError("; ".join(gone))


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 if they are, 1 if not."""
    (text,) = sys.argv[1:] if arguments is None else arguments
    try:
        look(yaml.safe_load(text))
    except (OSError, TypeError, ValueError, yaml.YAMLError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
