"""What a merge is measured against: one model that learned all tasks at once."""

import pandas as pd
import pytest
from conftest import tiny_clip

from analysis.merging.arena import OURS, Setting, accuracies
from analysis.merging.arena_study import ArenaStudy
from analysis.merging.ceiling import ceiling_table, measure_joint
from taujp_core.suites import load_suite
from taujp_core.training.joint import train_jointly

SUITE = load_suite("mini")
TASKS = ("uci", "signs")
SHORT = {"steps": 3, "batch_size": 8}


def test_the_ceiling_is_measured_and_averaged(mini, tmp_path):
    clip = tiny_clip(mini)
    setting = Setting(clip, SUITE, merge_images=4, validation_images=30, test_images=40)
    plan = ArenaStudy(tasks=list(TASKS), methods=["taujp-efficient"], recipe=SHORT).plan(SUITE)
    joint = {key: train_jointly(ours, tmp_path, clip) for key, ours in plan.joint.items()}
    assert joint["taujp-efficient", 0].method == "linear"
    found = measure_joint(setting, joint, TASKS)
    assert found.task.tolist() == ["uci", "signs", "shapes"]
    assert [found.joint[1]] == accuracies(setting, joint["taujp-efficient", 0], "signs", "test", (1.0,))

    rows = [("m", seed, *row) for seed in (0, 1) for row in (("uci", 0.8), ("signs", 0.4), ("shapes", None))]
    single = pd.DataFrame(rows, columns=["method", "seed", "task", "expert"])
    measured = pd.DataFrame(
        [
            ("m", seed, task, value)
            for seed in (0, 1)
            for task, value in (("uci", 0.4), ("signs", 0.4), ("shapes", 0.1))
        ],
        columns=["method", "seed", "task", "joint"],
    )
    summary = pd.DataFrame(
        [("m", seed, name, 0.5 + seed / 10, 0.9, 0.2) for seed in (0, 1) for name in (OURS, "TIES")],
        columns=["method", "seed", "merge", "one_shot", "one_shot_normalised", "one_shot_control"],
    )
    assert ceiling_table(measured, single, summary).loc["m"].to_dict() == pytest.approx(
        {"expert": 0.6, "joint": 0.4, "joint_normalised": 0.75, "ours": 0.55, "ours_normalised": 0.9,
         "joint_control": 0.1, "ours_control": 0.2}
    )  # fmt: skip
    without = ceiling_table(measured, single, summary[summary["merge"] == "TIES"])
    assert list(without.columns) == ["expert", "joint", "joint_normalised", "joint_control"]
