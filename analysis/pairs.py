"""What does one vector do to the task of another? A table with a row for each pair, treatment and application.

source, target, application (`linearised` or `encoder`)
tau_jp, tau_jp_squared, logit_jp, logit_jp_squared    on the target's images, at θ₀ (`interference.exposure`)
margin_scaled, towards_boundary    the same, by the class boundaries as θ₀ + τ_t sees them, linearised
accuracy_loss, loss_change, changed                   on the target's images (`interference.interference`)
norm (‖τ_s‖), cosine (of τ_s and τ_t), own_tau_jp (on s's images), own_accuracy (of θ₀ + τ_s on s)
"""

from collections.abc import Sequence

import pandas as pd

from taujp_core.applications import EditedData, find_application
from taujp_core.datasets import Split, load_split
from taujp_core.models import Clip, zero_shot_head
from taujp_core.parameters import flat
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector

from .coefficients import scores
from .interference import exposure, interference
from .products import edited_source

APPLICATIONS = ("linearised", "encoder")

Treatment = tuple[dict, tuple[float, ...]]  # arm, level and step; coefficients of the directions


def measure_source(
    clip: Clip,
    suite: Suite,
    source: str,
    targets: Sequence[TaskVector],
    directions: Sequence[TaskVector],
    treatments: Sequence[Treatment],
    images: int,
) -> pd.DataFrame:
    """The table's rows for one source Σₖ cₖ·directionₖ at all treatments, on each target and by both applications.

    Treatments of the same coefficients, as the untreated one of every arm, are measured once.
    """
    labels = pd.DataFrame([label for label, _ in treatments])
    coefficients = list(dict.fromkeys(tuple(alphas) for _, alphas in treatments))
    rows = [coefficients.index(tuple(alphas)) for _, alphas in treatments]
    own = own_effects(clip, suite, source, directions, coefficients, images)
    tables = []
    for target in targets:
        task = suite.task(target.task)
        head = zero_shot_head(clip, task.classes, task.templates)
        split = load_split(suite.task(target.task), "validation").first(images)
        measured = both_sources(clip, [target, *directions], split)
        base, edited = [1.0, *[0.0] * len(directions)], [[1.0, *alphas] for alphas in coefficients]
        shared = {
            **exposure(measured["linearised"], head, [[0.0, *alphas] for alphas in coefficients], base),
            **geometry(target, directions, coefficients),
        }
        for application, applied in measured.items():
            columns = [pd.DataFrame(shared), interference(applied, head, base, edited), own[application]]
            found = pd.concat(columns, axis=1).iloc[rows].reset_index(drop=True)
            named = labels.assign(source=source, target=target.task, application=application)
            tables.append(pd.concat([named, found], axis=1))
    return pd.concat(tables, ignore_index=True)


def own_effects(
    clip: Clip, suite: Suite, source: str, directions: Sequence[TaskVector], coefficients: list, images: int
) -> dict[str, pd.DataFrame]:
    """own_accuracy and own_tau_jp of the source on its own task, by application."""
    task = suite.task(source)
    head = zero_shot_head(clip, task.classes, task.templates)
    split = load_split(suite.task(source), "validation").first(images)
    measured = both_sources(clip, directions, split)
    tau_jp = exposure(measured["linearised"], head, coefficients)["tau_jp"]
    return {
        application: pd.DataFrame({"own_accuracy": scores(applied, head, coefficients).accuracy, "own_tau_jp": tau_jp})
        for application, applied in measured.items()
    }


def both_sources(clip: Clip, vectors: Sequence[TaskVector], split: Split) -> dict[str, EditedData]:
    """A data set under these vectors, by the name of the application, whatever their methods."""
    return {name: edited_source(clip, vectors, split, find_application(name)) for name in APPLICATIONS}


def geometry(target: TaskVector, directions: Sequence[TaskVector], coefficients: list) -> dict[str, list[float]]:
    """‖τ_s‖ and its cosine with τ_t."""
    own = flat(target.tau).double()
    found: dict[str, list[float]] = {"norm": [], "cosine": []}
    for alphas in coefficients:
        tau = sum(alpha * flat(vector.tau).double() for alpha, vector in zip(alphas, directions, strict=True))
        found["norm"].append(tau.norm().item())
        found["cosine"].append((tau @ own / (tau.norm() * own.norm())).item())
    return found
