"""How is a comparison of numbers said, and which difference is one?

Templates of notebooks' last sentences are made of these parts. A difference within `noise` is said to be none: "level with".
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from taujp_core.applications.encoder import ENCODER
from taujp_core.datasets import load_split
from taujp_core.methods import METHODS
from taujp_core.suites import Suite

NOTHING = "There is nothing to compare: that takes a method with the τJp penalty and one without and, for addition, two tasks."
MOST_NAMES = 3  # of more the best alone is named
# What is no method of `taujp_core.methods`, whose own files say theirs.
OTHERS_IN_WORDS = {
    "taujp-memory": "the τJp penalty on a reservoir",
    "taujp-joint": "the τJp penalty that knows all tasks",
    "sequential": "sequential fine-tuning",
    "zero-shot": "the pre-trained model",
    "irm-game-fixed": "the IRM game with fixed features",
    "irm-game-variable": "the IRM game with trained features",
    "oracle": "the oracle",
}


def in_words(method: str) -> str:
    """A method's full name; a name that is not known here as it is written in code."""
    known = OTHERS_IN_WORDS | {name: one.words for name, one in METHODS.items() if one.words}
    if method in known:
        return known[method]
    if method.endswith("-linear"):
        return f"linearised {in_words(method.removesuffix('-linear'))}"
    return f"`{method}`"


def where(application: str) -> str:
    """What a sentence about one application begins with."""
    return "On the encoder itself" if application == ENCODER.name else f"In the {application} model"


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def noise(suite: Suite, tasks: Sequence[str], images: int = 0, split: str = "test") -> float:
    """Two standard errors of a difference between two mean accuracies on the first `images` (0: all) of these tasks' splits.

    An accuracy on n images has at most the variance 1/(4n). The seeds of a method share these images, so they take nothing off.
    """
    counts = [len(load_split(suite.task(task), split).first(images)) for task in tasks]
    return 2 * math.sqrt(sum(0.5 / count for count in counts)) / len(counts)


def share(value: float) -> str:
    """Two digits, rounded as tables are."""
    return f"{np.round(value, 2):.2f}"


def relation(ours: float, theirs: float, noise: float) -> str:
    """`above`, `level with` or `below`: also level where both are shown by the same digits."""
    if abs(ours - theirs) <= noise or share(ours) == share(theirs):
        return "level with"
    return "above" if ours > theirs else "below"


def standing(ours: float, others: Mapping[str, float], noise: float, lower_is_better: bool = False) -> str:
    """Where `ours` stands among `others`, by name: `above A (0.65), level with B (0.71) and below C (0.80)`.

    Of more than MOST_NAMES in a group the best is named. A missing value is left out; of nothing else it is said so.
    """
    known = {name: value for name, value in others.items() if not math.isnan(value)}
    if not known or math.isnan(ours):
        return "with nothing to compare it to"
    order = sorted(known, key=lambda name: known[name], reverse=not lower_is_better)
    groups = {
        word: [name for name in order if relation(ours, known[name], noise) == word]
        for word in ("above", "level with", "below")
    }
    if lower_is_better:
        groups = dict(reversed(groups.items()))
    parts = []
    for word, names in groups.items():
        shown = [f"{name} ({share(known[name])})" for name in names]
        if len(names) > MOST_NAMES:
            parts.append(f"{word} {len(names)} others, the best of them {shown[0]}")
        elif names:
            parts.append(f"{word} {listed(shown)}")
    return "; ".join(parts) if any(len(names) > 1 for names in groups.values()) else listed(parts)


def by_name(values: pd.Series) -> dict[str, float]:
    """By the methods' full names."""
    return {in_words(method): value for method, value in values.items()}


def short(value: float) -> str:
    """A number that is no share: `8.5`, `26`, `0.031`."""
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}"


def moved(before: float, after: float) -> str:
    """`rose from 0.13 to 0.82`, `fell from …`, or `stayed at …` where both are shown by the same digits."""
    if share(before) == share(after):
        return f"stayed at {share(after)}"
    return f"{'rose' if after > before else 'fell'} from {share(before)} to {share(after)}"
