"""How is a file written so that nobody ever reads half of it?

Three things are kept apart, each in a sentence: a file that is not there (FileNotFoundError), one that this user may not
read or write (PermissionError), and one that is proven to be damaged (Damaged).
"""

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import safetensors
from safetensors.torch import save_file
from torch import Tensor

from .identity import digest

UNFINISHED = ".part"  # ends the names of folders in which a file is being written
LONGEST_WRITE = 24 * 3600.0  # seconds; no file takes longer to be written: what is older was left by a killed process
REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of this user is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
    errno.EFBIG: "the file is larger than this process or the file system may make",
    errno.ENOTDIR: "a file stands where a folder should be",
    errno.EEXIST: "a file stands where a folder should be",
    errno.EISDIR: "a folder stands where the file should be",
    errno.ENOTEMPTY: "a folder stands where the file should be",
}


class Damaged(ValueError):
    """A file of this project's that is proven to be damaged: cut off, altered, or not what its name says."""


def named_folder(variable: str) -> Path | None:
    """The folder that an environment variable names, with `~` for the user's home; None if it is unset or empty."""
    value = os.environ.get(variable)
    return from_home(value, variable) if value else None


def from_home(path: str | Path, said_by: str) -> Path:
    """The path with `~` replaced by the user's home. Raises ValueError if there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{said_by} is {path}, but there is no such home folder: give an absolute path") from None


def cache_folder() -> Path:
    """TAUJP_CACHE, by default the user's cache folder: what can be made or fetched again.

    Raises FileNotFoundError for a user without a home folder who has set neither TAUJP_CACHE nor XDG_CACHE_HOME.
    """
    if chosen := named_folder("TAUJP_CACHE"):
        return chosen
    if caches := named_folder("XDG_CACHE_HOME"):
        return caches / "taujp"
    try:
        return Path.home() / ".cache" / "taujp"
    except RuntimeError:
        raise FileNotFoundError(
            "this user has no home folder, and so no folder for caches: set TAUJP_CACHE to one"
        ) from None


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file, then rename it to `path`: after a kill the old file stands.

    It lies in a folder of its own beside `path`, for writers may leave temporary files of their own (safetensors does).
    The file's mode is the one that the umask gives, whatever mode the writer gave it. What killed writers left in the
    same folder long ago is removed. Raises OSError in a sentence, PermissionError where the user may not write.
    """
    path = Path(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_temporaries(path.parent, LONGEST_WRITE)
        folder = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{UNFINISHED}")
        folder.mkdir()
        try:
            temporary = folder / path.name
            write(temporary)
            follow_umask(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # not in the way of what the writer has to say


def follow_umask(path: Path) -> None:
    """Give a new file the mode that files get in its folder: safetensors makes files that nobody else may read."""
    ordinary = path.with_name(f"{path.name}.mode")
    ordinary.touch()
    mode = ordinary.stat().st_mode
    if path.stat().st_mode != mode:
        path.chmod(mode)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """An OSError while `path` is written, of the same class, as a sentence with the path and what can be done."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # a sentence already
            raise
        reason = REASONS.get(error.errno) or os.strerror(error.errno)
        first = "make room there, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        sentence = type(error)(f"{path} cannot be written: {reason}; {first}{remedy(path)}")
        sentence.errno = error.errno
        raise sentence from None


def remedy(path: Path) -> str:
    """What to change so that this file is written elsewhere."""
    with suppress(FileNotFoundError, ValueError):
        for variable, folder in (("TAUJP_DATA", named_folder("TAUJP_DATA")), ("TAUJP_CACHE", cache_folder())):
            if folder and Path(path).absolute().is_relative_to(folder.absolute()):
                return f"set {variable} to another folder"
    return "choose another folder by the argument `store` or `output`, or by TAUJP_HOME"


def remove_temporaries(folder: Path, age: float = 0.0) -> None:
    """What processes left that were killed while they wrote into the folder, if it is older than `age` seconds.

    At age 0 nobody else may be writing into the folder. What may not be removed is left.
    """
    for path in Path(folder).glob(f".*.????????{UNFINISHED}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime >= age:
                shutil.rmtree(path)


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: object) -> None:
    """NaN and infinities are refused (ValueError): they are not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict:
    """Raises Damaged for a file that does not hold a JSON object, and what `readable` raises."""
    with readable(path) as path:
        text = path.read_bytes()
    try:
        value = json.loads(text.decode("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"{path} is not a JSON file: {error}") from None
    if not isinstance(value, dict):
        raise Damaged(f"{path} must hold a JSON object, not {type(value).__name__}")
    return value


def write_sealed(path: Path, value: dict) -> None:
    """JSON with a digest of all of it, so that a value that was altered later is found."""
    write_json(path, {**value, "digest": digest(value)})


def read_sealed(path: Path) -> dict:
    """What `write_sealed` was given. Raises Damaged for a file that is not as it was written."""
    value = read_json(path)
    if value.pop("digest", None) != digest(value):
        raise Damaged(f"{path} is cut off or altered: its values do not have the digest that was stored with them")
    return value


def sha256(path: Path) -> str:
    """Of a whole file, in hexadecimal digits, as it is published beside weights."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, object]) -> None:
    """safetensors file; each metadata value is stored as JSON."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {key: json.dumps(value) for key, value in metadata.items()}

    def write(temporary: Path) -> None:
        try:
            save_file(tensors, temporary, metadata=header)
        except safetensors.SafetensorError as error:  # it has no class for what the operating system says
            if number := re.search(r"os error (\d+)", str(error)):
                raise OSError(int(number[1]), os.strerror(int(number[1]))) from None
            raise

    write_atomically(path, write)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and metadata of a file written by `write_tensors`. Raises Damaged, and what `readable` raises."""
    with opened_tensors(path) as file:
        # Copies, for those in the file's bytes start anywhere, and sums over unaligned memory round otherwise.
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        return tensors, metadata_of(file)


def read_metadata(path: Path) -> dict[str, object]:
    """Of a file written by `write_tensors`, whose tensors are not read."""
    with opened_tensors(path) as file:
        return metadata_of(file)


@contextmanager
def opened_tensors(path: Path) -> Iterator[safetensors.safe_open]:
    with readable(path) as path, path.open("rb"):  # the library would say of a file without permission: no such file
        pass
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except (safetensors.SafetensorError, ValueError) as error:
        raise Damaged(f"{path} is truncated or not a safetensors file of this project: {error}") from None


def metadata_of(file: safetensors.safe_open) -> dict[str, object]:
    return {key: json.loads(value) for key, value in (file.metadata() or {}).items()}


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """Around the reading of a file. Raises FileNotFoundError for one that is not there, PermissionError for one that this
    user may not read, Damaged for a folder in its place; OSError for a disk that fails."""
    path = Path(path)
    try:
        yield path
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise Damaged(f"{path} is a folder, where a file should be") from None
    except PermissionError:
        raise PermissionError(f"{path} is there, but this user may not read it: ask its owner") from None
    except OSError as error:
        raise OSError(f"{path} cannot be read: {error.strerror or error}") from None


def is_there(path: Path) -> bool:
    """Whether this is a file. Raises PermissionError where this user may not look."""
    try:
        with readable(path) as path:
            return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False
