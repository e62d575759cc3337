"""What does `51_merge` ask, and what does it train?"""

from dataclasses import dataclass

from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig

from ..study import FOLDER, READ, SHORT, STORE, WRITTEN, ask, need_tasks
from ..trainings import run_configs


@dataclass(frozen=True)
class MergeStudy:
    suite: str = ask(
        "mini", "whose model the checkpoints are of; its tasks' class names, if theirs have the same names"
    )
    checkpoints: str = ask(
        "", "folder of fine-tuned checkpoints; empty: `tasks` of the suite, fine-tuned here", path=FOLDER
    )
    base: str = ask(
        "", "the pre-trained checkpoint, if it was published with them: checked, and then subtracted", path=READ
    )
    images: str = ask(
        "", "folder with a folder of pictures for each checkpoint; empty: training images of the suite", path=FOLDER
    )
    solve_images: int = ask(32, "unlabelled images of each task to merge on; a few hundred are better", least=1)
    judge_images: int = ask(32, "more of them, at most half of what is there, that the merge never sees: to judge by")
    rounds: int = ask(2, "of the merge, at most; 24 let held-out images decide", least=1)
    test_images: int = ask(
        100, "of each task of the suite, with labels, to measure accuracies on; 0: no labels are read"
    )
    tasks: list[str] = ask(
        ["street", "signs"],
        "to fine-tune where no checkpoints are given; [] means all",
        empty=True,
        of_suite=True,
        unless="checkpoints",
    )
    recipe: dict = ask(SHORT, "changes to the suite's recipe for these")
    seed: int = ask(0, "of these")
    store: str = ask("runs", STORE)
    output: str = ask(
        "runs/merge/merged",
        "a folder (Hugging Face's layout), or a name that ends in .safetensors (open_clip's)",
        path=WRITTEN,
    )

    def plan(self, suite: Suite) -> list[RunConfig]:
        """Of finished checkpoints nothing is trained."""
        if self.checkpoints:
            return []
        if self.base:
            raise ValueError("parameter base: belongs to a folder of checkpoints, and checkpoints names none")
        tasks = self.tasks or list(suite.tasks)
        need_tasks(tasks, 2)
        # Of the penalty a standard training knows nothing; a change to it that nobody accepts is refused here as well.
        run_configs(suite, tasks[:1], ["taujp-efficient"], [self.seed], tasks, **self.recipe)
        return run_configs(suite, tasks, ["standard"], [self.seed], **self.recipe)
