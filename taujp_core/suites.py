"""Suites: a model, its tasks, the control that negation must not hurt, and the recipe; read from YAML.

A suite is a file of this package's folder `suites`, or of the folder that TAUJP_SUITES names. `like: NAME` takes
what the file does not say from the package's `suites/shared/NAME.yaml` or `suites/NAME.yaml`.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import open_clip
import yaml

FOLDER = Path(__file__).parent / "suites"
METHODS = ("standard", "linear", "taujp-strict", "taujp-efficient")


@dataclass(frozen=True)
class Hub:
    """Where a data set lies on the Hugging Face hub: parquet files with an image and a label column."""

    repo: str
    revision: str
    train: str  # patterns of file names
    test: str
    image: str = "image"
    label: str = "label"


@dataclass(frozen=True)
class Task:
    """A data set with the names and prompt templates that make its zero-shot head."""

    name: str
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    image_size: int  # pixels
    severity: float | None = None  # of rendered pictures only
    hub: Hub | None = None  # None: the pictures ship with the package, or are rendered
    train_images: int | None = None  # published counts; the validation images are part of train
    test_images: int | None = None


@dataclass(frozen=True)
class Suite:
    """`recipe` holds the suite's hyper-parameters for fine-tuning, keyed as the fields of RunConfig;
    peak_lr differs by method, and epochs, by task, stand for steps where there are none."""

    name: str
    model: str
    pretrained: str | None
    tasks: dict[str, Task]
    control: Task
    recipe: dict

    def datasets(self) -> dict[str, Task]:
        """The tasks and, last, the control."""
        return {**self.tasks, self.control.name: self.control}

    def task(self, name: str) -> Task:
        """Raises ValueError for a name that is not among the tasks (the control is trained on as well)."""
        return self.datasets()[one_of("task", name, self.datasets())]


def one_of(kind: str, value: object, accepted) -> object:
    """`value` if it is accepted, else ValueError with a sentence that lists what is."""
    if value not in tuple(accepted):
        raise ValueError(f"unknown {kind} {value!r}: accepted are {', '.join(map(str, accepted))}")
    return value


def suite_files() -> dict[str, Path]:
    """Files by suite name; those of TAUJP_SUITES cannot replace this package's own."""
    own = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}
    more = os.environ.get("TAUJP_SUITES")
    return {**({path.stem: path for path in sorted(Path(more).glob("*.yaml"))} if more else {}), **own}


def load_suite(name: str) -> Suite:
    """Raises ValueError for an unknown name."""
    files = suite_files()
    one_of("suite", name, sorted(files))
    raw = read_suite(files[name])

    def tasks(section: str) -> list[Task]:
        return [
            Task(
                name=task,
                classes=tuple(words(entry["classes"])),
                templates=tuple(words(entry["templates"])),
                image_size=raw["image_size"],
                severity=entry.get("severity"),
                hub=Hub(**entry["hub"]) if "hub" in entry else None,
                train_images=entry.get("train_images"),
                test_images=entry.get("test_images"),
            )
            for task, entry in raw[section].items()
        ]

    (control,) = tasks("control")
    return Suite(
        name=name,
        model=raw["model"],
        pretrained=raw["pretrained"],
        tasks={task.name: task for task in tasks("tasks")},
        control=control,
        recipe=raw["recipe"],
    )


def read_suite(path: Path) -> dict:
    """The file's content with what it is like; a recipe is taken over field by field."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "like" not in raw:
        return raw
    shared = {path.stem: path for path in sorted(FOLDER.rglob("*.yaml"))}
    base = read_suite(shared[one_of("suite to be like", raw["like"], shared)])
    return {**base, **raw, "recipe": {**base["recipe"], **raw.get("recipe", {})}}


def words(entry: list[str] | str) -> list[str]:
    """A list, or the name of one that ships with open_clip; its templates are functions of the class name."""
    if isinstance(entry, list):
        return entry
    return [item if isinstance(item, str) else item("{}") for item in getattr(open_clip, entry)]
