"""Which task does an entry of a suite file, or a call in Python, describe?

A task from what a suite file says about it, or from what Python gives.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import open_clip

from .datasets import class_folders, hub, tables
from .datasets.classes import check_spellings
from .datasets.places import below_data
from .datasets.rendered import check_package
from .tasks import TEMPLATES, ClassFolders, Hub, InMemory, Package, Published, Source, Table, Task

SOURCES = ("folder", "hub", "dataset", "package", "published")
LONGEST = 80  # bytes of a name: a file may be named after a suite, a task and a run, and file systems end at 255
COUNTS = ("train_images", "test_images", "validation_images")
KEYS = ("classes", "templates", "severity", *SOURCES, *COUNTS)


def make_task(name: object, entry: object, image_size: int | None, complete: bool = True) -> Task:
    """The task of an entry whose keys are KEYS; exactly one of `folder`, `hub`, `dataset` and `package`, or `published`
    beside its `hub`, says where its pictures are (`docs/own_data.md`).

    Classes that the entry does not name are those of the data. If these are not there, that is an error, or, unless
    `complete`, the task has no classes yet. Raises ValueError or TypeError for what is not accepted in the entry,
    FileNotFoundError for data that are not there, each in one sentence.
    """
    what = f"the task {name}"
    check_name("task", name)
    if not isinstance(entry, Mapping):
        raise TypeError(f"{what} must be a mapping with keys such as folder and classes, not {entry!r}")
    check_keys(what, entry, KEYS)
    source = source_of(what, entry)
    classes = class_names(what, entry.get("classes"))
    templates = template_list(what, entry.get("templates", list(TEMPLATES)))
    for count in COUNTS:
        if entry.get(count) is not None:
            check_count(f"{count} of {what}", entry[count])
    given = () if classes is None else tuple(classes.values()) if isinstance(classes, Mapping) else tuple(classes)
    task = Task(name, given, templates, image_size, source, **{count: entry.get(count) for count in COUNTS})
    try:
        return with_classes(task, classes)
    except FileNotFoundError:
        if complete:
            raise
        return task


def given_task(
    name: str, source: InMemory, classes: Sequence[str], templates: Sequence[str] | None, image_size: int | None
) -> Task:
    """A task of pictures that Python gives."""
    what = f"the task {name}"
    check_name("task", name)
    named = tuple(class_names(what, classes))
    return Task(
        name, named, template_list(what, list(TEMPLATES) if templates is None else templates), image_size, source
    )


def with_classes(task: Task, classes: list[str] | Mapping[str, str] | None) -> Task:
    """Classes from the data, where they are not given; a class folder is told to each."""
    if isinstance(task.source, ClassFolders):
        return class_folders.with_classes(task, classes)
    if isinstance(classes, Mapping):
        raise ValueError(f"classes of the task {task.name} must be a list: only class folders take a mapping")
    if classes is not None:
        return task
    if isinstance(task.source, Hub):
        return hub.with_classes(task)
    if isinstance(task.source, Table):
        folder = below_data(task.source.path)
        return tables.with_classes(task, tables.local_tables(folder)["train"], task.source.label, str(folder))
    raise ValueError(f"the task {task.name} is without classes")


def source_of(what: str, entry: Mapping) -> Source:
    named = [key for key in SOURCES if key in entry]
    if named not in ([key] for key in SOURCES[:-1]) and named != ["hub", "published"]:
        said = f"has {' and '.join(named)}" if named else "does not say where its pictures are"
        raise ValueError(f"{what} {said}: give one of folder, hub, dataset, or `from` a suite of the package")
    if "severity" in entry and named != ["package"]:
        raise ValueError(f"{what} has a severity, which only rendered pictures of the package have")
    if named == ["package"]:
        check_package(entry["package"], entry.get("severity"))
        return Package(entry["package"], entry.get("severity"))
    if named == ["folder"]:
        return ClassFolders(text(f"folder of {what}", entry["folder"]))
    if named == ["dataset"]:
        return Table(**options(f"dataset of {what}", entry["dataset"], Table, "path"))
    repository = Hub(**options(f"hub of {what}", entry["hub"], Hub, "repo"))
    return (
        Published(text(f"published of {what}", entry["published"]), repository) if "published" in entry else repository
    )


def options(what: str, value: object, kind: type, first: str) -> dict[str, str]:
    """Fields of `kind` from a mapping, or the first of them alone."""
    if not isinstance(value, Mapping):
        return {first: text(what, value)}
    check_keys(what, value, [field.name for field in fields(kind)])
    if first not in value:
        raise ValueError(f"{what} is without {first}")
    return {key: text(f"{key} of {what}", item) for key, item in value.items()}


def text(what: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{what} must be a text, not {value!r}")
    return value


def check_name(kind: str, name: object) -> None:
    """It names files and folders of the run store."""
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w. +-]*", name):
        raise ValueError(f"the name of a {kind} must be letters, digits and any of '. _+-', not {name!r}")
    if len(name.encode()) > LONGEST:
        raise ValueError(
            f"the name of a {kind} must have at most {LONGEST} bytes, not {len(name.encode())}: {name[:20]}…"
        )


def check_keys(what: str, entry: Mapping, accepted) -> None:
    unknown = [key for key in entry if key not in accepted]
    if unknown:
        raise ValueError(f"{what} has the unknown key {unknown[0]!r}: accepted are {', '.join(accepted)}")


def check_count(what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{what} must be a number of images, not {value!r}")


def class_names(what: str, entry: object) -> list[str] | dict[str, str] | None:
    """A list, the name of one that ships with open_clip, or a mapping of folders to classes; None: the data name them."""
    if entry is None:
        return None
    if isinstance(entry, Mapping):
        named = {str(folder): str(name) for folder, name in entry.items()}
        check_spellings(f"`classes` of {what}", list(named.values()))
        return named
    named = shipped(entry) if isinstance(entry, str) else entry
    if not isinstance(named, list | tuple) or not named:
        raise ValueError(f"classes of {what} must be a list of names, not {entry!r}")
    for name in named:
        if not isinstance(name, str) or not name:
            raise ValueError(f"classes of {what} must be texts, not {name!r}: write it in quotes")
    if not isinstance(entry, str):  # ImageNet's names have some twice, as published
        check_spellings(f"`classes` of {what}", named)
    return list(named)


def template_list(what: str, entry: object) -> tuple[str, ...]:
    """A list, or the name of one that ships with open_clip, whose templates are functions of the class name."""
    found = shipped(entry) if isinstance(entry, str) else entry
    if not isinstance(found, list | tuple) or not found:
        raise ValueError(f'templates of {what} must be a list of texts such as "{TEMPLATES[0]}", not {entry!r}')
    templates = [item("{}") if callable(item) else item for item in found]
    for template in templates:
        if not isinstance(template, str) or template.count("{}") != 1:
            raise ValueError(f"templates of {what} must hold {{}} once, where the class goes, not {template!r}")
    return tuple(templates)


def shipped(name: str) -> object:
    return getattr(open_clip, name, None)


def resized(task: Task, image_size: int) -> Task:
    """The same pictures, for a model of another size."""
    return replace(task, image_size=image_size)
