"""Which label belongs to the name of a class, be it of a folder or in a table's label column?

The benchmark's sorted folders are not in the order of the published labels: 143 of the 196 cars and two scenes of
SUN397 (jail cell, jail indoor) would get others.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache

from ..tasks import Task

# Folders that are not named as the class is in a prompt, in the order of the labels.
EUROSAT = (
    *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial"),
    *("Pasture", "PermanentCrop", "Residential", "River", "SeaLake"),
)
WORDNET = re.compile(r"n\d{8}")


def class_labels(task: Task, names: Iterable[str], where: object = "") -> dict[str, int]:
    """Labels of a published data set by the name of a class or of its folder.

    A number is a label (`00012`), WordNet's identifiers are in their order, other names are those of the classes, of
    which only letters and digits count. Raises ValueError for other names, with `where` they stand.
    """
    names = sorted(set(names))
    if names and all(WORDNET.fullmatch(name) for name in names) and len(names) == len(task.classes):
        return {name: label for label, name in enumerate(names)}
    known = known_names(task.source.data, task.classes)
    labels = {name: int(name) if name.isdecimal() else known.get(letters(name), -1) for name in names}
    unknown = [name for name, label in labels.items() if not 0 <= label < len(task.classes)]
    if unknown:
        raise ValueError(
            f"{where}: {len(unknown)} of {len(names)} names are not among the {len(task.classes)} classes of {task.name}: "
            f"{', '.join(unknown[:3])}{', …' if len(unknown) > 3 else ''}; classes are {', '.join(task.classes[:3])}, …"
        )
    return labels


@cache
def known_names(data: str, classes: tuple[str, ...]) -> dict[str, int]:
    names = {letters(name): label for label, name in enumerate(classes)}
    if data == "eurosat":
        names |= {letters(name): label for label, name in enumerate(EUROSAT)}
    if data == "sun397":  # a_abbey, /a/abbey
        names |= {letters(name[0] + name): label for label, name in enumerate(classes)}
    return names


def letters(name: str) -> str:
    """polka-dotted, Polka_Dotted → polkadotted."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def spelling(name: str) -> str:
    """What two spellings of one class have in common: Golden_Retriever, golden retriever. C++ and C stay apart."""
    return re.sub(r"[\s_-]+", "", name.casefold()) or name


def check_spellings(where: str, names: Sequence[str]) -> None:
    """Raises ValueError for two names that are spellings of one class."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(spelling(name), name)
        if other != name:
            raise ValueError(f"{where} has two spellings of one class, {other!r} and {name!r}: keep one")
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise ValueError(f"{where} has the class {twice!r} twice")


def own_order(task: Task, names: list[str], what: str, text: bool) -> list[int] | None:
    """The task's label of each of the column's classes; None if they count as they are."""
    ours = {spelling(name): label for label, name in enumerate(task.classes)}
    unknown = [name for name in names if spelling(name) not in ours]
    if not unknown:
        return [ours[spelling(name)] for name in names]
    if text or len(unknown) < len(names):
        raise ValueError(
            f"{what} has the class {unknown[0]!r}, which is not among the classes of {task.name} "
            f"({listed(task.classes)}): name all its classes{'' if text else ', or none, and they count in its order'}"
        )
    if len(names) != len(task.classes):
        raise ValueError(f"{what} has {len(names)} classes, {task.name} has {len(task.classes)}")
    return None


def published_order(task: Task, names: Sequence[str]) -> list[int] | None:
    """The label of each class that a copy of a published data set names, by its name; None if they count as they are.

    That is where copies use other names, such as ImageNet's with all their synonyms. Those of them that are the
    task's then have to stand where it has them: raises ValueError, with an unknown name, where they do not.
    """
    places: dict[str, set[int]] = {}
    for name, label in known_names(task.source.data, task.classes).items():
        places.setdefault(name, set()).add(label)
    for label, name in enumerate(task.classes):  # some of ImageNet's stand twice
        places[letters(name)].add(label)
    try:
        labels = class_labels(task, names)
        if len(set(labels.values())) == len(names):
            return [labels[name] for name in names]
    except ValueError:
        pass
    copy = f"the label column of this copy of {task.name}"
    if len(names) != len(task.classes):
        raise ValueError(f"{copy} has {len(names)} classes, {task.name} has {len(task.classes)}")
    unknown = [name for name in names if letters(name) not in places]
    misplaced = [name for label, name in enumerate(names) if label not in places.get(letters(name), {label})]
    if misplaced:
        raise ValueError(
            f"{copy} has its class {misplaced[0]!r} at another number than {task.name} has it, and "
            f"{unknown[0] if unknown else misplaced[0]!r} is not among the classes ({listed(task.classes)})"
        )
    return None


def listed(names: Iterable[str]) -> str:
    """The first five."""
    names = list(names)
    return f"{', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
