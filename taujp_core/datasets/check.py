"""Are the data sets there, whole, and without test images among the training images?"""

import hashlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..cache import is_noted, note
from ..identity import digest as record_digest
from ..tasks import Place, Task
from .folders import data_folder
from .identity import source_identity
from .image_files import PARTS
from .load import SPLITS, encoded, held_out_test, load_split
from .pictures import Pictures, in_chunks
from .sources.hub import Hub
from .split import Split

NAMED = 5  # pictures and classes that are named; all are counted
COLUMNS = ("data set", "split", "images", "published", "classes", "empty", "unreadable", "in train", "found in")
COUNTS = {"train": "train_images", "val": "validation_images", "test": "test_images"}


@dataclass
class Finding:
    """Of one data set: the lines of the table, what is wrong and what is to be known, a sentence each."""

    task: str
    rows: list[tuple[str, ...]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    missing: bool = False


def check_task(task: Task, suite: str, parts: tuple[str, ...] = PARTS) -> Finding:
    """Every picture of these parts is decoded, once. A test image is leaked if a training image has the same pixels and size."""
    finding = Finding(task.name)
    try:
        place = task.locate()
    except (FileNotFoundError, ValueError) as error:
        finding.missing = isinstance(error, FileNotFoundError)
        finding.rows.append((task.name, "", *["-"] * 6, "not found" if finding.missing else "damaged"))
        had = finding.missing and hub_of(task)
        finding.problems.append(f"not found: {command('download', suite, task.name)}" if had else str(error))
        return finding
    finding.remarks = remarks(task, place) if "test" in parts else place.not_read()
    known: dict[bytes, str] = {}
    for part in parts:
        if part == "val" and "val" not in place.parts:
            continue
        try:
            data = checked_part(task, place, part)
        except (FileNotFoundError, ValueError) as error:
            finding.rows.append((task.name, part, *["-"] * 6, place.name))
            finding.problems.append(str(error))
            continue
        published = getattr(task, COUNTS[part])
        present = set(data.labels.tolist())
        empty = [name for label, name in enumerate(task.classes) if label not in present]
        unreadable, leaked = [], []
        for index, digest in enumerate(digests(data.pictures)):
            if isinstance(digest, str):
                unreadable.append(digest)
            elif part != "test":
                known.setdefault(digest, data.pictures.name(index))
            elif digest in known:
                leaked.append(f"{data.pictures.name(index)} is {known[digest]}")
        if published not in (None, len(data)):
            finding.problems.append(f"{part} has {len(data)} images, published are {published}")
        for names, what in (
            (empty, f"of {len(task.classes)} classes of {part} are without images"),
            (unreadable, f"of {len(data)} images of {part} are unreadable"),
            (leaked, f"of {len(data)} test images stand in train or validation"),
        ):
            if names:
                more = ", …" if len(names) > NAMED else ""
                finding.problems.append(f"{len(names)} {what}: {', '.join(names[:NAMED])}{more}")
        leaks = len(leaked) if part == "test" else None
        counts = (len(data), published, len(present), len(empty), len(unreadable), leaks)
        texts = ["-" if count is None else str(count) for count in counts]
        finding.rows.append((task.name, part, *texts, place.name))
    return finding


def checked_part(task: Task, place: Place, part: str) -> Split:
    """What is published as this part; test images that are not published are those that are held out of train."""
    if "test" in place.parts or part == "val":
        return encoded(task, part, place)
    data = encoded(task, "train", place)
    train, test = held_out_test(task, len(data))
    return data.subset(test if part == "test" else train)


def remarks(task: Task, place: Place) -> list[str]:
    """How splits are made that are not there, and what lies there and is not read."""
    found = place.not_read()
    if "test" not in place.parts:
        found.append("no test images: a fifth of train is held out for testing, drawn with seed 2, always the same")
    if task.validation_images and "val" not in place.parts:
        found.append(
            f"without the {task.validation_images} published validation images here: a tenth of train is held out"
        )
    return found


def hub_of(task: Task) -> Hub | None:
    """The repository that the task can be downloaded from."""
    return getattr(task.source, "hub", None)


def check_own(task: Task, place: Place | None = None) -> None:
    """Raises ValueError for a split without images and for the first picture that cannot be decoded, by its name.

    Each picture is decoded, once for as long as the data stay what they are: a note in the cache folder says so. The
    package's and the benchmark's data sets are left to `python -m taujp_core.datasets check`.
    """
    if not task.source.own:
        return
    place = place or task.locate()
    for split in SPLITS:
        load_split(task, split, place)
    if place.sound:
        return
    name = f"decoded/{record_digest([place.name, source_identity(task, place)])}"
    if is_noted(name):
        return
    for part in place.parts:
        for found in digests(encoded(task, part, place).pictures):
            if isinstance(found, str):
                raise ValueError(found)
    note(name, place.name)


def digests(pictures: Pictures) -> Iterator[bytes | str]:
    """Of each picture's pixels and size, in order; of one that cannot be decoded, the sentence that says so."""
    for _, part in in_chunks(pictures, lambda rows: [digest(pictures, index) for index in rows]):
        yield from part


def digest(pictures: Pictures, index: int) -> bytes | str:
    try:
        picture = pictures.picture(index)
    except ValueError as error:
        return str(error)
    return hashlib.blake2b(repr(picture.size).encode() + picture.tobytes(), digest_size=16).digest()


def command(name: str, suite: str, *tasks: str) -> str:
    """To be typed as it is, in a terminal that knows no TAUJP_DATA."""
    chosen = f" --tasks {' '.join(tasks)}" if tasks else ""
    return f"python -m taujp_core.datasets {name} --suite {suite} --root {shlex.quote(str(data_folder()))}{chosen}"


def report(suite: str, findings: list[Finding]) -> str:
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
    lines += [""] if wrong or any(finding.remarks for finding in findings) else []
    lines += [f"{finding.task}: {problem}" for finding in wrong for problem in finding.problems]
    lines += [f"{finding.task}: {remark}" for finding in findings for remark in finding.remarks]
    missing = [finding.task for finding in findings if finding.missing]
    return "\n".join([*lines, "", last_sentence(suite, findings, missing, len(wrong) - len(missing))])


def last_sentence(suite: str, findings: list[Finding], missing: list[str], wrong: int) -> str:
    if not missing and not wrong:
        return (
            f"All {len(findings)} data sets of {suite} are there and whole, with no test image in train or validation."
        )
    parts = [f"{wrong} {'has' if wrong == 1 else 'have'} problems"] if wrong else []
    parts += [f"{len(missing)} {'is' if len(missing) == 1 else 'are'} missing"] if missing else []
    get = f": get what is missing by `{command('download', suite)}`" if missing else ""
    return f"Of {len(findings)} data sets of {suite}, {' and '.join(parts)}{get}."
