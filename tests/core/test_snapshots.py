"""Vectors as they were during a training: the same run with and without them, whatever happens on the way."""

import pytest
import torch

from analysis.causal.study import onset_configs
from analysis.trainings import train
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune
from taujp_core.training.run_store import snapshot_file

SHORT = {"steps": 6, "batch_size": 8, "penalty_batch_size": 4}
CONFIG = run_config("mini", "uci", "taujp-efficient", tasks=["uci", "mnist"], **SHORT)


def same(first, second):
    return all(torch.equal(first.tau[name], second.tau[name]) for name in second.tau)


def test_a_run_is_the_same_with_and_without_snapshots(tiny, tmp_path):
    plain = finetune(CONFIG, tmp_path / "plain", tiny)
    run = finetune(CONFIG, tmp_path / "snapshots", tiny, [2, 6])
    assert same(run.vector, plain.vector)
    assert same(TaskVector.load(snapshot_file(run.folder, 6), tiny), run.vector)
    early = TaskVector.load(snapshot_file(run.folder, 2), tiny)
    assert (early.task, early.method, early.theta0_fingerprint) == ("uci", "taujp-efficient", tiny.fingerprint)
    assert 0 < early.norm() < run.vector.norm()
    assert finetune(CONFIG, tmp_path / "snapshots", tiny, [2, 6]).record == run.record


def test_a_snapshot_that_can_no_longer_be_taken_is_refused(tiny, tmp_path):
    finetune(CONFIG, tmp_path, tiny)
    with pytest.raises(
        ValueError, match=r"passed step 3 without leaving a snapshot: move .* away or use another store"
    ):
        finetune(CONFIG, tmp_path, tiny, [3])


@pytest.mark.parametrize("step", [0, 7])
def test_steps_that_the_run_does_not_have_are_refused(step, tiny, tmp_path):
    with pytest.raises(ValueError, match=f"after a step from 1 to 6, not after {step}"):
        finetune(CONFIG, tmp_path, tiny, [step])


def test_runs_of_one_seed_part_where_the_penalty_starts(tiny, tmp_path):
    changes = SHORT | {"penalty_weight": 5.0}
    asked = (load_suite("mini"), ["uci"], [0], ["uci", "mnist"])
    late, never = train(tiny, onset_configs(*asked, [3, 6], [3, 4, 6], **changes), tmp_path, [3, 4, 6])
    at = {
        (run.config.penalty_start, step): TaskVector.load(snapshot_file(run.folder, step), tiny)
        for run in (late, never)
        for step in (3, 4, 6)
    }
    assert same(at[3, 3], at[6, 3])
    assert not same(at[3, 4], at[6, 4])
    with pytest.raises(ValueError, match="one start must be 6, the number of steps"):
        onset_configs(*asked, [3], [3], **changes)
