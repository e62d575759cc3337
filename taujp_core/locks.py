"""Whose turn is it to write? Locks that the operating system frees when their process dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .files import explained
from .progress import say


def lock_at(path: Path) -> FileLock:
    """The lock of this file, which all may take who may write into its folder, whoever made it."""
    return FileLock(path, mode=0o600 | path.parent.stat().st_mode & 0o666)


@contextmanager
def held(path: Path, busy: str) -> Iterator[None]:
    """With the lock at `path`, whose folder is made; `busy` is said while another process holds it."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = lock_at(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"{busy} by another process: waiting for it")
            lock.acquire(poll_interval=1.0)
    try:
        yield
    finally:
        lock.release()
