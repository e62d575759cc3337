"""Where does a merged model go, and when is what lies there not overwritten?

OUTPUT            the merged checkpoint: open_clip's layout for a name that ends in .safetensors, else Hugging Face's
                  folder; of linearised vectors, which no such layout holds, this project's task vector (.safetensors)
OUTPUT.json       which merge it is, and how it went, written last: a merge with this file is finished
OUTPUT.state.safetensors   the merge so far; gone when it is finished
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from torch import Tensor

from taujp_core.checkpoints import load_checkpoint, save_hugging_face, save_open_clip
from taujp_core.files import read_json, write_json
from taujp_core.methods import application
from taujp_core.models import Clip
from taujp_core.task_vectors import TaskVector, edited

from .merge import ROUND_IMAGES, ROUNDS, Merged, check, identity, merge

TABLES = ("history", "distances")


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

    Raises what `merge` raises, and ValueError for an output that exists and is another model, before anything is
    computed.
    """
    check(vectors, clip, images, control)
    output = Path(output)
    check_layout(output, vectors[0])
    sets = [images[vector.task] for vector in vectors] + ([] if control is None else [control])
    this = {"merge": identity(vectors, sets, round_images), "rounds": rounds}
    record, state = beside(output, ".json"), beside(output, ".state.safetensors")
    if output.exists() or record.exists():
        return finished(output, record, this, vectors, clip)
    merged = merge(vectors, clip, images, control, state, rounds, round_images)
    write(output, merged.vector, clip)
    tables = {name: getattr(merged, name).astype(object).where(getattr(merged, name).notna(), None) for name in TABLES}
    rows = {name: table.to_dict("records") for name, table in tables.items()}
    write_json(record, {**this, "task": merged.vector.task, "tasks": [v.task for v in vectors], **rows})
    state.unlink(missing_ok=True)
    return merged


def check_layout(output: Path, vector: TaskVector) -> None:
    if application(vector.method) == "linearised" and output.suffix != ".safetensors":
        raise ValueError(
            f"the merge of {vector.method} vectors is a task vector file: {output} must end in .safetensors"
        )


def finished(output: Path, record: Path, this: dict, vectors: Sequence[TaskVector], clip: Clip) -> Merged:
    """What this merge has written; raises ValueError if what is there is something else."""
    found = read_json(record) if record.exists() else {}
    if {key: found.get(key) for key in this} != this or not output.exists():
        raise ValueError(f"{output} exists and is another model: choose another output, or move it away")
    vector = load_checkpoint(output, clip, task=found["task"])
    vector = TaskVector(vector.tau, vector.theta0_fingerprint, found["task"], vectors[0].method)
    return Merged(vector, *(pd.DataFrame(found[name]) for name in TABLES))


def write(output: Path, vector: TaskVector, clip: Clip) -> None:
    theta = edited(clip.theta0, [vector], [1.0])
    if application(vector.method) == "linearised":
        vector.save(output)
    elif output.suffix == ".safetensors":
        save_open_clip(clip, theta, output)
    else:
        save_hugging_face(clip, theta, output)


def beside(output: Path, ending: str) -> Path:
    return output.with_name(output.name + ending)
