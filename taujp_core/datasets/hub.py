"""Copies of data sets from the Hugging Face hub: parquet files of one revision, read by the library `datasets`.

A copy lies in hub/REPO/REVISION below the data folder. Its `taujp.json` holds the commit, and whether the copy is
complete. `datasets` keeps the tables in its own format, which is mapped into memory, in hub/cache.
"""

import errno
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import datasets
import huggingface_hub
from huggingface_hub import errors

from ..files import read_json, write_json
from ..suites import Hub, Task
from .classes import class_labels

RECORD = "taujp.json"


class Encoded(Sequence):
    """The encoded pictures of a table's column, looked up when they are asked for."""

    def __init__(self, table: datasets.Dataset, column: str):
        self.table, self.column = table, column

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> bytes:
        return self.table[index][self.column]["bytes"] or b""


def copy_folder(hub: Hub, root: Path) -> Path:
    return root / "hub" / hub.repo / hub.revision.replace("/", "--")


def locate(task: Task, root: Path) -> tuple[str, Callable[[str], tuple[Sequence, list[int]]]] | None:
    """The complete copy of the suite's revision, and how a split of it is read."""
    folder = copy_folder(task.hub, root)
    if not (folder / RECORD).is_file():
        return None
    record = read_json(folder / RECORD)
    if not record["complete"]:
        return None
    return f"{task.hub.repo} at {record['commit'][:12]}", lambda split: read(task, folder, root / "hub/cache", split)


def read(task: Task, folder: Path, cache: Path, split: str) -> tuple[Sequence, list[int]]:
    """Raises ValueError for a damaged file and for a missing column, FileNotFoundError for missing files."""
    hub = task.hub
    pattern = hub.test if split == "test" else hub.train
    files = sorted(str(path) for path in folder.glob(pattern))
    if not files:
        raise FileNotFoundError(f"{folder} has no file {pattern}: delete the folder and download it again")
    if sys.stderr is None or not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        table = datasets.load_dataset("parquet", data_files={split: files}, split=split, cache_dir=str(cache))
    except Exception as error:  # of `datasets` or of Arrow, which have their own classes for a damaged file
        reason = first_line(error.__cause__ or error)
        raise ValueError(
            f"{folder / pattern} is empty or damaged, delete the folder and download it again: {reason}"
        ) from None
    for column in (hub.image, hub.label):
        if column not in table.column_names:
            raise ValueError(
                f"{folder / pattern} has no column {column!r}, which the suite names: it has {', '.join(table.column_names)}"
            )
    try:
        table = table.cast_column(hub.image, datasets.Image(decode=False))
        labels = [int(label) for label in table.with_format("numpy")[hub.label][:]]
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(
            f"{folder / pattern}: {hub.image!r} are no images, or {hub.label!r} no numbers: {error}"
        ) from None
    return Encoded(table.select_columns([hub.image]), hub.image), in_order_of(task, table.features[hub.label], labels)


def in_order_of(task: Task, feature: object, labels: list[int]) -> list[int]:
    """Labels in the order of the task's classes, if the repository names its classes by the same names."""
    if not isinstance(feature, datasets.ClassLabel):
        return labels
    try:
        ours = class_labels(task, feature.names)
    except ValueError:  # other names, such as ImageNet's with all their synonyms: the order is that of the suite
        return labels
    return [ours[feature.names[label]] if 0 <= label < len(feature.names) else label for label in labels]


def download(task: Task, root: Path) -> Path:
    """Fetch what is missing of the suite's revision. A download that was stopped goes on with the file it was at.

    Raises ConnectionError if the hub cannot be reached, PermissionError if it wants the user's consent, ValueError if
    it has not what the suite names.
    """
    hub, folder = task.hub, copy_folder(task.hub, root)
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {"commit": None, "complete": False}
    if record["complete"]:
        return folder
    api = huggingface_hub.HfApi()
    if sys.stderr is None or not sys.stderr.isatty():
        huggingface_hub.utils.disable_progress_bars()
    with explained(task, api.endpoint):
        # The commit of a download that was stopped: a branch may have moved since.
        info = api.dataset_info(hub.repo, revision=record["commit"] or hub.revision)
    names = [file.rfilename for file in info.siblings]
    for pattern in (hub.train, hub.test):
        if not any(fnmatch(name, pattern) for name in names):
            raise ValueError(f"{hub.repo} at {info.sha[:12]} has no file {pattern}, which the suite names")
    write_json(folder / RECORD, {"repo": hub.repo, "commit": info.sha, "complete": False})
    for name in names:
        if any(fnmatch(name, pattern) for pattern in (hub.train, hub.test, "README.md")):
            with explained(task, api.endpoint):
                api.hf_hub_download(hub.repo, name, repo_type="dataset", revision=info.sha, local_dir=folder)
    write_json(folder / RECORD, {"repo": hub.repo, "commit": info.sha, "complete": True})
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # huggingface_hub's notes, and parts of files after a kill
    return folder


@contextmanager
def explained(task: Task, endpoint: str) -> Iterator[None]:
    """What goes wrong with the hub, in one sentence."""
    repo = task.hub.repo
    try:
        yield
    except errors.GatedRepoError:
        raise PermissionError(
            f"{repo} wants consent: accept its terms at {endpoint}/datasets/{repo}, "
            "then log in by `hf auth login` or set HF_TOKEN"
        ) from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        reason = first_line(error)
        raise ValueError(f"{repo} at revision {task.hub.revision} is not to be had from {endpoint}: {reason}") from None
    except Exception as error:  # each version of huggingface_hub has other classes for a network that is not there
        if isinstance(error, OSError) and (error.filename or error.errno in (errno.ENOSPC, errno.EDQUOT)):
            raise  # the disk
        reason = first_line(error.__cause__ or error)
        raise ConnectionError(
            f"{task.name} needs {repo} from {endpoint}, which cannot be reached ({reason}): connect to the "
            "network, or lay the data set into a folder of a layout that the README names"
        ) from None


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
