"""nbval that knows numbers: they may move as far as the cell's metadata says, and everything else must be equal.

Trained numbers differ between processors in their last digits, and now and then an accuracy by an image. nbval compares
text as it stands and plotly's arrays as base64. This plugin, which pyproject.toml loads, compares them as numbers:

    "metadata": {"tolerance": {"images": 2, "of": 300, "relative": 0.02, "words": {"yes|no": "a tie decides"}}}

- `images`, `of`: accuracies may move by so many images of so many; or `absolute`: a number, for what is no accuracy;
- `relative`: the share of itself by which a number may move (losses, τJp); the larger of the two allowances holds;
- `words`: regular expressions of text that is not compared, each with its reason, for what flips on a boundary. If an
  expression has a group, only what the group matches is left out;
- `places`: regular expressions of places in a figure, such as `data/α tuned/x`, that are not compared, with reasons.

Without `tolerance` nothing may move. Integers are counts and compare exactly, unless the other side is a decimal.

How the tolerances of notebooks/ were chosen: the notebooks of AVX2, two threads and torch 2.15 were run again without
vector instructions, with one thread and torch 2.14 (05 and 10 with AVX-512 and two threads, too). An accuracy moved by
one image at most, other numbers by 2e-4 of themselves. Allowed are 2e-3, and one to three images of a split that the
cell reads; statistics over pairs of tasks may move as far as one image can move them, which was found by planting it.
"""

import base64
import inspect
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice

import numpy as np
import pytest
from nbformat import from_dict
from nbval.plugin import IPyNbCell

PLOTLY = "application/vnd.plotly.v1+json"
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w|\.\d)")
SHOWN = 8  # differences in one message
ROUNDED = 1e-3  # figures round to three or four decimals: numbers on both sides of a step are not apart


@dataclass(frozen=True)
class Tolerance:
    absolute: float = 0.0
    relative: float = 0.0
    words: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def near(self, old: float, new: float, unit: float) -> bool:
        """Whether new may stand for old; unit: what rounding alone can move, not counted where nothing may move."""
        if old == new or (math.isnan(old) and math.isnan(new)):
            return True
        allowed = max(self.absolute, self.relative * abs(old))
        return allowed > 0 and abs(new - old) <= (allowed + unit) * (1 + 1e-9)


def read_tolerance(metadata: dict) -> Tolerance:
    """The tolerance of a cell. ValueError, in one sentence, if it is malformed."""
    given = metadata.get("tolerance", {})
    accepted = {"images", "of", "absolute", "relative", "words", "places"}
    if not isinstance(given, dict) or set(given) - accepted:
        raise ValueError(f"tolerance must be an object with some of {', '.join(sorted(accepted))}, not {given!r}")
    if ("images" in given) != ("of" in given) or ("images" in given and "absolute" in given):
        raise ValueError(f"tolerance must have images and of, or absolute instead, not {given!r}")
    for name in ("images", "of", "absolute", "relative"):
        value = given.get(name, 1)
        kind = int if name in ("images", "of") else (int, float)
        if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value < math.inf:
            raise ValueError(
                f"{name} of a tolerance must be a positive {'count' if kind is int else 'number'}, not {value!r}"
            )
    for name in ("words", "places"):
        reasons = given.get(name, {})
        if not isinstance(reasons, dict) or not all(isinstance(why, str) and why.strip() for why in reasons.values()):
            raise ValueError(f"{name} of a tolerance must give each regular expression its reason, not {reasons!r}")
        for expression in reasons:
            try:
                re.compile(expression)
            except re.error as error:
                raise ValueError(
                    f"{name} of a tolerance has the malformed expression {expression!r}: {error}"
                ) from None
    absolute = given["images"] / given["of"] if "images" in given else given.get("absolute", 0)
    return Tolerance(absolute, given.get("relative", 0), given.get("words", {}), given.get("places", {}))


def tokens(line: str) -> list[str]:
    """Numbers and words; spaces between them do not count, for columns get wider with their numbers."""
    found, end = [], 0
    for match in NUMBER.finditer(line):
        found += [*line[end : match.start()].split(), match.group()]
        end = match.end()
    return found + line[end:].split()


def without(text: str, expressions: dict[str, str]) -> str:
    def blank(match: re.Match) -> str:
        begin, end = (place - match.start() for place in match.span(1 if match.re.groups else 0))
        return match.group() if begin < 0 else f"{match.group()[:begin]}…{match.group()[end:]}"

    for expression in expressions:
        text = re.sub(expression, blank, text, flags=re.MULTILINE)
    return text


