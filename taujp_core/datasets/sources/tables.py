"""How are pictures and labels read from two columns of a table, be it a local one or one of the hub?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import pyarrow.compute

from ...checks import first_line, options
from ...identity import fields_of
from ...progress import watched_terminal
from ...tasks import Listing, Place, Source, Task
from ..classes import check_spellings, own_order, published_order
from ..file_digest import files_digest
from ..folders import below_data, data_folder, existing
from ..image_files import entries_below, part_of, parts_by_name


class Encoded(Sequence):
    """The encoded pictures of a table's column, or their files, looked up when they are asked for.

    A path that is relative starts at `folder`, where the table lies. None stands where the table has no picture.
    """

    def __init__(self, table: datasets.Dataset, column: str, folder: Path):
        self.table, self.column, self.folder = table, column, folder

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> bytes | Path | None:
        picture = self.table[index][self.column] or {"bytes": None, "path": None}
        return self.folder / picture["path"] if picture["bytes"] is None and picture["path"] else picture["bytes"]


@dataclass(frozen=True)
class Table(Source):
    """A local folder that the library `datasets` reads: save_to_disk's, parquet files, an image folder."""

    path: str
    image: str = "image"
    label: str = "label"
    keys = ("dataset",)
    version = 1

    @classmethod
    def from_entry(cls, what: str, entry: Mapping) -> "Table":
        return cls(**options(f"dataset of {what}", entry["dataset"], cls, "path"))

    def with_classes(self, task: Task, classes: Sequence[str] | None) -> tuple[Task, Place | None]:
        if classes is not None:
            return task, None
        folder = below_data(self.path)
        found = all_tables(folder)
        task = named_by(task, parts_of(folder, found)["train"], self.label, str(folder))
        return task, self.place(task, folder, found)

    def locate(self, task: Task) -> Place:
        """Raises FileNotFoundError without the folder, ValueError for one that `datasets` cannot read."""
        folder = below_data(self.path)
        return self.place(task, folder, all_tables(folder))

    def place(self, task: Task, folder: Path, found: Mapping[str, datasets.Dataset]) -> Place:
        tables = parts_of(folder, found)
        others = [name for name in found if part_of(name) is None]
        said = [f"not read, for they are no parts: the tables {', '.join(others)} of {folder}"] if others else []
        return Place(
            str(folder),
            tuple(tables),
            lambda part: read(task, tables[part], f"{folder} ({part})", folder, self.image, self.label),
            not_read=lambda: said,
        )

    def identity(self, task: Task, place: Place) -> dict:
        folder = below_data(self.path)
        # `datasets` keeps a cache beside tables.
        paths = {Path(entry) for entry in entries_below(folder) if not entry.name.startswith((".", "cache-"))}
        return {**fields_of(self, "path"), "files": files_digest(folder, paths | picture_files(folder, self.image))}


def parts_of(folder: Path, found: Mapping[str, datasets.Dataset]) -> dict[str, datasets.Dataset]:
    """By part, whatever the table calls it (`part_of`). Raises ValueError for a folder without train, and with two."""
    names = parts_by_name(str(folder), list(found))
    if "train" not in names:
        raise ValueError(f"{folder} has the splits {', '.join(found)}: one must be train")
    return {part: found[name] for part, name in names.items()}


def all_tables(folder: Path) -> dict[str, datasets.Dataset]:
    """By their own names; a table that was saved alone is the training images."""
    existing(folder, f"the folder {folder}")
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
    return {"train": found} if isinstance(found, datasets.Dataset) else dict(found)


def picture_files(folder: Path, column: str) -> set[Path]:
    """The files that a table's image column names instead of holding them."""
    found: set[Path] = set()
    for part, table in parts_of(folder, all_tables(folder)).items():
        table = decodable(table, column, f"{folder} ({part})").data.column(column)
        for chunk in table.chunks:
            paths = chunk.filter(pyarrow.compute.is_null(chunk.field("bytes"))).field("path").to_pylist()
            found |= {folder / path for path in paths if path}
    return found


def quietly() -> None:
    if not watched_terminal():
        datasets.disable_progress_bars()


def read(task: Task, table: datasets.Dataset, where: str, folder: Path, image: str, label: str) -> Listing:
    """Encoded pictures, and labels in the order of the task's classes. Raises ValueError for a column that is missing
    or holds something else, with the first row that does.
    """
    table = decodable(table, image, where)
    check_column(table, label, where)
    values = table[label][:]
    check_values(values, is_text(table, label), f"{where}: {label!r}")
    labels = values if is_text(table, label) else [int(value) for value in values]
    return Encoded(table.select_columns([image]), image, folder), ordered(task, table, label, labels, where)


def decodable(table: datasets.Dataset, image: str, where: str) -> datasets.Dataset:
    """The table, all its columns as Python values, with pictures as files' bytes or paths."""
    check_column(table, image, where)
    try:
        return table.with_format(None).cast_column(image, datasets.Image(decode=False))
    except Exception as error:  # of Arrow, which has its own classes, and other ones in each version
        raise ValueError(f"{where}: {image!r} are no images: {first_line(error)}") from None


def check_column(table: datasets.Dataset, column: str, where: str) -> None:
    if column not in table.column_names:
        raise ValueError(
            f"{where} has no column {column!r}, which the suite names: it has {', '.join(table.column_names)}"
        )


def check_values(values: list, text: bool, what: str) -> None:
    """Raises ValueError for the first label that is missing, empty or no whole number."""
    for row, value in enumerate(values):
        if value is None or value == "":
            raise ValueError(f"{what} of row {row} is empty: every picture needs a label")
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if not (isinstance(value, str) if text else whole):
            raise ValueError(f"{what} of row {row} is {str(value)[:50]!r}: labels are whole numbers, or names")


def ordered(task: Task, table: datasets.Dataset, column: str, labels: list, where: str) -> list[int]:
    """Labels in the order of the task's classes: by name if the column names its classes as the task does, else by
    number, if none of its names is the task's. Raises ValueError, with the name, for a mixture of both.
    """
    names, text = class_names(table, column), is_text(table, column)
    if names is None:
        return labels
    own = task.source.own  # or the benchmark's
    order = own_order(task, names, f"{where}: {column!r}", text) if own else published_order(task, names)
    if order is None:
        return labels
    by_label = dict(zip(names if text else range(len(names)), order, strict=True))
    return [by_label.get(label, label) for label in labels]


def is_text(table: datasets.Dataset, column: str) -> bool:
    return getattr(table.features[column], "dtype", None) in ("string", "large_string")


def class_names(table: datasets.Dataset, column: str) -> list[str] | None:
    """Of a ClassLabel in its order, of texts sorted, of other numbers none."""
    feature = table.features[column]
    if isinstance(feature, datasets.ClassLabel):
        return feature.names
    return sorted(set(table.unique(column)) - {None, ""}) if is_text(table, column) else None


def named_by(task: Task, table: datasets.Dataset, column: str, where: str) -> Task:
    """The task with the classes that the label column names."""
    check_column(table, column, where)
    names = class_names(table, column)
    if names is None:
        raise ValueError(f"the column {column!r} of {where} does not name its classes: give {task.name} `classes`")
    check_spellings(where, names)
    return replace(task, classes=tuple(name.replace("_", " ") for name in names))


SOURCE = Table
