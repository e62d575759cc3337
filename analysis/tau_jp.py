"""Who will interfere with whom, before anything is merged? τJp of many vectors on many data sets."""

from collections.abc import Sequence

import pandas as pd

from taujp_core.datasets import load_split
from taujp_core.models import Clip
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector

from .products import measure_products


def tau_jp_table(
    clip: Clip,
    suite: Suite,
    vectors: Sequence[TaskVector],
    images: int = 200,
    data_sets: Sequence[str] | None = None,
) -> pd.DataFrame:
    """τJp of every vector on every data set: by default those of the suite, the control among them.

    A row for each vector, named by its task; a column for each data set; on the first `images` validation images,
    which need no labels. Raises what `measure_products` raises.
    """
    columns = {}
    for name in suite.datasets() if data_sets is None else data_sets:
        measured = measure_products(clip, vectors, load_split(suite.task(name), "validation").first(images))
        columns[name] = measured.tau_jp().tolist()
    return pd.DataFrame(columns, index=pd.Index([vector.task for vector in vectors], name="vector"))


def own_and_others(table: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """Of `tau_jp_table`, for each vector: τJp on its own task (tau_jp_own), its mean on the others of `tasks`."""
    rows = [
        {"tau_jp_own": row[name], "tau_jp_others": row[[task for task in tasks if task != name]].mean()}
        for name, row in table.iterrows()
    ]
    return pd.DataFrame(rows, index=table.index)