def same_token(old: str, new: str, tolerance: Tolerance) -> bool:
    if old == new:
        return True
    if not (NUMBER.fullmatch(old) and NUMBER.fullmatch(new)) or not re.search("[.eE]", old + new):
        return False
    # Printed numbers are rounded: a unit of the last digit that either shows is no difference.
    unit = 10.0 ** min(Decimal(token).as_tuple().exponent for token in (old, new))
    return tolerance.near(float(old), float(new), unit)


def text_differences(old: str, new: str, tolerance: Tolerance, place: str) -> Iterator[str]:
    old_lines, new_lines = (without(text, tolerance.words).rstrip("\n").split("\n") for text in (old, new))
    if len(old_lines) != len(new_lines):
        yield f"{place}: {len(new_lines)} lines instead of {len(old_lines)}"
    for number, (old_line, new_line) in enumerate(zip(old_lines, new_lines, strict=False), 1):
        ours, theirs = tokens(old_line), tokens(new_line)
        if len(ours) != len(theirs):
            yield f"{place}, line {number}: {new_line.strip()!r} instead of {old_line.strip()!r}"
            continue
        for before, now in zip(ours, theirs, strict=True):
            if not same_token(before, now, tolerance):
                yield f"{place}, line {number}: {now} instead of {before} in {old_line.strip()!r}"


def is_array(value) -> bool:
    return isinstance(value, dict) and {"dtype", "bdata"} <= set(value) <= {"dtype", "bdata", "shape"}


def decoded(array: dict) -> dict:
    values = np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"]).tolist()
    return {"dtype": array["dtype"], "shape": str(array.get("shape")), "values": values}


def figure_differences(old, new, tolerance: Tolerance, place: str) -> Iterator[str]:
    """old, new: JSON values. place: where in the figure they stand; a trace is named by its name."""
    if any(re.search(expression, place) for expression in tolerance.places):
        return
    if is_array(old) and is_array(new):
        old, new = decoded(old), decoded(new)
    if type(old) is not type(new):
        yield f"{place}: {str(new)[:60]} instead of {str(old)[:60]}"
    elif isinstance(old, dict):
        for name in sorted(set(old) ^ set(new)):
            yield f"{place}/{name}: only in the {'committed' if name in old else 'new'} figure"
        for name in old:
            if name in new:
                yield from figure_differences(old[name], new[name], tolerance, f"{place}/{name}")
    elif isinstance(old, list):
        if len(old) != len(new):
            yield f"{place}: {len(new)} values instead of {len(old)}"
        for number, (before, now) in enumerate(zip(old, new, strict=False)):
            name = before.get("name", number) if isinstance(before, dict) else number
            yield from figure_differences(before, now, tolerance, f"{place}/{name}")
    elif isinstance(old, str):
        yield from text_differences(old, new, tolerance, place)
    elif isinstance(old, float):
        if not tolerance.near(old, new, ROUNDED):
            yield f"{place}: {new} instead of {old}"
    elif old != new:
        yield f"{place}: {new} instead of {old}"


COMPARED = {"text": text_differences, "text/plain": text_differences, PLOTLY: figure_differences}


def contents(output: dict) -> dict:
    """What a cell shows, by kind: of a stream its text, of another output its data by mimetype."""
    return output if output["output_type"] == "stream" else output.get("data", {})


def compare_outputs(cell: IPyNbCell, test: list, ref: list, skip_compare=None) -> bool:
    """What is near enough counts as equal, then nbval compares as ever: kinds, counts, all else."""
    try:
        tolerance = read_tolerance(cell.cell.metadata)
    except ValueError as error:
        cell.raise_cell_error(str(error))
    test, found = from_dict(test), []  # a copy, of the same types as ref
    for number, (new_output, old_output) in enumerate(zip(test, ref, strict=False), 1):
        new, old = contents(new_output), contents(old_output)
        for kind, differences in COMPARED.items():
            if kind in new and kind in old:
                found += differences(old[kind], new[kind], tolerance, f"output {number}")
                new[kind] = old[kind]
    if found:
        cell.comparison_traceback = [*islice(found, SHOWN), f"{len(found)} differences"]
    return not found and nbvals_own(cell, test, ref, skip_compare)


def pytest_configure(config: pytest.Config) -> None:
    # A version of nbval that compares elsewhere would compare exactly again, or not at all: better say so.
    if list(inspect.signature(IPyNbCell.compare_outputs).parameters)[1:] != ["test", "ref", "skip_compare"]:
        raise pytest.UsageError(
            "tests/helpers/nbval_numbers.py does not fit this version of nbval: compare_outputs has changed"
        )
    IPyNbCell.compare_outputs = compare_outputs


nbvals_own = IPyNbCell.compare_outputs
