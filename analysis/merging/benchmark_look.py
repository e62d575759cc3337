"""Are a benchmark's checkpoints there? Asked before its data sets are downloaded.

python -m analysis.merging.benchmark_look clip8-b32 tall-masks-b32
python -m analysis.merging.benchmark_look clip8-l14 task-vectors-l14 --root checkpoints/
"""

import argparse
import sys
from pathlib import Path

from taujp_core.checkpoints import families
from taujp_core.checkpoints.published import there
from taujp_core.suites import load_suite

from ..paths import in_project
from .benchmark import find_checkpoints


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 if they are, 1 if not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite")
    parser.add_argument("checkpoints", help="a published family, or a folder")
    parser.add_argument("--root", type=Path, help="the folder of a family that is not on the hub")
    parser.add_argument("--without-gone", action="store_true", help="name those that are gone, and go on")
    asked = parser.parse_args(arguments)
    try:
        suite = load_suite(asked.suite, complete=False)
        root = in_project(asked.root) if asked.root else None
        find_checkpoints([asked.checkpoints], suite, list(suite.tasks), root)
        if asked.checkpoints in families():
            there(asked.checkpoints, list(suite.tasks), root, asked.without_gone)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
