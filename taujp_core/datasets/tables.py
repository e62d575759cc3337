"""How are pictures and labels read from a table?

Tables of the library `datasets`: those of a local folder, and what all tables have, pictures in one column and labels
in another.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import datasets

from ..progress import watched_terminal
from ..tasks import Published, Task
from .classes import check_spellings, class_labels, in_order_of
from .places import Place, Split, below_data, data_folder

SPLITS = {"train": "train", "validation": "val", "val": "val", "test": "test"}  # their names, and ours


class Encoded(Sequence):
    """The encoded pictures of a table's column, or their files, looked up when they are asked for."""

    def __init__(self, table: datasets.Dataset, column: str):
        self.table, self.column = table, column

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> bytes | Path:
        picture = self.table[index][self.column]
        return Path(picture["path"]) if picture["bytes"] is None and picture["path"] else picture["bytes"] or b""


def locate(task: Task) -> Place:
    """Raises FileNotFoundError without the folder, ValueError for one that `datasets` cannot read."""
    folder, source = below_data(task.source.path), task.source
    tables = local_tables(folder)
    return Place(
        str(folder),
        tuple(tables),
        lambda part: read(task, tables[part], f"{folder} ({part})", source.image, source.label),
    )


def local_tables(folder: Path) -> dict[str, datasets.Dataset]:
    """By part; a table that was saved alone is the training images."""
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {folder} does not exist")
    saved = any((folder / mark).is_file() for mark in ("state.json", "dataset_dict.json"))
    quietly()
    try:
        found = (
            datasets.load_from_disk(str(folder))
            if saved
            else datasets.load_dataset(str(folder), cache_dir=str(data_folder() / "hub/cache"))
        )
    except Exception as error:  # of `datasets` or of Arrow, which have their own classes for a damaged file
        raise ValueError(f"{folder} is no folder that the library `datasets` reads: {first_line(error)}") from None
    found = {"train": found} if isinstance(found, datasets.Dataset) else found
    tables = {SPLITS[name]: table for name, table in found.items() if name in SPLITS}
    if "train" not in tables:
        raise ValueError(f"{folder} has the splits {', '.join(found)}: one must be train")
    return tables


def quietly() -> None:
    if not watched_terminal():
        datasets.disable_progress_bars()


def read(task: Task, table: datasets.Dataset, where: str, image: str, label: str) -> Split:
    """Encoded pictures, and labels in the order of the task's classes. Raises ValueError for a column that is missing
    or holds something else.
    """
    for column in (image, label):
        if column not in table.column_names:
            raise ValueError(
                f"{where} has no column {column!r}, which the suite names: it has {', '.join(table.column_names)}"
            )
    try:
        table = table.cast_column(image, datasets.Image(decode=False))
        values = list(table.with_format("numpy")[label][:])
        labels = [str(value) for value in values] if is_text(table, label) else [int(value) for value in values]
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(f"{where}: {image!r} are no images, or {label!r} no numbers: {error}") from None
    return Encoded(table.select_columns([image]), image), ordered(task, table, label, labels, where)


def ordered(task: Task, table: datasets.Dataset, column: str, labels: list, where: str) -> list[int]:
    """Labels in the order of the task's classes, if the column names its classes by the same names."""
    names = class_names(table, column)
    if names is None:
        return labels
    if isinstance(task.source, Published):
        try:
            ours = class_labels(task, names)
        except ValueError:  # other names, such as ImageNet's with all their synonyms: the order is that of the suite
            return labels
        order = [ours[name] for name in names]
    else:
        order = in_order_of(task.classes, names)
        if is_text(table, column):
            if order is None:
                raise ValueError(
                    f"{where}: {column!r} has {', '.join(names[:5])}, classes are {', '.join(task.classes[:5])}"
                )
            return [order[names.index(label)] for label in labels]
        if order is None and len(names) != len(task.classes):
            raise ValueError(f"{where}: {column!r} has {len(names)} classes, {task.name} has {len(task.classes)}")
        if order is None:
            return labels
    return [order[label] if 0 <= label < len(names) else label for label in labels]


def is_text(table: datasets.Dataset, column: str) -> bool:
    return getattr(table.features[column], "dtype", None) in ("string", "large_string")


def class_names(table: datasets.Dataset, column: str) -> list[str] | None:
    """Of a ClassLabel in its order, of texts sorted, of other numbers none."""
    feature = table.features[column]
    if isinstance(feature, datasets.ClassLabel):
        return feature.names
    return sorted(set(table.unique(column)), key=str) if is_text(table, column) else None


def with_classes(task: Task, table: datasets.Dataset, column: str, where: str) -> Task:
    """The task with the classes that the label column names."""
    if column not in table.column_names:
        raise ValueError(
            f"{where} has no column {column!r}, which the suite names: it has {', '.join(table.column_names)}"
        )
    names = class_names(table, column)
    if names is None:
        raise ValueError(f"the column {column!r} of {where} does not name its classes: give {task.name} `classes`")
    check_spellings(where, names)
    return replace(task, classes=tuple(name.replace("_", " ") for name in names))


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
