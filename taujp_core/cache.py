"""What was made before, and need not be made again? Tensors and notes in the cache folder, for whoever may write there.

Nothing here stops work: what the cache does not hold, or holds damaged, is made; what cannot be kept is used and made
again the next time.
"""

import warnings
from collections.abc import Callable

from torch import Tensor

from .files import cache_folder, is_there, read_tensors, write_tensors, write_text
from .identity import fingerprint

SAID: set[str] = set()  # by this process


def read_cached(name: str) -> dict[str, Tensor] | None:
    """Tensors that `write_cached` kept under this name, bit for bit; None if there are none, or no longer those."""
    try:
        tensors, metadata = read_tensors(cache_folder() / name)
    except (OSError, ValueError):
        return None
    return tensors if metadata == {"name": name, "digest": fingerprint(tensors)} else None


def write_cached(name: str, tensors: dict[str, Tensor]) -> None:
    """Keep tensors, under the name FILE or FOLDER/FILE, with their digest."""
    keep(lambda: write_tensors(cache_folder() / name, tensors, {"name": name, "digest": fingerprint(tensors)}))


def is_noted(name: str) -> bool:
    try:
        return is_there(cache_folder() / name)
    except (OSError, ValueError):
        return False


def note(name: str, text: str) -> None:
    """Keep a file whose being there says something."""
    keep(lambda: write_text(cache_folder() / name, text))


def keep(write: Callable[[], None]) -> None:
    try:
        write()
    except (OSError, ValueError) as error:
        reason = str(error).partition(" cannot be written: ")[2] or str(error)  # without the file's name
        if reason not in SAID:  # Python's own memory of warnings is wiped whenever a library changes filters
            SAID.add(reason)
            warnings.warn(f"nothing is kept in the cache, and is made again each time: {reason}", stacklevel=1)
