"""Are files the same as before? A digest that is cheap for a million of them."""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from ..identity import bytes_digest

TAIL = 4096  # bytes


def files_digest(folder: Path, paths: Iterable[Path]) -> str:
    """Of the files' names (from the folder on, if they are in it), sizes and last 4 KiB.

    That is cheap, and sees what changes a compressed picture: its size or its end. What it does not see is a change
    at the top of an uncompressed one.
    """

    def parts() -> Iterator[bytes]:
        for path in sorted(paths):
            try:
                status = path.stat()
            except FileNotFoundError:
                raise FileNotFoundError(f"the picture {path} does not exist") from None
            tail = end_of_file(path, status.st_size, status.st_mtime_ns)
            name = path.relative_to(folder) if path.is_relative_to(folder) else path
            yield json.dumps([name.as_posix(), status.st_size, tail]).encode()

    return bytes_digest(parts())


@cache
def end_of_file(path: Path, size: int, changed: int) -> str:
    """Digest of the last bytes; read once for a size and a time of change."""
    with path.open("rb") as file:
        file.seek(max(0, size - TAIL))
        return bytes_digest([file.read()])
