"""Are the data sets there, whole, and without test images among the training images?"""

import hashlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ..progress import Progress
from ..suites import Suite, Task
from .pictures import CHUNK, Pictures, made_ahead
from .rendered import load_images
from .sources import Place, data_folder, locate, pictures

NAMED = 5  # pictures and classes that are named; all are counted
COLUMNS = ("data set", "split", "images", "published", "classes", "empty", "unreadable", "in train", "found in")


@dataclass
class Finding:
    """Of one data set: the lines of the table, and what is wrong, a sentence each."""

    task: str
    rows: list[tuple[str, ...]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    missing: bool = False


def check_task(task: Task, suite: str) -> Finding:
    """Every picture is decoded, once. A test image is leaked if a training image has the same pixels and size."""
    finding = Finding(task.name)
    try:
        place = locate(task) if task.hub else rendered(task)
    except FileNotFoundError:
        finding.missing = True
        finding.rows.append((task.name, "", *["-"] * 6, "not found"))
        finding.problems.append(f"not found: {command('download', suite, task.name)}")
        return finding
    except ValueError as error:
        finding.rows.append((task.name, "", *["-"] * 6, "damaged"))
        finding.problems.append(str(error))
        return finding
    known: dict[bytes, str] = {}
    for split, published in (("train", task.train_images), ("test", task.test_images)):
        try:
            data = pictures(task, place, split)
        except (FileNotFoundError, ValueError) as error:
            finding.rows.append((task.name, split, *["-"] * 6, place.name))
            finding.problems.append(str(error))
            continue
        present = set(data.labels.tolist())
        empty = [name for label, name in enumerate(task.classes) if label not in present]
        unreadable, leaked = [], []
        for index, digest in enumerate(digests(data)):
            if isinstance(digest, str):
                unreadable.append(digest)
            elif split == "train":
                known.setdefault(digest, data.name(index))
            elif digest in known:
                leaked.append(f"{data.name(index)} is {known[digest]}")
        if published not in (None, len(data)):
            finding.problems.append(f"{split} has {len(data)} images, published are {published}")
        for names, what in (
            (empty, f"of {len(task.classes)} classes of {split} are without images"),
            (unreadable, f"of {len(data)} images of {split} are unreadable"),
            (leaked, f"of {len(data)} test images stand in train or validation"),
        ):
            if names:
                more = ", …" if len(names) > NAMED else ""
                finding.problems.append(f"{len(names)} {what}: {', '.join(names[:NAMED])}{more}")
        counts = (
            len(data),
            published,
            len(present),
            len(empty),
            len(unreadable),
            len(leaked) if split == "test" else None,
        )
        texts = ["-" if count is None else str(count) for count in counts]
        finding.rows.append((task.name, split, *texts, place.name))
    return finding


def rendered(task: Task) -> Place:
    """Pictures of `mini`, as arrays."""

    def read(split: str) -> tuple[list[np.ndarray], list[int]]:
        images, labels = load_images(task, split)
        return list(images.permute(0, 2, 3, 1).numpy()), labels.tolist()

    return Place("the package", read)


def digests(data: Pictures) -> Iterator[bytes | str]:
    """Of each picture's pixels and size, in order; of one that cannot be decoded, the sentence that says so."""
    starts = range(0, len(data), CHUNK)
    progress = Progress(data.title, len(data))

    def make(number: int) -> list[bytes | str]:
        return [digest(data, index) for index in range(len(data))[starts[number] : starts[number] + CHUNK]]

    for part in made_ahead(make, range(len(starts)), data):
        yield from part
        progress.advance(len(part))
    progress.close()


def digest(data: Pictures, index: int) -> bytes | str:
    try:
        picture = data.picture(index)
    except ValueError as error:
        return str(error)
    return hashlib.blake2b(repr(picture.size).encode() + picture.tobytes(), digest_size=16).digest()


def command(name: str, suite: str, *tasks: str) -> str:
    """To be typed as it is, in a terminal that knows no TAUJP_DATA."""
    chosen = f" --tasks {' '.join(tasks)}" if tasks else ""
    return f"python -m taujp_core.datasets {name} --suite {suite} --root {shlex.quote(str(data_folder()))}{chosen}"


def report(suite: Suite, findings: list[Finding]) -> str:
    """A table, what is wrong, and a last sentence."""
    rows = [COLUMNS, *(row for finding in findings for row in finding.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    numbers = range(2, len(COLUMNS) - 1)
    lines = [
        "  ".join(
            text.rjust(width) if column in numbers else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    wrong = [finding for finding in findings if finding.problems]
    lines += [""] if wrong else []
    lines += [f"{finding.task}: {problem}" for finding in wrong for problem in finding.problems]
    missing = [finding.task for finding in findings if finding.missing]
    return "\n".join([*lines, "", last_sentence(suite, findings, missing, len(wrong) - len(missing))])


def last_sentence(suite: Suite, findings: list[Finding], missing: list[str], wrong: int) -> str:
    if not missing and not wrong:
        return f"All {len(findings)} data sets of {suite.name} are there and whole, with no test image in train or validation."
    parts = [f"{wrong} {'has' if wrong == 1 else 'have'} problems"] if wrong else []
    parts += [f"{len(missing)} {'is' if len(missing) == 1 else 'are'} missing"] if missing else []
    get = f": get what is missing by `{command('download', suite.name)}`" if missing else ""
    return f"Of {len(findings)} data sets of {suite.name}, {' and '.join(parts)}{get}."
