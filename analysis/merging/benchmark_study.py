"""What does `54_benchmark` ask, and what does it train?"""

from dataclasses import dataclass
from pathlib import Path

from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig

from ..paths import in_project
from ..study import CHANGES, FOLDER, OUTPUT, SHORT, STORE, SUITE, ask, need_tasks
from ..trainings import run_configs
from .arena import OURS_WITH_CONTROL, check_merges
from .benchmark import find_checkpoints


@dataclass(frozen=True)
class BenchmarkPlan:
    """places, root: of the checkpoints, for `read_vectors`; trainings: that stand for checkpoints where none are given."""

    places: list[str]
    root: Path | None
    trainings: list[RunConfig]


@dataclass(frozen=True)
class BenchmarkStudy:
    suite: str = ask("mini", SUITE)
    tasks: list[str] = ask(
        ["street", "signs", "terrain"],
        "some of the suite's tasks, two or more; [] means all",
        empty=True,
        of_suite=True,
    )
    checkpoints: list[str] = ask(
        [], "a published family, a folder, or files in the order of `tasks`; []: trained here", empty=True
    )
    root: str = ask("", "folder of a family that is not on the hub", path=FOLDER)
    without_gone: bool = ask(False, "whether a checkpoint that is gone is left out; False: it is refused")
    recipe: dict = ask(SHORT, CHANGES)
    merges: list[str] = ask(["ours", "task arithmetic", "TIES", "TSV-M", "RegMean"], "that are compared")
    own_images: list[int] = ask([8, 16], "unlabelled training images per task for our merge", least=1)
    merge_images: int = ask(16, "the same for all other merges that look at images", least=1)
    rounds: int = ask(2, "of our merge, at most", least=1)
    task_counts: list[int] = ask([2, 3], "merges of the first so many tasks")
    control: bool = ask(False, "whether accuracies on the suite's control are measured, too")
    tuning_images: int = ask(30, "of each validation split, to tune α on; 0: all")
    images: int = ask(100, "of each test split to measure on; 0: all")
    store: str = ask("runs", STORE)
    output: str = ask("runs/mini-benchmark", OUTPUT)

    def plan(self, suite: Suite) -> BenchmarkPlan:
        """Data sets and local checkpoints must be there. Nothing is downloaded."""
        tasks = self.tasks or list(suite.tasks)
        need_tasks(tasks, 2)
        check_merges(self.merges)
        if OURS_WITH_CONTROL in self.merges and not (self.control and suite.controls):
            raise ValueError(f"parameter merges: {OURS_WITH_CONTROL!r} takes control: true, and a suite with a control")
        for count in self.task_counts:
            if not 2 <= count <= len(tasks):
                raise ValueError(
                    f"parameter task_counts: must be from 2 to {len(tasks)}, the number of tasks, not {count}"
                )
        root = in_project(self.root) if self.root else None
        places = find_checkpoints(self.checkpoints, suite, tasks, root)
        for task in [*map(suite.task, tasks), *(suite.controls if self.control else ())]:
            task.locate()
        trainings = [] if places else run_configs(suite, tasks, ["standard"], [0], **self.recipe)
        return BenchmarkPlan(places, root, trainings)
