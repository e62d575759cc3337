"""Which task does an entry of a suite file, or a call in Python, describe?"""

import re
from collections.abc import Mapping

import open_clip

from ..checks import check_keys
from ..datasets.classes import check_spellings
from ..datasets.sources import SOURCES
from ..tasks import TEMPLATES, Place, Source, Task

LONGEST = 80  # bytes of a name: a file may be named after a suite, a task and a run, and file systems end at 255
COUNTS = ("train_images", "test_images", "validation_images")


def make_task(
    name: object, entry: object, image_size: int | None, complete: bool = True, source: Source | None = None
) -> tuple[Task, Place | None]:
    """The task of an entry with `classes`, `templates`, COUNTS and, without `source`, the keys of one of SOURCES, which
    says where its pictures are (`docs/own_data.md`); and the place of its pictures, if they were looked at.

    Classes that the entry does not name are those of the data. If these are not there, that is an error, or, unless
    `complete`, the task has no classes yet. Raises ValueError or TypeError for what is not accepted in the entry,
    FileNotFoundError for data that are not there, each in one sentence.
    """
    what = f"the task {name}"
    check_name("task", name)
    if not isinstance(entry, Mapping):
        raise TypeError(f"{what} must be a mapping with keys such as folder and classes, not {entry!r}")
    keys = dict.fromkeys(key for known in SOURCES for key in known.keys)
    check_keys(what, entry, ("classes", "templates", *keys, *COUNTS))
    source = source or source_of(what, entry)
    classes = class_names(what, entry.get("classes"))
    if isinstance(classes, Mapping) and not source.mapped:
        raise ValueError(f"classes of {what} must be a list: only class folders take a mapping")
    templates = template_list(what, entry.get("templates", list(TEMPLATES)))
    for count in COUNTS:
        if entry.get(count) is not None:
            check_count(f"{count} of {what}", entry[count])
    given = () if classes is None else tuple(classes.values()) if isinstance(classes, Mapping) else tuple(classes)
    task = Task(name, given, templates, image_size, source, **{count: entry.get(count) for count in COUNTS})
    try:
        return source.with_classes(task, classes)
    except FileNotFoundError:
        if complete:
            raise
        return task, None


def source_of(what: str, entry: Mapping) -> Source:
    """The one whose first key the entry has; `hub` beside `published` is no second one, but a key of the first."""
    said = [source for source in SOURCES if source.keys[0] in entry]
    named = [source for source in said if not any(source.keys[0] in other.keys[1:] for other in said)]
    if len(named) != 1:
        found = (
            f"has {' and '.join(source.keys[0] for source in named)}"
            if named
            else "does not say where its pictures are"
        )
        own = ", ".join(source.keys[0] for source in SOURCES if source.own)
        raise ValueError(f"{what} {found}: give one of {own}, or `from` a suite of the package")
    for other in SOURCES:
        for key in other.keys:
            if key in entry and key not in named[0].keys:
                raise ValueError(
                    f"{what} has the key {key!r}, which goes with {other.keys[0]}, not with {named[0].keys[0]}"
                )
    return named[0].from_entry(what, entry)


def check_name(kind: str, name: object) -> None:
    """It names files and folders of the run store."""
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w. +-]*", name):
        raise ValueError(f"the name of a {kind} must be letters, digits and any of '. _+-', not {name!r}")
    if len(name.encode()) > LONGEST:
        raise ValueError(
            f"the name of a {kind} must have at most {LONGEST} bytes, not {len(name.encode())}: {name[:20]}…"
        )


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
