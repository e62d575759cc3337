"""Who has a file's lock, on this machine or on another that sees the folder?

The operating system frees a lock when the last process that has it dies. A lock's file is there as long as somebody has
the lock, and after a kill, until the next one takes it.
"""

import fcntl
import os
from pathlib import Path


def take(path: Path) -> int | None:
    """The file descriptor that has the lock; None if somebody else has it."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        except BlockingIOError:
            os.close(lock)
            return None
        except FileNotFoundError:
            pass
        os.close(lock)  # of a file that its last owner removed just then


def give_back(path: Path, lock: int) -> None:
    """And remove the file, which whoever opened it meanwhile notices."""
    path.unlink(missing_ok=True)
    os.close(lock)


def is_taken(path: Path) -> bool:
    """Whether somebody has the lock. The file of one that nobody has is removed."""
    if not path.exists():
        return False
    lock = take(path)
    if lock is not None:
        give_back(path, lock)
    return lock is None
