"""Suites: a model, its tasks, the control that negation must not hurt, and the recipe; read from YAML."""

from dataclasses import dataclass
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent / "suites"
METHODS = ("standard", "linear", "taujp-strict", "taujp-efficient")


@dataclass(frozen=True)
class Task:
    """A data set with the names and prompt templates that make its zero-shot head."""

    name: str
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    severity: float | None = None  # of rendered pictures only


@dataclass(frozen=True)
class Suite:
    """`recipe` holds the suite's hyper-parameters for fine-tuning, keyed as the fields of RunConfig;
    peak_lr may differ by method."""

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


def suite_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_suite(name: str) -> Suite:
    """Raises ValueError for an unknown name."""
    one_of("suite", name, suite_names())
    raw = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))

    def tasks(section: str) -> list[Task]:
        return [
            Task(task, tuple(entry["classes"]), tuple(entry["templates"]), entry.get("severity"))
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
