"""One colour, one meaning: palettes apart, seen on white, and told apart without green and without colour."""

from itertools import combinations

import numpy as np
import pytest

from analysis import palette
from analysis.continual.sequences import TRAINED_BY
from analysis.invariance.benchmark import ARMS
from taujp_core.methods import METHODS
from taujp_core.suites import load_suite

# W3C's sRGB and relative luminance; Machado, Oliveira and Fernandes (2009), deuteranopia, of linear RGB; CIELAB, D65.
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)
NO_GREEN = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]])
ALL_SEE = np.eye(3)
PALETTES = {
    "tasks": palette.TASK_COLOURS,
    "methods": [colour for name, (colour, _) in palette.METHOD_LOOKS.items() if name != "zero-shot"],
    "verdicts": [colour for colour, _ in palette.VERDICTS.values()],
    "series": palette.SERIES,
}
CORE = ["standard", "post-hoc-linearised", "linear", "sequential", "taujp-efficient", "taujp-strict", "taujp-memory", "taujp-joint"]  # fmt: skip


def linear(colour: str) -> np.ndarray:
    share = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(colour: str, sight: np.ndarray = ALL_SEE) -> np.ndarray:
    xyz = TO_XYZ @ np.clip(sight @ linear(colour), 0, 1) / TO_XYZ.sum(1)
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def nearest(colours, others=None, sight=ALL_SEE) -> float:
    """The least distance ΔE (CIE 1976) of two colours, or of one of these and one of the others."""
    pairs = combinations(colours, 2) if others is None else [(a, b) for a in colours for b in others]
    return min(float(np.linalg.norm(lab(a, sight) - lab(b, sight))) for a, b in pairs)


def test_the_measures_are_those_that_are_published():
    assert lab("#ffffff") == pytest.approx([100, 0, 0], abs=0.02)
    assert lab("#ff0000") == pytest.approx([53.24, 80.09, 67.2], abs=0.05)
    red, green = ("#b04040", "#6b6b40")  # far apart, and hardly without green
    assert nearest([red, green]) > 40 > 20 > nearest([red, green], sight=NO_GREEN)
    assert lab("#777777", NO_GREEN) == pytest.approx(lab("#777777"), abs=0.1)  # grey stays grey


def test_no_colour_has_two_meanings():
    for (one, ours), (other, theirs) in combinations(PALETTES.items(), 2):
        assert nearest(ours, theirs) > 8, (one, other)
        assert nearest(ours, theirs, NO_GREEN) > 5, (one, other)
    red = palette.VERDICTS["contradicts"][0]
    assert all(nearest([red], PALETTES[name]) > 35 for name in ("tasks", "methods", "series"))


@pytest.mark.parametrize("name", PALETTES)
def test_every_colour_stands_out_from_white(name):
    for colour in PALETTES[name]:
        assert 1.05 / (TO_XYZ[1] @ linear(colour) + 0.05) >= 3, colour


@pytest.mark.parametrize(
    ("colours", "seen", "without_green"),
    [
        (PALETTES["tasks"], 25, 15),
        (PALETTES["methods"], 15, 8),
        ([palette.METHOD_LOOKS[name][0] for name in CORE], 30, 18),
        ([palette.METHOD_LOOKS[name][0] for name in ARMS], 30, 18),
        (PALETTES["verdicts"], 35, 15),
        (PALETTES["series"], 24, 15),
    ],
    ids=["tasks", "methods", "of additions", "of invariance", "verdicts", "series"],
)
def test_colours_of_one_figure_differ_with_green_and_without(colours, seen, without_green):
    assert nearest(colours) >= seen
    assert nearest(colours, sight=NO_GREEN) >= without_green


@pytest.mark.parametrize("suite", ["mini", "clip8-b32"])
def test_every_task_has_a_colour_and_a_mark_of_its_own(suite):
    names = list(load_suite(suite).datasets())
    colours, marks = palette.task_colours(names), palette.task_symbols(names)
    assert len(names) == 9 == len(set(colours.values())) == len(set(marks.values()))


def test_every_method_has_a_colour_and_a_mark_of_its_own():
    names = {*METHODS, *TRAINED_BY, *ARMS, "zero-shot"}
    assert names == set(palette.METHOD_LOOKS)
    looks = [palette.method_look(name) for name in names]
    assert len(names) == len({colour for colour, _ in looks}) == len({mark for _, mark in looks})


def test_more_tasks_and_foreign_methods_have_looks_too():
    names = [f"task {k}" for k in range(90)]
    looks = zip(palette.task_colours(names).values(), palette.task_symbols(names).values(), strict=True)
    assert len(set(looks)) == 90
    own = palette.method_look("a method of one's own")
    assert own == palette.method_look("a method of one's own")
    assert own[1] not in {mark for _, mark in palette.METHOD_LOOKS.values()}


def test_verdicts_have_marks_of_their_own_and_nothing_but_the_chosen_coefficient_is_a_star():
    assert len({mark for _, mark in palette.VERDICTS.values()}) == 3
    used = [*palette.SYMBOLS, *(mark for _, mark in [*palette.METHOD_LOOKS.values(), *palette.VERDICTS.values()])]
    assert "star" not in used
