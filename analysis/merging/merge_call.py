"""How does one call merge checkpoints, with pictures as they are at hand?"""

from collections.abc import Mapping
from pathlib import Path

from taujp_core.datasets.user_inputs import by_name
from taujp_core.models import Clip
from taujp_core.task_vectors import as_vectors

from .merge import ROUNDS
from .merge import merge as merge_tensors
from .merge_images import CONTROL, pictures_given
from .merged import Merged
from .output import merge_to

IMAGES = 300  # of each task: more bring little more, and take as much longer


def merge(
    clip: Clip,
    vectors: object,
    images: object,
    control: object = None,
    *,
    output: Path | str | None = None,
    most: int = IMAGES,
    rounds: int = ROUNDS,
) -> Merged:
    """One model that does what each expert does, from unlabelled pictures; nothing is trained or tuned.

    On each expert's pictures, least squares bring the merged model's features close to the expert's features: see `merging/merge.py`.

    Args:
        clip: the pre-trained model that all vectors are of.
        vectors: two or more task vectors (or runs), one for each task, all applied in one way.
        images: pictures by the vectors' tasks: folders, bytes [n, 3, h, w] of any size, PIL images, torch Datasets, tasks
            (their training images); or a folder that holds a folder for each, and `control` if there is a control.
        control: pictures on which the merged model should behave as the pre-trained model does. None: no such pictures.
        output: where the model is written, as by `Merged.save`. With `output`, a second call resumes a
            killed merge, and loads a finished merge.
        most: the largest number of pictures per task, a fair sample; 0: all pictures.
        rounds: the largest number of rounds. The merge stops earlier if the set-aside pictures show no more gain.

    Returns:
        `merged.vector` for α = 1, and tables of how it went; `merged.save(path)` writes the model.

    Raises:
        ValueError for fewer than two vectors, for vectors of another θ₀ or applied in different ways, two of one task, a
        zero vector, a vector without pictures and pictures without a vector, and an output that is another model;
        FloatingPointError for vectors with NaN; and what reading the pictures raises.

    >>> clip, suite = load_clip("mini"), load_suite("mini")
    >>> tasks = [suite.task("street"), suite.task("signs")]
    >>> vectors = [train(clip, task, method="standard", steps=2) for task in tasks]
    >>> merge(clip, vectors, tasks, most=16, rounds=1)
    Merged(street, signs into mini, rounds: 1)
    """
    vectors = as_vectors(vectors)
    given: Mapping = by_name("images", images)
    if isinstance(images, str | Path) and CONTROL in given and control is None:
        control = given[CONTROL]
    named = {name: one for name, one in given.items() if name != CONTROL}
    pictures, kept = pictures_given(named, control, clip, [vector.task for vector in vectors], most)
    if output is None:
        return merge_tensors(vectors, clip, pictures, kept, rounds=rounds)
    return merge_to(output, vectors, clip, pictures, kept, rounds=rounds)
