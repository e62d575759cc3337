"""What is the result of a merge, and how is it written?

The layouts are those of `docs/merge.md`: a name that ends in .safetensors is open_clip's, any other Hugging Face's folder.
Vectors of the linearised model, which no such layout holds, are written as this project's task vector (.safetensors).
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from taujp_core.checkpoints import merge_record, save_hugging_face, save_open_clip
from taujp_core.files import from_home
from taujp_core.models import Clip
from taujp_core.task_vectors import TaskVector, edited

TABLES = ("history", "distances")


@dataclass(frozen=True, repr=False)
class Merged:
    """What came of a merge.

    vector: the merged one, for α = 1.
    history: a row for the start (round 0) and for each round, with `held` (the objective on held-out images, features'
    squared units), the round's `images` of each set and the objective `before` and `after` on them, rho, iterations
    and length of the step.
    distances: a row for each set, with its mean squared distance from the expert on held-out images of the pre-trained
    model, of the plain sum Σ τ_t, at the start and of the result.
    clip: the model that it is of; tasks: those that were merged; identity: a digest of all that decided the result;
    rounds: at most so many were asked for.
    """

    vector: TaskVector
    history: pd.DataFrame
    distances: pd.DataFrame
    clip: Clip
    tasks: tuple[str, ...]
    identity: str
    rounds: int

    def __repr__(self) -> str:
        return f"Merged({', '.join(self.tasks)} into {self.clip.name}, rounds: {len(self.history) - 1})"

    def save(self, path: Path | str) -> Path:
        """Write the merged model, in one step, and return the path.

        path: a name that ends in .safetensors is open_clip's layout, any other becomes a folder that transformers'
        CLIPModel loads; vectors of the linearised model are written as a task vector (.safetensors). The file or folder
        holds the merge's record (`merge_record`). Nothing is written where this merge was saved before. Raises ValueError
        for a path that exists and is another model.
        """
        path = from_home(path, "the merged model")
        check_layout(path, self.vector)
        if not path.exists():
            write(path, self.vector, self.clip, self.record())
        elif merge_record(path).get("merge") != self.identity:
            raise ValueError(f"{path} exists and is another model: choose another output, or move it away")
        return path

    def record(self) -> dict:
        """What the written model says of itself."""
        said = {"merge": self.identity, "rounds": self.rounds, "task": self.vector.task, "tasks": list(self.tasks)}
        return {**said, **{name: rows(getattr(self, name)) for name in TABLES}}


def rows(table: pd.DataFrame) -> list[dict]:
    """As JSON holds them: it knows no NaN and no infinity, for which there is None."""
    table = table.replace([float("inf"), float("-inf")], float("nan"))
    return table.astype(object).where(table.notna(), None).to_dict("records")


def check_layout(output: Path, vector: TaskVector) -> None:
    if not vector.application.in_weights and output.suffix != ".safetensors":
        raise ValueError(
            f"the merge of {vector.method} vectors is a task vector file: {output} must end in .safetensors"
        )


def write(output: Path, vector: TaskVector, clip: Clip, record: dict) -> None:
    theta = edited(clip.theta0, [vector], [1.0])
    if not vector.application.in_weights:
        vector.save(output, merge=record)
    elif output.suffix == ".safetensors":
        save_open_clip(clip, theta, output, record)
    else:
        save_hugging_face(clip, theta, output, record)
