"""Who will interfere with whom, measured before anything is merged: τJp of finished vectors on each other's tasks."""

from collections.abc import Sequence

import pandas as pd
from torch.utils.data import TensorDataset

from taujp_core.datasets import load_split
from taujp_core.models import Clip
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector

from .products import measure_products


def tau_jp_table(clip: Clip, suite: Suite, vectors: Sequence[TaskVector], images: int = 200) -> pd.DataFrame:
    """τJp of every vector on every data set of the suite, the control among them.

    A row for each vector, named by its task; a column for each data set; on the first `images` validation images,
    which need no labels. Raises what `measure_products` raises.
    """
    columns = {}
    for name, task in suite.datasets().items():
        split = TensorDataset(*load_split(task, "validation")[:images])
        columns[name] = measure_products(clip, vectors, split).tau_jp().tolist()
    return pd.DataFrame(columns, index=pd.Index([vector.task for vector in vectors], name="vector"))
