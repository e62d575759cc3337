"""How does adding vectors change calibration, and does a temperature that was fitted on a single task survive it?

Models of a method and a seed: the `expert` of each task, θ₀ + τ_t, and the merged one, θ₀ + α·Σₜ τₜ, over the
coefficient α, `one-shot` (α = 1) and `tuned` (one α for all tasks, as task addition chooses it). Each is applied as its
method is, and asked about each task's test images with that task's head. A temperature belongs to a task. It is fitted
on the task's validation images, to the answers of the `expert` or of the `merged` model, or is 1 (`none`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor
from torch.utils.data import TensorDataset

from taujp_core.datasets.pictures import Pictures
from taujp_core.models import Clip, logits, zero_shot_head
from taujp_core.progress import Progress
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector, total
from taujp_core.tasks import Task
from taujp_core.training.run_store import Run

from ..coefficients import tuned_coefficient
from ..images import first_images
from ..metrics import accuracy, fit_temperature, reliability_table, score
from ..products import edited_source
from ..trainings import by_method_and_seed

COEFFICIENTS = tuple(k / 10 for k in range(11))
EXPERT, ONE_SHOT, TUNED = "expert", "one-shot", "tuned"  # models
NONE, OF_EXPERT, OF_MERGED = "none", "expert", "merged"  # what a temperature was fitted on
SURVIVES, LITTLE = 0.5, 0.01  # of the fall of the NLL that a fitted temperature brings; nats


@dataclass(frozen=True)
class Calibration:
    """Tidy tables over test images; every row has its method, seed and task. See `analysis.metrics.score`.

    curves: coefficient, accuracy, loss, ece, ace: the merged model's;
    tempered: model, temperature_of, coefficient, temperature, accuracy, loss, ece, ace;
    reliability: model, temperature_of, bin, count, confidence, accuracy.
    """

    curves: pd.DataFrame
    tempered: pd.DataFrame
    reliability: pd.DataFrame


def measure_calibration(clip: Clip, suite: Suite, runs: Sequence[Run], images: int = 0) -> Calibration:
    """The models of each method and seed, on the first `images` of each task's validation and test split, all for 0."""
    tables = []
    for (method, seed), group in by_method_and_seed(runs).items():
        found = measure_merge(clip, suite, [run.vector for run in group], images)
        tables.append([table.assign(method=method, seed=seed) for table in found])
    return Calibration(*(pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True)))


