"""How good is a merged or fine-tuned model on data of one's own, at one coefficient or at many?"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from taujp_core.applications.encoder import ENCODER
from taujp_core.checks import check_keys
from taujp_core.datasets.user_inputs import TestSet, by_name, name_of, test_set
from taujp_core.models import Clip, zero_shot_head
from taujp_core.task_vectors import applied_alike, as_vectors, total
from taujp_core.tasks import Task

from .coefficients import COEFFICIENTS, addition_curve, scores, tuned_coefficient
from .figures import accuracy_versus_coefficient, task_colours
from .products import edited_source


def evaluate(
    clip: Clip, model: object, data: object, coefficient: float = 1.0, templates: Sequence[str] | None = None
) -> pd.DataFrame:
    """Accuracy and calibration of a model on labelled test images, by the zero-shot head of their class names.

    Args:
        clip: the pre-trained model, whose text tower makes the head.
        model: a task vector, a run or a merge, applied as its method says; None: the pre-trained model.
        data: class folders (the part `test`, or all where there are no parts), a task, a torch Dataset with `classes`,
            (images, labels, classes); or a mapping of names to several of them.
        coefficient: α of θ₀ + α·τ.
        templates: texts that hold {} once. By default those of a task, else CLIP's `a photo of a {}.`

    Returns:
        A row for each data set: images (their number), accuracy (0 to 1), nll (mean negative log-likelihood, in nats), ece
        and ace (calibration errors, 0 to 1).

    Raises:
        ValueError for a vector of another θ₀; TypeError, ValueError or FileNotFoundError, in a sentence that names the
        data set, for data that cannot be read.

    >>> clip, suite = load_clip("mini"), load_suite("mini")
    >>> list(evaluate(clip, None, suite.task("signs")).columns)
    ['images', 'accuracy', 'nll', 'ece', 'ace']

    Source: Guo et al. 2017 (ECE, NLL), Nixon et al. 2019 (ACE).
    """
    vectors = [] if model is None else as_vectors(model)
    if len(vectors) > 1:
        raise ValueError(f"evaluate takes one model, not {len(vectors)} vectors: give their sum or their merge")
    rows = {}
    for name, tested in test_sets(data, clip, templates).items():
        source = edited_source(clip, vectors, tested.split, None if vectors else ENCODER)
        found = scores(source, zero_shot_head(clip, tested.classes, tested.templates), [[coefficient] * len(vectors)])
        rows[name] = {"images": len(tested.split), **found.rename(columns={"loss": "nll"}).iloc[0]}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("data set")
    return table.astype({"images": int})


def coefficient_curves(
    clip: Clip,
    vectors: object,
    tests: object,
    coefficients: Sequence[float] = COEFFICIENTS,
    templates: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Accuracy of θ₀ + α·Σₜ τₜ on labelled data, over the coefficient α.

    Args:
        clip: the pre-trained model.
        vectors: task vectors, runs or merges. All must have the same application, `encoder` or `linearised`.
        tests: labelled data by name, as `evaluate` takes them. The expert of a data set is the vector of that task.
        coefficients: values of α.
        templates: as in `evaluate`.

    Returns:
        A row for each data set and α: task, coefficient, accuracy, loss (nats), ece, ace; single (the expert's accuracy) and
        normalised (accuracy / single), NaN for a data set without an expert.

    Raises:
        What `evaluate` does, and ValueError for vectors that are applied in different ways.

    >>> clip, signs = load_clip("mini"), load_suite("mini").task("signs")
    >>> vector = train(clip, signs, method="linear", steps=2)
    >>> len(coefficient_curves(clip, vector, {"signs": signs}, [0.0, 1.0]))
    2

    Source: Ilharco et al. 2023; Ortiz-Jimenez et al. 2023, sec. 5.
    """
    vectors = as_vectors(vectors)
    applied_alike(vectors)
    tables = []
    for name, tested in test_sets(tests, clip, templates).items():
        head = zero_shot_head(clip, tested.classes, tested.templates)
        expert = [vector for vector in vectors if vector.task == name]
        source = edited_source(clip, [total(vectors), *expert[:1]], tested.split)
        own = [0.0, 1.0][: 1 + len(expert[:1])]
        curve = addition_curve(source, head, own, [1.0, 0.0][: len(own)], coefficients)
        if not expert:
            curve = curve.assign(single=np.nan, normalised=np.nan)
        tables.append(curve.assign(task=name))
    return pd.concat(tables, ignore_index=True)


def plot_coefficients(
    clip: Clip,
    vectors: object,
    tests: object,
    validation: object = None,
    coefficients: Sequence[float] = COEFFICIENTS,
    templates: Sequence[str] | None = None,
) -> go.Figure:
    """A figure of `coefficient_curves`: accuracy on each data set and their mean, over the coefficient α.

    Args:
        clip, vectors, tests, coefficients, templates: as in `coefficient_curves`.
        validation: labelled data sets with the same names as `tests`, but other images. The figure marks the α that is
            best on `validation`. Without `validation` the figure marks no α.

    Returns:
        A plotly figure; `.write_html(path)` and `.write_image(path)` save it.

    Raises:
        What `coefficient_curves` does, and ValueError for validation data of other names.

    >>> clip, signs = load_clip("mini"), load_suite("mini").task("signs")
    >>> plot_coefficients(clip, train(clip, signs, method="linear", steps=2), {"signs": signs}).layout.xaxis.title.text
    'coefficient α'
    """
    vectors = as_vectors(vectors)
    curves = coefficient_curves(clip, vectors, tests, coefficients, templates)
    tuned = np.nan
    if validation is not None:
        check_keys("validation", named(validation), list(dict.fromkeys(curves.task)))
        tuned = tuned_coefficient(coefficient_curves(clip, vectors, validation, coefficients, templates))
    method = " and ".join(dict.fromkeys(vector.method for vector in vectors))
    curves = curves.assign(method=method, seed=0, split="test")
    single = curves.dropna(subset="single").drop_duplicates("task").drop(columns="accuracy")
    single = single.rename(columns={"single": "accuracy"})
    return accuracy_versus_coefficient(curves, single, {method: tuned}, task_colours(list(dict.fromkeys(curves.task))))


def test_sets(given: object, clip: Clip, templates: Sequence[str] | None) -> dict[str, TestSet]:
    """Each labelled data set, read, by its name."""
    return {
        name: test_set(f"the test images of {name}", one, clip.image_size, templates)
        for name, one in named(given).items()
    }


def named(given: object) -> dict[str, object]:
    """Labelled data by name; what is no mapping and no list of tasks is one data set, with a name of its own."""
    several = isinstance(given, Mapping) or (
        isinstance(given, list | tuple) and all(isinstance(one, Task) for one in given)
    )
    return by_name("data", given) if several else {name_of(given): given}
