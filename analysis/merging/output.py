"""Where does a merged model go, and when is what lies there not overwritten?

OUTPUT            the merged checkpoint: open_clip's layout for a name that ends in .safetensors, else Hugging Face's
                  folder; of linearised vectors, which no such layout holds, this project's task vector (.safetensors).
                  It appears by one rename and holds its own record, which merge it is and how it went (in the file's
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

from taujp_core.checkpoints import load_checkpoint, merge_record, save_hugging_face, save_open_clip
from taujp_core.locks import held
from taujp_core.models import Clip
from taujp_core.task_vectors import TaskVector, edited

from .merge import ROUND_IMAGES, ROUNDS, Merged, check, identity, merge

TABLES = ("history", "distances")
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
                write_merge(output, vectors, clip, images, control, this, rounds, round_images)
    merged = finished(output, this, vectors, clip)
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
    this: str,
    rounds: int,
    round_images: int,
) -> None:
    """Merge, from the saved state if there is one, write beside the output, and rename."""
    folder = unfinished(output)
    clear(folder, keep=STATE)
    merged = merge(vectors, clip, images, control, folder / STATE, rounds, round_images)
    tables = {name: rows(getattr(merged, name)) for name in TABLES}
    tasks = [vector.task for vector in vectors]
    record = {"merge": this, "rounds": rounds, "task": merged.vector.task, "tasks": tasks, **tables}
    write(folder / output.name, merged.vector, clip, record)
    (folder / output.name).replace(output)


def rows(table: pd.DataFrame) -> list[dict]:
    """As JSON holds them: it knows no NaN and no infinity, for which there is None."""
    table = table.replace([float("inf"), float("-inf")], float("nan"))
    return table.astype(object).where(table.notna(), None).to_dict("records")


def check_layout(output: Path, vector: TaskVector) -> None:
    if not vector.application.in_weights and output.suffix != ".safetensors":
        raise ValueError(
            f"the merge of {vector.method} vectors is a task vector file: {output} must end in .safetensors"
        )


def finished(output: Path, this: str, vectors: Sequence[TaskVector], clip: Clip) -> Merged:
    """What this merge has written; raises ValueError if what is there is something else."""
    found = merge_record(output)
    if found.get("merge") != this:
        raise ValueError(f"{output} exists and is another model: choose another output, or move it away")
    vector = load_checkpoint(output, clip, task=found["task"])
    vector = TaskVector(vector.tau, vector.theta0_fingerprint, found["task"], vectors[0].method)
    history, distances = (pd.DataFrame(found[name]) for name in TABLES)
    return Merged(vector, history.astype(float), distances.astype({name: float for name in distances if name != "set"}))


def write(output: Path, vector: TaskVector, clip: Clip, record: dict) -> None:
    theta = edited(clip.theta0, [vector], [1.0])
    if not vector.application.in_weights:
        vector.save(output, merge=record)
    elif output.suffix == ".safetensors":
        save_open_clip(clip, theta, output, record)
    else:
        save_hugging_face(clip, theta, output, record)


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
