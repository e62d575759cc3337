"""How far is a merge from what one model can do? Beside it, joint training on all tasks with their labels."""

from collections.abc import Mapping, Sequence

import pandas as pd

from taujp_core.task_vectors import TaskVector

from .arena import OURS, Setting, accuracies


def measure_joint(setting: Setting, joint: Mapping[tuple[str, int], TaskVector], tasks: Sequence[str]) -> pd.DataFrame:
    """method, seed, task, joint: test accuracy of the joint model for this method and seed, the control's among them."""
    rows = [
        (method, seed, task, *accuracies(setting, vector, task, "test", (1.0,)))
        for (method, seed), vector in joint.items()
        for task in (*tasks, setting.suite.needed_control().name)
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "task", "joint"])


def ceiling_table(joint: pd.DataFrame, single: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """A row for each method, means over tasks and seeds: expert, joint, joint_normalised, ours, ours_normalised (at α = 1),
    joint_control, ours_control.

    joint: of `measure_joint`; single: of the `Arena`; summary: its `summary_table`. The means of ours are left out where it
    did not race.
    """
    both = joint.merge(single, on=["method", "seed", "task"])
    tasks, control = both[both.expert.notna()], both[both.expert.isna()]
    tasks = tasks.assign(joint_normalised=tasks.joint / tasks.expert)
    table = tasks.groupby("method", sort=False)[["expert", "joint", "joint_normalised"]].mean()
    ours = summary[summary["merge"] == OURS].groupby("method")
    table["ours"], table["ours_normalised"] = ours.one_shot.mean(), ours.one_shot_normalised.mean()
    table["joint_control"] = control.groupby("method").joint.mean()
    table["ours_control"] = ours.one_shot_control.mean()
    return table.dropna(axis="columns", how="all")
