"""Labels of class folders: by name, because the sorted folders of some data sets are not in the order of the labels.

Sorted, 143 of the 196 cars and two scenes of SUN397 (jail cell, jail indoor) get other labels than the published ones.
"""

import re
from collections.abc import Iterable
from functools import cache

from ..suites import Task

# Folders that are not named as the class is in a prompt, in the order of the labels.
EUROSAT = (
    *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial"),
    *("Pasture", "PermanentCrop", "Residential", "River", "SeaLake"),
)
WORDNET = re.compile(r"n\d{8}")


def class_labels(task: Task, names: Iterable[str]) -> dict[str, int]:
    """Labels by the name of a class or of its folder.

    A number is a label (`00012`), WordNet's identifiers are in their order, other names are those of the classes, of
    which only letters and digits count. Raises ValueError for other names.
    """
    names = sorted(set(names))
    if names and all(WORDNET.fullmatch(name) for name in names) and len(names) == len(task.classes):
        return {name: label for label, name in enumerate(names)}
    labels = {name: int(name) if name.isdecimal() else known_names(task).get(letters(name), -1) for name in names}
    unknown = [name for name, label in labels.items() if not 0 <= label < len(task.classes)]
    if unknown:
        raise ValueError(
            f"{len(unknown)} of {len(names)} names are not among the {len(task.classes)} classes of {task.name}: "
            f"{', '.join(unknown[:3])}{', …' if len(unknown) > 3 else ''}; classes are {', '.join(task.classes[:3])}, …"
        )
    return labels


@cache
def known_names(task: Task) -> dict[str, int]:
    names = {letters(name): label for label, name in enumerate(task.classes)}
    if task.name == "eurosat":
        names |= {letters(name): label for label, name in enumerate(EUROSAT)}
    if task.name == "sun397":  # a_abbey, /a/abbey
        names |= {letters(name[0] + name): label for label, name in enumerate(task.classes)}
    return names


def letters(name: str) -> str:
    """polka-dotted, Polka_Dotted → polkadotted."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
