"""How is a merge written that may be killed while it merges, and when is what lies there not overwritten?

OUTPUT            the merged checkpoint (`merged.py`). It appears by one rename and holds its own record, which merge it is and how it went (in the file's
                  head, in the folder's merge.json): what is there is finished
.OUTPUT.merging/  what a merge needs until then; gone when it is finished
    state.safetensors   the merge so far
    OUTPUT              the model while it is being written
.OUTPUT.lock      held by the process that merges; the operating system frees it when that process dies
"""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pandas as pd
from jaxtyping import UInt8
from torch import Tensor

from taujp_core.checkpoints import load_checkpoint, merge_record
from taujp_core.locks import held
from taujp_core.models import Clip
from taujp_core.task_vectors import TaskVector

from .merge import ROUND_IMAGES, ROUNDS, check, identity, merge
from .merged import TABLES, Merged, check_layout, write

STATE = "state.safetensors"


def merge_to(
    output: Path | str,
    vectors: Sequence[TaskVector],
    clip: Clip,
    images: Mapping[str, Tensor],
    control: Tensor | None = None,
    rounds: int = ROUNDS,
    round_images: int = ROUND_IMAGES,
) -> Merged:
    """Merge and write, or go on where it was killed, or read what this very merge has written before.

    What is returned is always what was written and read again: `load_checkpoint(output, clip)` has the same numbers.
    A second process that merges to the same output waits for the first. Raises what `merge` raises, and ValueError for
    an output that exists and is another model, before anything is computed.
    """
    check(vectors, clip, images, control)
    output = Path(output)
    check_layout(output, vectors[0])
    this = identity(vectors, clip, images, control, rounds, round_images)
    if not output.exists():
        with only_process(output):
            if not output.exists():
                write_merge(output, vectors, clip, images, control, rounds, round_images)
    merged = finished(output, this, vectors, clip, rounds)
    if unfinished(output).exists():  # of this merge, which may have been killed between its last two moments
        with only_process(output):
            shutil.rmtree(unfinished(output), ignore_errors=True)
    return merged


def write_merge(
    output: Path,
    vectors: Sequence[TaskVector],
    clip: Clip,
    images: Mapping[str, UInt8[Tensor, "_ 3 h w"]],
    control: UInt8[Tensor, "n 3 h w"] | None,
    rounds: int,
    round_images: int,
) -> None:
    """Merge, from the saved state if there is one, write beside the output, and rename."""
    folder = unfinished(output)
    clear(folder, keep=STATE)
    merged = merge(vectors, clip, images, control, folder / STATE, rounds, round_images)
    write(folder / output.name, merged.vector, clip, merged.record())
    (folder / output.name).replace(output)


def finished(output: Path, this: str, vectors: Sequence[TaskVector], clip: Clip, rounds: int) -> Merged:
    """What this merge has written; raises ValueError if what is there is something else."""
    found = merge_record(output)
    if found.get("merge") != this:
        raise ValueError(f"{output} exists and is another model: choose another output, or move it away")
    vector = load_checkpoint(output, clip, task=found["task"])
    vector = TaskVector(vector.tau, vector.theta0_fingerprint, found["task"], vectors[0].method)
    history, distances = (pd.DataFrame(found[name]) for name in TABLES)
    distances = distances.astype({name: float for name in distances if name != "set"})
    return Merged(vector, history.astype(float), distances, clip, tuple(found["tasks"]), this, rounds)


def only_process(output: Path) -> AbstractContextManager[None]:
    """Nobody else merges to this output meanwhile: a second process waits, until the first has finished or died."""
    return held(output.with_name(f".{output.name}.lock"), f"{output} is being merged")


def unfinished(output: Path) -> Path:
    """The folder of what a merge needs until it is finished."""
    return output.with_name(f".{output.name}.merging")


def clear(folder: Path, keep: str) -> None:
    """Remove what processes left in it that were killed while they wrote, all but one file."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != keep:
            path.unlink()
