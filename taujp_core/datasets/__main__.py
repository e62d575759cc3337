"""Are the data sets there and right, and can what is missing be had?

python -m taujp_core.datasets check | download: are the data sets there and right, and get those that are not.
"""

import argparse
import os
import sys
from pathlib import Path

from ..progress import say
from ..suites import Suite, load_suite
from ..tasks import Task
from .check import check_task, hub_of, report
from .folders import data_folder
from .sources import hub

DEFAULT = "clip8-b32"


def main(arguments: list[str] | None = None, program: str = "python -m taujp_core.datasets") -> int:
    """Exit code: 0 if all is well, 1 if something is wrong or missing, 2 for arguments that are not understood."""
    parser = argparse.ArgumentParser(prog=program, description="The data sets of a suite.")
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--suite", default=DEFAULT, metavar="NAME", help=f"default: {DEFAULT}")
    shared.add_argument("--root", type=Path, metavar="DIR", help="default: TAUJP_DATA, else data in the cache folder")
    commands.add_parser("check", parents=[shared], help="counts, classes, unreadable files, test images in train")
    fetch = commands.add_parser("download", parents=[shared], help="from the Hugging Face hub; can be stopped")
    which = fetch.add_mutually_exclusive_group()
    which.add_argument("--tasks", nargs="+", metavar="TASK", help="default: all of the suite")
    which.add_argument("--without-control", action="store_true", help="all of the suite but its control")
    chosen = parser.parse_args(arguments)
    if chosen.root:
        os.environ["TAUJP_DATA"] = str(chosen.root)
    try:
        suite = load_suite(chosen.suite, complete=False)
        if chosen.command == "check":
            return check(suite)
        controls = [control.name for control in suite.controls] if chosen.without_control else []
        return download(suite, chosen.tasks or [name for name in suite.with_auxiliary() if name not in controls])
    except (OSError, TypeError, ValueError) as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
    return 1


def check(suite: Suite) -> int:
    findings = [check_task(task, suite.name) for task in suite.datasets().values()]
    findings += [check_task(pictures, suite.name, ("train",)) for pictures in suite.auxiliary.values()]
    print(report(suite.name, findings))
    return int(any(finding.problems for finding in findings))


def download(suite: Suite, names: list[str]) -> int:
    """All that can be had are fetched, those that cannot are told; without a network nothing more is tried."""
    failed = 0
    tasks = [suite.task(name) for name in names]
    for number, task in enumerate(tasks):
        try:
            print(f"{task.name}: {get(task)}", flush=True)
        except ConnectionError as error:
            others = ", ".join(other.name for other in tasks[number + 1 :] if not is_there(other))
            print(f"{error}{f'; missing too: {others}' if others else ''}", file=sys.stderr)
            return 1
        except (OSError, ValueError) as error:
            failed += 1
            print(error, file=sys.stderr)
    return int(failed > 0)


def get(task: Task) -> str:
    """What became of it."""
    repository = hub_of(task)
    try:
        return f"is there, {task.locate().name}"
    except FileNotFoundError as error:
        if repository is None:
            return str(error)
    say(f"{task.name}: downloading {repository.repo}")
    return f"downloaded to {hub.download(task.name, repository, data_folder())}"


def is_there(task: Task) -> bool:
    try:
        return bool(task.locate())
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(main())