def measure_merge(
    clip: Clip, suite: Suite, vectors: Sequence[TaskVector], images: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The three tables for vectors of one method, one a task."""
    tasks = [suite.task(vector.task) for vector in vectors]
    merged = total(vectors)
    validation, test = (
        [
            task_answers(clip, task, vector, merged, first_images(suite, task.name, split, images))
            for task, vector in zip(tasks, vectors, strict=True)
        ]
        for split in ("validation", "test")
    )
    tuned = tuned_coefficient(pd.concat(validation_curve(*found) for found in validation))
    curves, tempered, reliability = [], [], []
    for task, (held_labels, held), (labels, answers) in zip(tasks, validation, test, strict=True):
        curves += [{"task": task.name, "coefficient": alpha, **score(answers[alpha], labels)} for alpha in COEFFICIENTS]
        of_expert = fit_temperature(held[EXPERT], held_labels)
        for model, point in {EXPERT: EXPERT, ONE_SHOT: 1.0, TUNED: tuned}.items():
            temperatures = {NONE: 1.0, OF_EXPERT: of_expert}
            if model != EXPERT:
                temperatures[OF_MERGED] = fit_temperature(held[point], held_labels)
            for temperature_of, temperature in temperatures.items():
                key = {"task": task.name, "model": model, "temperature_of": temperature_of}
                alpha = 1.0 if model == EXPERT else point
                scaled = answers[point] / temperature
                tempered.append({**key, "coefficient": alpha, "temperature": temperature, **score(scaled, labels)})
                reliability.append(reliability_table(scaled.softmax(-1), labels).assign(**key))
    return pd.DataFrame(curves), pd.DataFrame(tempered), pd.concat(reliability)


def task_answers(
    clip: Clip, task: Task, own: TaskVector, merged: TaskVector, split: TensorDataset | Pictures
) -> tuple[Tensor, dict[str | float, Tensor]]:
    """Labels [n], and logits [n, classes] by EXPERT and by the merged vector's coefficient."""
    source = edited_source(clip, [own, merged], split)
    head = zero_shot_head(clip, task.classes, task.templates)
    points = {EXPERT: [1.0, 0.0], **{alpha: [0.0, alpha] for alpha in COEFFICIENTS}}
    answers, progress = {}, Progress(f"edited models of {task.name}", len(points) * len(split))
    for point, coefficients in points.items():
        answers[point] = logits(source.edited_features(coefficients), head)
        progress.advance(len(split))
    progress.close()
    return source.labels, answers


def validation_curve(labels: Tensor, answers: dict[str | float, Tensor]) -> pd.DataFrame:
    """What `tuned_coefficient` reads: split, coefficient, accuracy, and normalised by the expert's."""
    alone = accuracy(answers[EXPERT], labels)
    curve = pd.DataFrame({"coefficient": COEFFICIENTS})
    curve["accuracy"] = [accuracy(answers[alpha], labels) for alpha in COEFFICIENTS]
    return curve.assign(split="validation", normalised=curve.accuracy / alone if alone else np.nan)


def over_coefficient(curves: pd.DataFrame, coefficients: Sequence[float] = (0.0, 0.5, 1.0)) -> pd.DataFrame:
    """A row a method: accuracy, loss, ece and ace of the merged model at these coefficients, means over tasks and seeds."""
    at = curves[curves.coefficient.isin(coefficients)]
    return at.pivot_table(index="method", columns="coefficient", values=["accuracy", "loss", "ece", "ace"], sort=False)


def summary_table(tempered: pd.DataFrame) -> pd.DataFrame:
    """A row a method, model and temperature's origin: means over tasks and seeds."""
    columns = ["coefficient", "temperature", "accuracy", "loss", "ece", "ace"]
    return tempered.groupby(["method", "model", "temperature_of"], sort=False)[columns].mean().reset_index()


def survival(summary: pd.DataFrame, model: str) -> pd.DataFrame:
    """A row a method: ece and loss of this merged model by temperature, and what is kept of the fitted one's gain.

    kept: (NLL without − NLL with the expert's temperatures) / (NLL without − NLL with temperatures fitted on the merged
    model): 1 is all of it, below 0 they do harm; NaN where the latter is below LITTLE, for then there is nothing to keep.
    """
    wide = summary[summary.model == model].pivot_table(
        index="method", columns="temperature_of", values=["ece", "loss"], sort=False
    )
    table = pd.DataFrame(
        {f"{name}_{of}": wide[name, of] for name in ("ece", "loss") for of in (NONE, OF_EXPERT, OF_MERGED)}
    )
    gain = table.loss_none - table.loss_merged
    return table.assign(kept=((table.loss_none - table.loss_expert) / gain).where(gain >= LITTLE))


def growth(curves: pd.DataFrame) -> str:
    """What becomes of the merged model's ECE as the coefficient grows, a sentence; means over tasks and seeds."""
    parts = []
    for method, rows in curves.groupby("method", sort=False):
        ece = rows.groupby("coefficient").ece.mean()
        parts.append(f"{method} {ece[0.0]:.3f}, {ece.min():.3f} (α = {ece.idxmin():.1f}) and {ece[1.0]:.3f}")
    return f"ECE of the merged model at α = 0, at its lowest, and at α = 1: {'; '.join(parts)}."


def conclusion(table: pd.DataFrame) -> str:
    """What the temperatures of the experts do to the merged model, a sentence from the table of `survival`."""
    harm = (table.kept < 0) | (table.kept.isna() & (table.loss_expert - table.loss_none >= LITTLE))
    groups = {
        f"survive the merge (at least {SURVIVES:.0%} of the NLL that refitting takes off) by": table.kept >= SURVIVES,
        "keep less by": (table.kept >= 0) & (table.kept < SURVIVES),
        "do harm by": harm,
        f"have nothing to mend (less than {LITTLE} nats) by": table.kept.isna() & ~harm,
    }  # fmt: skip
    parts = [f"{text} {', '.join(table.index[chosen])}" for text, chosen in groups.items() if chosen.any()]
    return f"Temperatures of the single tasks {'; '.join(parts)}."
