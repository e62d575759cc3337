"""How does a data set come from the Hugging Face hub? As parquet files of one revision, read by `datasets`.

A copy lies in hub/REPO/REVISION below the data folder. Its `taujp.json` holds the commit, and whether the copy is
complete. `datasets` keeps the tables in its own format, which is mapped into memory, in hub/cache.
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import datasets
import huggingface_hub

from ...checks import first_line, options
from ...files import read_json, write_json
from ...hub import SILENCE, check_sum, explained
from ...identity import fields_of
from ...locks import held
from ...progress import Progress, quiet_downloads
from ...tasks import Listing, Place, Source, Task
from ..folders import data_folder
from ..image_files import part_of
from . import tables

RECORD = "taujp.json"
INSTEAD = "lay the data set into a folder of a layout that docs/reproduce.md names"
CONVERSION = "try `revision: refs/convert/parquet`, the hub's own conversion"
PATTERNS = {"train": "train", "val": "validation", "test": "test"}  # parts, and the fields that hold their patterns


@dataclass(frozen=True)
class Hub(Source):
    """A repository of the Hugging Face hub: parquet files with an image and a label column.

    `train`, `test` and `validation` are patterns of file names. A default that matches nothing is a split that the
    repository does not have; a pattern that was given has to match.
    """

    repo: str
    revision: str = "main"
    train: str = "*train*.parquet"
    test: str = "*test*.parquet"
    validation: str = "*validation*.parquet"
    image: str = "image"
    label: str = "label"
    keys = ("hub",)
    version = 1

    @property
    def hub(self) -> "Hub":
        """The repository that can be downloaded: this one."""
        return self

    @classmethod
    def from_entry(cls, what: str, entry: Mapping) -> "Hub":
        return cls(**options(f"hub of {what}", entry.get("hub"), cls, "repo"))

    def with_classes(self, task: Task, classes: Sequence[str] | None) -> tuple[Task, Place | None]:
        if classes is not None:
            return task, None
        found = files(task, self)
        task = tables.named_by(task, table(self, "train", found["train"]), self.label, self.repo)
        return task, place(task, self, found)

    def locate(self, task: Task) -> Place:
        """The copy of the repository. Raises FileNotFoundError if it is not there."""
        return place(task, self, files(task, self))

    def identity(self, task: Task, place: Place) -> dict:
        return {**fields_of(self), "commit": read_json(copy_folder(self, data_folder()) / RECORD)["commit"]}


def copy_folder(hub: Hub, root: Path) -> Path:
    return root / "hub" / hub.repo / hub.revision.replace("/", "--")


def files(task: Task, hub: Hub, where: str = "not") -> dict[str, list[str]]:
    """The files of each part, in one walk. Raises FileNotFoundError unless the copy of the revision is complete."""
    root = data_folder()
    folder = copy_folder(hub, root)
    if not is_complete(folder):
        raise FileNotFoundError(
            f"the data set {task.name} is not below {root}, {where} as {hub.repo} from the "
            f"hub: get it by `python -m taujp_core.datasets download --suite NAME --tasks {task.name} --root {root}` "
            "with the suite's name"
        )
    paths = sorted(path for path in folder.rglob("*.*") if path.is_file())
    return {
        part: [str(path) for path in paths if is_of(path.relative_to(folder).as_posix(), hub, part)]
        for part in PATTERNS
    }


def place(task: Task, hub: Hub, found: Mapping[str, list[str]]) -> Place:
    folder = copy_folder(hub, data_folder())
    parts = tuple(part for part in PATTERNS if part == "train" or found[part])

    def read(part: str) -> Listing:
        """Raises ValueError for a damaged file and for a missing column, FileNotFoundError for missing files."""
        where = str(folder / pattern_of(hub, part))
        return tables.read(task, table(hub, part, found[part]), where, folder, hub.image, hub.label)

    return Place(f"{hub.repo} at {read_json(folder / RECORD)['commit'][:12]}", parts, read)


def is_of(path: str, hub: Hub, part: str) -> bool:
    """Whether a file of a repository is of this part: by the pattern that was given, or else by the word in its path
    that is nearest to its end. (`latest/train/0.parquet` is for training, though *test* matches it.)
    """
    pattern = pattern_of(hub, part)
    if pattern != pattern_of(Hub, part):
        return fnmatch(path, pattern)
    for name in reversed(PurePosixPath(path).parts):
        parts = {part_of(word) for word in re.findall("[a-zA-Z]+", name)} - {None}
        if parts:
            return path.endswith(".parquet") and parts == {part}
    return False


def pattern_of(hub: Hub | type[Hub], part: str) -> str:
    return getattr(hub, PATTERNS[part])


def table(hub: Hub, part: str, found: list[str]) -> datasets.Dataset:
    folder, pattern = copy_folder(hub, data_folder()), pattern_of(hub, part)
    if not found:
        raise FileNotFoundError(f"{folder} has no file {pattern}: delete the folder and download it again")
    tables.quietly()
    cache = str(data_folder() / "hub/cache")
    try:
        return datasets.load_dataset("parquet", data_files={part: found}, split=part, cache_dir=cache)
    except Exception as error:  # of `datasets` or of Arrow, which have their own classes for a damaged file
        reason = first_line(error.__cause__ or error)
        raise ValueError(
            f"{folder / pattern} is empty or damaged, delete the folder and download it again: {reason}"
        ) from None


def needed(hub: Hub) -> list[str]:
    """The parts that the repository must have; defaults of test and validation may match nothing."""
    return ["train", *(part for part in ("test", "val") if pattern_of(hub, part) != pattern_of(Hub, part))]


def download(name: str, hub: Hub, root: Path) -> Path:
    """Fetch what is missing of the suite's revision. A download that was stopped goes on with the file it was at; of two
    at once the second waits for the first. A file counts when it has the checksum that the hub says.

    Raises ConnectionError if the hub cannot be reached, is busy, or says nothing for one to seven minutes, PermissionError if
    it wants the user's consent, ValueError if it has not what the suite names, and for a file with another checksum.
    """
    folder = copy_folder(hub, root)
    with held(folder.with_name(f".{folder.name}.lock"), f"{hub.repo} is being downloaded"):
        if not is_complete(folder):
            fetch(name, hub, folder)
    return folder


def is_complete(folder: Path) -> bool:
    return (folder / RECORD).is_file() and read_json(folder / RECORD)["complete"]


def fetch(name: str, hub: Hub, folder: Path) -> None:
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {"commit": None}
    api = huggingface_hub.HfApi()
    quiet_downloads()
    page = f"{api.endpoint}/datasets/{hub.repo}"
    with explained(name, hub.repo, hub.revision, page, INSTEAD):
        # The commit of a download that was stopped: a branch may have moved since.
        info = api.dataset_info(
            hub.repo, revision=record["commit"] or hub.revision, files_metadata=True, timeout=SILENCE
        )
    for part in needed(hub):
        if not any(is_of(file.rfilename, hub, part) for file in info.siblings):
            pattern, default = pattern_of(hub, part), pattern_of(Hub, part)
            raise ValueError(
                f"{hub.repo} at {info.sha[:12]} has no file {pattern}, which the suite names"
                + (f": give a pattern of its own as `{PATTERNS[part]}`, or {CONVERSION}" if pattern == default else "")
            )
    write_json(folder / RECORD, {"repo": hub.repo, "commit": info.sha, "complete": False})
    wanted = [
        f for f in info.siblings if f.rfilename == "README.md" or any(is_of(f.rfilename, hub, p) for p in PATTERNS)
    ]
    progress = Progress(f"{name} from {hub.repo}", len(wanted), unit="file", terminal=False)
    for file in wanted:
        with explained(name, hub.repo, hub.revision, page, INSTEAD):
            api.hf_hub_download(hub.repo, file.rfilename, repo_type="dataset", revision=info.sha, local_dir=folder)
        check_sum(folder / file.rfilename, file, hub.repo)
        progress.advance(1)
    progress.close()
    write_json(folder / RECORD, {"repo": hub.repo, "commit": info.sha, "complete": True})
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # huggingface_hub's notes, and parts of files after a kill


SOURCE = Hub
