"""Which temperature does a merged model need on each task?

A temperature T divides a task's logits: softmax(z/T). It changes no prediction, only how sure the model is.
"""

from collections.abc import Sequence

import pandas as pd

from taujp_core.datasets import load_split
from taujp_core.models import Clip, logits, zero_shot_head
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector

from ..metrics import fit_temperature, score
from ..products import edited_source


def calibrate(
    clip: Clip,
    suite: Suite,
    merged: TaskVector,
    tasks: Sequence[str],
    coefficient: float = 1.0,
    images: int = 0,
) -> pd.DataFrame:
    """A row per task: the temperature that its validation images want of θ₀ + α·τ, and what that does to test images.

    merged: one vector, of `total` or any merge, applied as its method is; α is `coefficient`. images: how many of each
    split are read, the first; all for 0. The columns: temperature; accuracy, which it leaves; loss (the NLL in
    nats), ece and ace without it, and loss_after, ece_after and ace_after with it (`analysis.metrics`). Raises
    ValueError for unknown tasks, for a negative number of images, and for a vector of another θ₀.
    """
    if images < 0:
        raise ValueError(f"the number of images must not be negative, not {images}: 0 means all")
    rows = {}
    for task in [suite.task(name) for name in tasks]:
        head, found = zero_shot_head(clip, task.classes, task.templates), {}
        for split in ("validation", "test"):
            source = edited_source(clip, [merged], load_split(task, split).first(images))
            found[split] = logits(source.edited_features([coefficient]), head), source.labels
        temperature = fit_temperature(*found["validation"])
        answers, labels = found["test"]
        before, after = score(answers, labels), score(answers / temperature, labels)
        after = {f"{name}_after": after[name] for name in ("loss", "ece", "ace")}
        rows[task.name] = {"temperature": temperature, **before, **after}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("task")
