"""Where do vectors lie that together would not fit into memory? In files that are read as they are needed."""

import errno
import os
import shutil
import tempfile

import torch

from .files import cache_folder, explained
from .parameters import Parameters, bytes_of, device_of
from .products.memory import total_memory

SHARE = 64  # twenty vectors of a 64th of the memory each are a third of it


def mapped(tau: Parameters) -> Parameters:
    """The same tensors; of a vector that takes more than a SHARE-th of the memory as a map of a file.

    The system reads what is looked at and drops what has not been looked at for long. The file is in the cache folder, not in
    a folder for temporary files, which is often memory itself. It has no name, and is gone when nobody needs the tensors any
    more, or the process ends. Tensors on a GPU stay there. Raises OSError in a sentence for a full disk.
    """
    device = device_of(tau)
    if device.type != "cpu" or SHARE * bytes_of(tau) <= total_memory(device):
        return tau
    folder = cache_folder() / "mapped"
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < bytes_of(tau):  # PyTorch's writer would not say what is wrong
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with tempfile.TemporaryFile(
            dir=folder
        ) as file:  # without a name from the beginning: a kill leaves nothing behind
            torch.save({name: value.contiguous() for name, value in tau.items()}, file)
            file.flush()
            return torch.load(f"/dev/fd/{file.fileno()}", mmap=True, weights_only=True)
