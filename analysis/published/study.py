"""What does `50_public_checkpoints` ask, and what does it train?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from taujp_core.checkpoints import load_checkpoints
from taujp_core.checks import one_of
from taujp_core.pretrained import load_clip
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import RunConfig, run_config

from ..paths import in_project
from ..study import FOLDER, READ, STORE, SUITE, WRITTEN, ask
from ..trainings import run_configs

OWN = ("standard", "linear", "taujp-efficient")  # ways to train one's own vector


@dataclass(frozen=True)
class PublishedPlan:
    """vectors: of the folder that is named, if one is; publish: the trainings in its place; names: of the published tasks;
    further: by task, of a published vector that is trained further, whose digest is to be the start; own: by method."""

    vectors: list[TaskVector]
    publish: list[RunConfig]
    names: list[str]
    further: dict[str, RunConfig]
    own: dict[str, list[RunConfig]]


@dataclass(frozen=True)
class PublishedStudy:
    suite: str = ask("mini", SUITE)
    published: str = ask(
        "", "folder of checkpoints; empty: `tasks`, fine-tuned here and written in foreign formats", path=FOLDER
    )
    base: str = ask(
        "", "the pre-trained checkpoint of that folder, if it has one: checked, and then subtracted", path=READ
    )
    tasks: list[str] = ask(
        ["mnist", "signs", "terrain"],
        "to publish where no folder is given",
        empty=True,
        of_suite=True,
        unless="published",
    )
    new_task: str = ask("street", "the task of one's own, which nobody has published", of_suite=True)
    continued: str = ask(
        "", "whose vector is trained further; empty: the one with the highest τJp on the others' tasks"
    )
    further: dict = ask({"steps": 6, "peak_lr": 0.0001}, "its recipe: changes to the suite's")
    recipe: dict = ask({"steps": 3}, "changes to the suite's recipe for the other trainings; {}: none")
    images: int = ask(20, "of each task's validation and test split to measure on")
    solve_images: int = ask(12, "unlabelled training images of each task for reduce_tau_jp", least=1)
    iterations: int = ask(6, "of its conjugate gradients", least=1)
    resamples: int = ask(39, "of each bootstrap", least=1, most=100_000)
    store: str = ask("runs", STORE)
    output: str = ask(
        "runs/public-checkpoints",
        "folder for exported checkpoints, tables, the merged model and summary.json",
        path=WRITTEN,
    )

    def plan(self, suite: Suite) -> PublishedPlan:
        if self.base and not self.published:
            raise ValueError("parameter base: belongs to a folder of checkpoints, and published names none")
        vectors = self.read(suite) if self.published else []
        names = [vector.task for vector in vectors] or self.tasks
        check_names(names, self.new_task, self.continued)
        further = {task: run_config(suite, task, "taujp-efficient", 0, names, **self.further) for task in names}
        own = {
            method: run_configs(suite, [self.new_task], [method], [0], [*names, self.new_task], **self.recipe)
            for method in OWN
        }
        publish = [] if vectors else run_configs(suite, names, ["standard"], [0], **self.recipe)
        return PublishedPlan(vectors, publish, names, further, own)

    def read(self, suite: Suite) -> list[TaskVector]:
        """The folder's vectors; their names are the tasks'."""
        clip = load_clip(suite.model, suite.pretrained)
        read = load_checkpoints(in_project(self.published), clip, in_project(self.base) if self.base else None)
        return [replace(vector, task=vector.task.lower()) for vector in read]


def check_names(published: Sequence[str], new_task: str, continued: str) -> None:
    """Raises ValueError for tasks that do not make a merge."""
    if len(published) < 2 or len(set(published)) < len(published):
        raise ValueError(f"a merge takes at least two different published tasks, not {', '.join(published) or 'none'}")
    if new_task in published:
        raise ValueError(f"{new_task} is published already: the new task must be another")
    if continued:
        one_of("published task to continue", continued, published)
