"""What can be known and done before published models are merged?

Everything is measured in both applications of `analysis.pairs`: `encoder`, the weights themselves, which is what a merged
checkpoint has, and `linearised`.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from taujp_core.applications import find_application
from taujp_core.checkpoints import save_hugging_face, save_open_clip
from taujp_core.files import write_atomically
from taujp_core.models import Clip
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector, edited
from taujp_core.training.config import RunConfig
from taujp_core.training.finetune import finetune
from taujp_core.training.run_store import Run

from ..interference import OUTCOMES
from ..pairs import APPLICATIONS, measure_source
from ..resampling import FEWEST, rank_correlation
from ..sentences import listed, relation, share, where
from ..tau_jp_reduction import addition_accuracies

FORMATS = {
    ".safetensors": "open_clip .safetensors",
    "": "Hugging Face folder",
    ".pt": "state dict .pt with the prefix module.",
}  # by the suffix of the path


def publish(clip: Clip, vectors: Sequence[TaskVector], folder: Path) -> dict[str, Path]:
    """Write θ₀ + τ of each vector into the folder, in the FORMATS in turn; the path of each, by task.

    A checkpoint of the same task that an earlier call left in another format is removed.
    """
    paths = {}
    for number, vector in enumerate(vectors):
        for suffix in FORMATS:
            earlier = folder / f"{vector.task}{suffix}"
            if earlier.is_dir():
                shutil.rmtree(earlier)
            earlier.unlink(missing_ok=True)
        theta = edited(clip.theta0, [vector], [1.0])
        suffix = list(FORMATS)[number % len(FORMATS)]
        path = folder / f"{vector.task}{suffix}"
        if suffix == ".safetensors":
            save_open_clip(clip, theta, path)
        elif suffix == ".pt":
            state = {f"module.{name}": value for name, value in {**clip.model.state_dict(), **theta}.items()}
            write_atomically(path, lambda temporary, state=state: torch.save({"state_dict": state}, temporary))
        else:
            save_hugging_face(clip, theta, path)
        paths[vector.task] = path
    return paths


def pair_points(clip: Clip, suite: Suite, vectors: Sequence[TaskVector], images: int) -> pd.DataFrame:
    """τJp and interference of every ordered pair: the table of `analysis.pairs`, a row per pair and application."""
    tables = []
    for vector in vectors:
        targets = [other for other in vectors if other is not vector]
        points = [({"arm": "published", "level": 1.0, "step": -1}, (1.0,))]
        found = measure_source(clip, suite, vector.task, targets, [vector], points, images)
        tables.append(found.assign(method=vector.method, seed=0))
    return pd.concat(tables, ignore_index=True)


def prediction_table(points: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """How well τJp, known before merging, orders the pairs by the harm that is seen after it.

    Spearman's ρ by application and outcome, with its interval (bootstrap over tasks; missing for fewer than
    resampling.FEWEST).
    """
    rows = []
    for application, ours in points.groupby("application", sort=False):
        for outcome, name in OUTCOMES.items():
            rho, low, high = rank_correlation(ours, "tau_jp", outcome, (), resamples)
            if ours.target.nunique() < FEWEST:
                low = high = np.nan
            row = {"application": application, "outcome": name, "rho": rho, "low": low, "high": high, "n": len(ours)}
            rows.append(row)
    return pd.DataFrame(rows)


def worst_sources(points: pd.DataFrame, application: str) -> pd.DataFrame:
    """For each task the vector that τJp expects to harm it most, and the one that raised its loss most."""
    ours = points[points.application == application]
    rows = {
        target: {
            "expected": rows.loc[rows.tau_jp.idxmax(), "source"],
            "seen": rows.loc[rows.loss_change.idxmax(), "source"],
        }
        for target, rows in ours.groupby("target", sort=False)
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("task")


def continue_with_penalty(clip: Clip, vector: TaskVector, config: RunConfig, store: Path) -> Run:
    """A finished vector, whoever trained it, trained further; config: of its task by a penalised method, without start."""
    return finetune(replace(config, start=vector.digest()), store, clip, start=vector)


def compare_sets(clip: Clip, suite: Suite, sets: dict[str, Sequence[TaskVector]], images: int) -> pd.DataFrame:
    """vectors (a set's name), application, task, single, one_shot, best, alpha: test accuracies of each set's sum."""
    tables = [
        addition_accuracies(clip, suite, vectors, find_application(application), images).assign(
            vectors=name, application=application
        )
        for name, vectors in sets.items()
        for application in APPLICATIONS
    ]
    return pd.concat(tables, ignore_index=True)


def prediction_findings(predictions: pd.DataFrame, worst: dict[str, pd.DataFrame]) -> str:
    """What τJp foresaw, a sentence an application; worst: `worst_sources` by application."""
    sentences = []
    for application, rows in predictions.groupby("application", sort=False):
        rho = rows.set_index("outcome").rho.get(OUTCOMES["loss_change"], np.nan)
        known = "has no rank correlation" if np.isnan(rho) else f"has a rank correlation of {rho:.2f}"
        found = worst[application]
        hits = int((found.expected == found.seen).sum())
        sentences.append(
            f"{where(application)} τJp {known} with the rise of the loss over {rows.n.iloc[0]} ordered pairs; it names the most "
            f"harmful vector for {hits} of {len(found)} tasks, where guessing names {len(found) / max(len(found) - 1, 1):.1f}."
        )
    return "\n".join(sentences)


def set_findings(compared: pd.DataFrame, before: str, images: int) -> str:
    """One-shot accuracy of each set against the set `before`, on the tasks that both have; a sentence a set.

    images: of each task, which the accuracies are measured on: a difference within two standard errors is none.
    """
    sentences = []
    for application, ours in compared.groupby("application", sort=False):
        by_set = ours.pivot(index="task", columns="vectors", values="one_shot")
        for name in ours.vectors.unique():
            both = by_set[[before, name]].dropna()
            if name == before or both.empty:
                continue
            of_task = 2 * (0.5 / images) ** 0.5
            stands = relation(both[name].mean(), both[before].mean(), of_task / len(both) ** 0.5)
            worse = [task for task in both.index if relation(both[name][task], both[before][task], of_task) == "below"]
            but = f", and below it on {listed(worse)}" if worse else ""
            sentences.append(
                f"{where(application)} the set `{name}` reaches {share(both[name].mean())} at α = 1: {stands} "
                f"`{before}` ({share(both[before].mean())}) on average{but}."
            )
    return "\n".join(sentences)
