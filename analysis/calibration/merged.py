"""How does adding vectors change calibration, and does a temperature that was fitted on a single task survive it?

Models of a method and a seed: the `expert` of each task, θ₀ + τ_t, and the merged one, θ₀ + α·Σₜ τₜ, over the
coefficient α, `one-shot` (α = 1) and `tuned` (one α for all tasks, as task addition chooses it). Each is applied as its
method is, and asked about each task's test images with that task's head. A temperature belongs to a task. It is fitted
on the task's validation images, to the answers of the `expert` or of the `merged` model, or is 1 (`none`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from torch import Tensor

from taujp_core.datasets import Split, load_split
from taujp_core.models import Clip, logits, zero_shot_head
from taujp_core.progress import Progress
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector, total
from taujp_core.tasks import Task
from taujp_core.training.run_store import Run

from ..coefficients import normalised, tuned_coefficient
from ..metrics import accuracy, fit_temperature, reliability_table, score
from ..products import edited_source
from ..sentences import in_words, listed
from ..trainings import tables_of_models

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
    return Calibration(*tables_of_models(runs, lambda vectors: measure_merge(clip, suite, vectors, images)))


def measure_merge(
    clip: Clip, suite: Suite, vectors: Sequence[TaskVector], images: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The three tables for vectors of one method, one a task."""
    tasks = [suite.task(vector.task) for vector in vectors]
    merged = total(vectors)
    validation, test = (
        [
            task_answers(clip, task, vector, merged, load_split(task, split).first(images))
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
    clip: Clip, task: Task, own: TaskVector, merged: TaskVector, split: Split
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
    """What `tuned_coefficient` reads: coefficient, accuracy, and normalised by the expert's."""
    accuracies = pd.Series([accuracy(answers[alpha], labels) for alpha in COEFFICIENTS])
    share = normalised(accuracies, accuracy(answers[EXPERT], labels))
    return pd.DataFrame({"coefficient": COEFFICIENTS, "accuracy": accuracies, "normalised": share})


def over_coefficient(curves: pd.DataFrame, coefficients: Sequence[float] = (0.0, 0.5, 1.0)) -> pd.DataFrame:
    """A row per method: accuracy, loss, ece and ace of the merged model at these coefficients, means over tasks and seeds."""
    at = curves[curves.coefficient.isin(coefficients)]
    return at.pivot_table(index="method", columns="coefficient", values=["accuracy", "loss", "ece", "ace"], sort=False)


def summary_table(tempered: pd.DataFrame) -> pd.DataFrame:
    """A row per method, model and temperature's origin: means over tasks and seeds."""
    columns = ["coefficient", "temperature", "accuracy", "loss", "ece", "ace"]
    return tempered.groupby(["method", "model", "temperature_of"], sort=False)[columns].mean().reset_index()


def survival(summary: pd.DataFrame, model: str) -> pd.DataFrame:
    """A row per method: ece and loss of this merged model by temperature, and the share of the fitted one's gain.

    recovered: (NLL without − NLL with the expert's temperatures) / (NLL without − NLL with temperatures fitted on the merged
    model): 1 is all of it, below 0 they do harm; NaN where the latter is below LITTLE, for then there is nothing to recover.
    """
    wide = summary[summary.model == model].pivot_table(
        index="method", columns="temperature_of", values=["ece", "loss"], sort=False
    )
    table = pd.DataFrame(
        {f"{name}_{of}": wide[name, of] for name in ("ece", "loss") for of in (NONE, OF_EXPERT, OF_MERGED)}
    )
    gain = table.loss_none - table.loss_merged
    return table.assign(recovered=((table.loss_none - table.loss_expert) / gain).where(gain >= LITTLE))


def growth(curves: pd.DataFrame) -> str:
    """What becomes of the merged model's ECE as the coefficient grows, a sentence a method; means over tasks and seeds."""
    lines = []
    for method, rows in curves.groupby("method", sort=False):
        ece = rows.groupby("coefficient").ece.mean()
        least = ece.idxmin()
        on_the_way = f" (lowest: {ece.min():.3f} at α = {least:g})" if least not in (0.0, 1.0) else ""
        lines.append(
            f"With {in_words(method)}, the merged model's ECE is {ece[0.0]:.3f} at α = 0 and {ece[1.0]:.3f} at α = 1{on_the_way}."
        )
    return "\n".join(lines)


def conclusion(table: pd.DataFrame, where: str) -> str:
    """What the temperatures of the experts do to the merged model `where`, from the table of `survival`; one line."""
    harm = (table.recovered < 0) | (table.recovered.isna() & (table.loss_expert - table.loss_none >= LITTLE))
    groups = {
        f"recover at least {SURVIVES:.0%} of what refitting takes off the NLL": table.recovered >= SURVIVES,
        "recover less": (table.recovered >= 0) & (table.recovered < SURVIVES),
        "do harm": harm,
        "have nothing to mend": table.recovered.isna() & ~harm,
    }  # fmt: skip
    parts = [
        f"{text} with {listed(list(map(in_words, table.index[chosen])))}"
        for text, chosen in groups.items()
        if chosen.any()
    ]
    first, *others = parts
    return " ".join([f"{where} temperatures of the single tasks {first}.", *(f"They {text}." for text in others)])
