"""What does `51_merge` ask, and what does it train?"""

from dataclasses import dataclass
from typing import Annotated

from taujp_core.suites import Suite
from taujp_core.training.config import RunConfig

from ..study import FOLDER, READ, WRITTEN, Parameter, Store, default, need_tasks
from ..trainings import run_configs


@dataclass(frozen=True)
class MergeStudy:
    suite: Annotated[
        str,
        Parameter("whose model the checkpoints are of; its tasks' class names, if theirs have the same names"),
    ] = "mini"
    checkpoints: Annotated[
        str, Parameter("folder of fine-tuned checkpoints; empty: `tasks` of the suite, fine-tuned here", path=FOLDER)
    ] = ""
    base: Annotated[
        str,
        Parameter("the pre-trained checkpoint, if it was published with them: checked, and then subtracted", path=READ),
    ] = ""
    images: Annotated[
        str,
        Parameter(
            "folder with a folder of pictures for each checkpoint; empty: training images of the suite", path=FOLDER
        ),
    ] = ""
    solve_images: Annotated[
        int, Parameter("unlabelled images of each task to merge on; a few hundred are better", least=1)
    ] = 32
    judge_images: Annotated[
        int, Parameter("more of them, at most half of what is there, that the merge never sees: to judge by")
    ] = 32
    rounds: Annotated[int, Parameter("of the merge, at most; 24 let held-out images decide", least=1)] = 2
    test_images: Annotated[
        int, Parameter("of each task of the suite, with labels, to measure accuracies on; 0: no labels are read")
    ] = 100
    tasks: Annotated[
        list[str],
        Parameter(
            "to fine-tune where no checkpoints are given; [] means all", empty=True, of_suite=True, unless="checkpoints"
        ),
    ] = default(["fashion", "street"])
    recipe: Annotated[dict, Parameter("changes to the suite's recipe for these")] = default({"steps": 40})
    seed: Annotated[int, Parameter("of these")] = 0
    store: Store = "runs"
    output: Annotated[
        str,
        Parameter("a folder (Hugging Face's layout), or a name that ends in .safetensors (open_clip's)", path=WRITTEN),
    ] = "runs/merge/merged"

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
