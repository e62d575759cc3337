"""What belongs together in a suite? A model, its tasks, the control that negation must not hurt, pictures of no task, the recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import open_clip

from ..checks import one_of
from ..datasets.check import check_own
from ..datasets.folders import below_data
from ..datasets.sources.in_memory import in_memory
from ..datasets.user_inputs import by_name, unlabelled_task
from ..files import read_json
from ..models import ASSETS, Clip
from ..tasks import Place, Task
from . import files as suite_files
from .entries import check_name, make_task
from .recipe import check_recipe

__all__ = ["Suite", "Task", "as_suite", "load_suite", "own_suite", "own_task"]


@dataclass(frozen=True)
class Suite:
    """`recipe` holds the suite's hyper-parameters for fine-tuning, keyed as the fields of RunConfig;
    peak_lr may differ by method, and epochs, for all tasks or by task, stand for steps where there are none.
    `auxiliary` are pictures of no task: a penalty uses their images, without labels, where `penalty_tasks` names them."""

    name: str
    model: str
    pretrained: str | None
    tasks: dict[str, Task]
    control: Task | None  # None: nothing is to be kept beside the tasks
    recipe: dict
    auxiliary: dict[str, Task] = field(default_factory=dict)

    def datasets(self) -> dict[str, Task]:
        """The tasks and, last, the control if there is one."""
        return self.tasks | {task.name: task for task in self.controls}

    def with_auxiliary(self) -> dict[str, Task]:
        """The tasks, the control and the auxiliary pictures: all whose images a training can use."""
        return self.datasets() | self.auxiliary

    @property
    def controls(self) -> tuple[Task, ...]:
        """The control, or nothing where there is none."""
        return (self.control,) if self.control else ()

    def needed_control(self) -> Task:
        """Raises ValueError where there is none."""
        if self.control is None:
            raise ValueError(f"the suite {self.name} is without a control, and one is needed here")
        return self.control

    def task(self, name: str) -> Task:
        """The task, control or auxiliary pictures of this name (the control is trained on as well). Raises ValueError
        for another name."""
        return self.with_auxiliary()[one_of("task", name, self.with_auxiliary())]


def as_suite(suite: Suite | str) -> Suite:
    """A suite by its name, or as it is. Raises what `load_suite` does, TypeError for something else."""
    if not isinstance(suite, Suite | str):
        raise TypeError(f"a suite is a Suite or the name of one, not {type(suite).__name__}")
    return suite if isinstance(suite, Suite) else load_suite(suite)


def load_suite(name: str, complete: bool = True) -> Suite:
    """The suite of a file, its data of one's own checked: class folders are those of the classes, no split is empty,
    every picture can be decoded (each is, when it is first seen).

    `complete=False` leaves data alone that are not there, and checks none: to download or to report them. Raises
    ValueError or TypeError for an unknown name and for what is wrong in the file, FileNotFoundError for data of one's
    own that are not there, each in a sentence that names the file.
    """
    files = suite_files.suite_files()
    path = files[one_of("suite", name, sorted(files))]
    try:
        raw = suite_files.read_suite(path)
        for key in suite_files.NEEDED:
            if key not in raw:
                raise ValueError(f"{path} is without {key}: a suite has {', '.join(suite_files.NEEDED)}")
        size = model_size(raw["model"])
        tasks: list[Task] = []
        controls: list[Task] = []
        auxiliary: list[Task] = []
        places: dict[str, Place | None] = {}
        for made, section in ((tasks, "tasks"), (controls, "control"), (auxiliary, "auxiliary")):
            for task, entry in raw.get(section, {}).items():
                if section == "auxiliary" and isinstance(entry, str):
                    found, places[task] = unlabelled_task(task, below_data(entry), size), None
                else:
                    found, places[task] = make_task(task, entry, size, complete)
                made.append(found)
        if len(controls) != 1:
            raise ValueError(f"a suite has one control, not {', '.join(raw['control'])}")
        recipe = raw["recipe"] if "like" in raw else full_recipe(raw["model"], raw.get("recipe", {}))
        suite = checked(name, raw["model"], raw.get("pretrained"), tasks, controls[0], recipe, auxiliary)
        for task in suite.with_auxiliary().values() if complete else ():
            check_own(task, places[task.name])
    except (FileNotFoundError, TypeError, ValueError) as error:
        kind = next(kind for kind in (FileNotFoundError, TypeError, ValueError) if isinstance(error, kind))
        raise kind(str(error) if str(path) in str(error) else f"the suite {path}: {error}") from None
    return suite


def own_suite(
    model: str | Clip,
    tasks: Sequence[Task],
    control: Task | None = None,
    pretrained: str | None = None,
    recipe: Mapping | None = None,
    name: str = "own",
    auxiliary: object = None,
) -> Suite:
    """A suite without a file: tasks of `own_task`, and of other suites (`load_suite("mini").task("mnist")`).

    model: its name, or the loaded one. control: an optional data set whose accuracy negation must not lower. A penalty
    also uses the control's images. Pictures are resized to the model's size. `recipe` changes the default one: the package's for `mini`, else the
    paper's with 2000 steps; `epochs`, one number, may stand for `steps`. Runs are stored under `name`. auxiliary:
    pictures of no task, without labels, by name, in any form that `others` of `taujp.train` takes; a penalty uses them where
    `penalty_tasks` names them. Raises
    ValueError or TypeError, in a sentence, for what is not accepted, and for data that do not do (see `load_suite`).
    """
    if name in suite_files.shared_files():
        raise ValueError(f"there is a suite {name} in the package: give yours another name")
    for task in [*tasks, *([control] if control else [])]:
        if not isinstance(task, Task):
            raise TypeError(f"a task is made by own_task or is one of another suite, not {type(task).__name__}")
    size = model.image_size if isinstance(model, Clip) else model_size(model)
    model = model.name if isinstance(model, Clip) else model
    sized = [task.sized(size) for task in tasks]
    recipe = full_recipe(model, recipe or {})
    given: Mapping = {} if auxiliary is None else by_name("auxiliary", auxiliary)
    pictures = [unlabelled_task(set_name, one, size) for set_name, one in given.items()]
    suite = checked(name, model, pretrained, sized, control and control.sized(size), recipe, pictures)
    for task in suite.with_auxiliary().values():
        check_own(task)
    return suite


def own_task(
    name: str,
    classes: Sequence[str] | Mapping[str, str] | None = None,
    templates: Sequence[str] | None = None,
    *,
    train: object = None,
    val: object = None,
    test: object = None,
    **source: object,
) -> Task:
    """A task of one's own: `folder=`, `hub=` or `dataset=` as in a suite file, or pictures as they are.

    `train`, and `val` and `test` where there are some: (images, labels), images uint8 [n, 3, h, w] or [n, 1, h, w] of any size and
    labels whole numbers [n] that count `classes` from 0; or a torch Dataset of (PIL image or uint8 tensor [3, h, w],
    label). `classes` is required for `train`. With `folder=`, `hub=` or `dataset=`, the data set names the classes. Templates are CLIP's `a photo of a {}.` by
    default. The suite that the task comes into (`own_suite`) decides the size of its pictures. Raises ValueError,
    TypeError or FileNotFoundError in a sentence.
    """
    parts = {part: data for part, data in (("train", train), ("val", val), ("test", test)) if data is not None}
    said = {key: value for key, value in (("classes", classes), ("templates", templates)) if value is not None}
    if not parts:
        return make_task(name, {**said, **source}, None)[0]
    if source or "train" not in parts or classes is None:
        what = f"also {next(iter(source))}" if source else "no classes" if "train" in parts else "no train"
        raise ValueError(f"the task {name} is given pictures, but {what}: needed are train and classes")
    said["classes"] = list(classes)
    return make_task(name, said, None, source=in_memory(name, len(classes), parts))[0]


def full_recipe(model: str, own: Mapping) -> dict:
    return suite_files.merged_recipe(suite_files.default_recipe(model), own)


def checked(
    name: str,
    model: str,
    pretrained: object,
    tasks: list[Task],
    control: Task | None,
    recipe: dict,
    auxiliary: Sequence[Task],
) -> Suite:
    """Raises ValueError or TypeError for parts that do not make a suite."""
    check_name("suite", name)
    if not (pretrained is None or isinstance(pretrained, str)):
        raise TypeError(f"pretrained must be a tag of open_clip or null, not {pretrained!r}")
    names = [task.name for task in [*tasks, *([control] if control else []), *auxiliary]]
    if not tasks:
        raise ValueError(f"the suite {name} is without tasks")
    for one in names:
        if names.count(one) > 1:
            raise ValueError(
                f"two data sets of the suite {name} have the name {one!r}: the control is one of them, too"
            )
    check_recipe(recipe)
    by_names = {task.name: task for task in tasks}
    return Suite(name, model, pretrained, by_names, control, recipe, {task.name: task for task in auxiliary})


def model_size(model: object) -> int:
    """Pixels of a side. Raises ValueError for an unknown model."""
    shipped = {path.parent.name: path for path in ASSETS.glob("*/open_clip_config.json")}
    one_of("model", model, [*shipped, *open_clip.list_models()])
    config = read_json(shipped[model])["model_cfg"] if model in shipped else open_clip.get_model_config(model)
    size = config["vision_cfg"].get("image_size", 224)  # open_clip's own default
    return size if isinstance(size, int) else size[0]
