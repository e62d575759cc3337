"""Who will interfere with whom, before anything is merged? τJp of many vectors on many data sets."""

from collections.abc import Sequence

import pandas as pd
import torch

from taujp_core.datasets import Split
from taujp_core.datasets.user_inputs import by_name, images_of
from taujp_core.models import Clip
from taujp_core.task_vectors import as_vectors

from .products import measure_products


def tau_jp(clip: Clip, vectors: object, images: object, most: int = 200) -> pd.DataFrame:
    """τJp(τ, D) = mean over x in D of ‖J_θ f(x; θ₀)·τ‖₂ of every vector on every data set.

    f(x; θ) is the image encoder's output before normalisation, so τJp has the unit of a feature's norm. A larger
    τJp on another task's images means that the vector moves the features of that task further.

    Args:
        clip: the pre-trained model.
        vectors: a task vector, a run, a merge, or a list of them.
        images: pictures by the name of the data set, without labels: folders, bytes [n, 3, h, w] of any size, PIL images,
            torch Datasets; or a folder with one subfolder per data set; or tasks, whose validation images are used.
        most: images of each data set, a fair sample; 0: all.

    Returns:
        A row for each vector, named by its task; a column for each data set.

    Raises:
        ValueError for a vector of another θ₀; FloatingPointError for a vector with NaN; TypeError, ValueError or
        FileNotFoundError, in a sentence that names the data set, for pictures that cannot be read.

    >>> clip, street = load_clip("mini"), load_suite("mini").task("street")
    >>> vector = train(clip, street, method="linear", steps=2)
    >>> tau_jp(clip, vector, {"street": street}, most=8).shape
    (1, 1)

    Source: Yoshida et al., ICLR 2025, sec. 4.
    """
    vectors = as_vectors(vectors)
    columns = {}
    for name, given in by_name("images", images).items():
        pictures = images_of(f"images of {name}", given, clip.image_size, most, "validation")
        split = Split(pictures, torch.zeros(len(pictures), dtype=torch.long))
        columns[name] = measure_products(clip, vectors, split).tau_jp().tolist()
    return pd.DataFrame(columns, index=pd.Index([vector.task for vector in vectors], name="vector"))


def own_and_others(table: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """Of `tau_jp`'s table, for each vector: τJp on its own task (tau_jp_own), its mean on the others of `tasks`."""
    rows = [
        {"tau_jp_own": row[name], "tau_jp_others": row[[task for task in tasks if task != name]].mean()}
        for name, row in table.iterrows()
    ]
    return pd.DataFrame(rows, index=table.index)
