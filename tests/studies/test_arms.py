"""The arms of the causal probe do to vectors what their names say, and nothing else."""

import pytest
import torch
from conftest import random_like

from analysis.causal.arms import (
    DOSES,
    SHARES,
    TURNED,
    as_large,
    dose_and_scale,
    edits,
    further_images,
    raised,
    target,
    third,
)
from analysis.interference import edit_direction
from analysis.margins import margin_scaled, towards_boundary
from analysis.pairs import geometry
from analysis.products import measure_products
from taujp_core.datasets import Split, load_split
from taujp_core.models import zero_shot_head
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import run_config
from taujp_core.training.run_store import Run

SUITE = load_suite("mini")
TASKS = ["uci", "mnist", "signs"]
IMAGES = 8


def runs(tiny, tmp_path, size=0.01, seeds=(0,), method="linear"):
    return [
        Run(
            tmp_path,
            run_config("mini", task, method, seed, tasks=TASKS),
            {},
            TaskVector(random_like(tiny.theta0, 10 * seed + k, size), tiny.fingerprint, task, method),
        )
        for seed in seeds
        for k, task in enumerate(TASKS)
    ]


def test_doses_and_shares_change_the_source_alone(tiny, tmp_path):
    untreated, treated = runs(tiny, tmp_path, seeds=(0, 1)), runs(tiny, tmp_path, 0.004, seeds=(0, 1))
    points = dose_and_scale(tiny, SUITE, {0.0: untreated, 0.5: treated}, IMAGES)
    assert len(points) == 2 * 6 * (2 + len(SHARES)) * 2
    from_table = points[(points.source == "uci") & (points.target == "mnist") & (points.application == "linearised")]
    for seed in (0, 1):
        ours = from_table[from_table.seed == seed]
        split = load_split(SUITE.task("mnist"), "validation").first(IMAGES)
        direct = measure_products(tiny, [untreated[3 * seed].vector, treated[3 * seed].vector], split).tau_jp().tolist()
        assert ours[ours.arm == "dose"].tau_jp.tolist() == pytest.approx(direct, rel=1e-4)
        scale = ours[ours.arm == "scale"].set_index("level").tau_jp
        assert (scale / scale[1.0]).to_dict() == pytest.approx({share: share for share in SHARES}, rel=1e-4)
    with pytest.raises(ValueError, match=r"λ = 0 must be among the weights: 0\.5"):
        dose_and_scale(tiny, SUITE, {0.5: treated}, IMAGES)


def trained_otherwise(tiny, tmp_path, method, seeds=(0, 1), **changes):
    """A run of every task with the penalty on the next one alone, at half the untreated vector."""
    found = []
    for run in runs(tiny, tmp_path, 0.004, seeds, method):
        spared = TASKS[(TASKS.index(run.config.task) + 1) % 3]
        config = run_config("mini", run.config.task, method, run.config.seed, penalty_tasks=[spared], **changes)
        found.append(Run(tmp_path, config, {}, run.vector))
    return found


def test_the_target_arm_tells_the_task_that_was_seen_from_third_ones(tiny, tmp_path):
    untreated = runs(tiny, tmp_path, seeds=(0, 1))
    treated = trained_otherwise(tiny, tmp_path, "taujp-efficient", penalty_weight=0.5)
    points = target(tiny, SUITE, untreated, treated, IMAGES)
    assert len(points) == 2 * 3 * 2 * 2 * 2
    on_it = points[points.arm == "target"]
    assert set(zip(on_it.source, on_it.target, strict=True)) == {("uci", "mnist"), ("mnist", "signs"), ("signs", "uci")}
    assert set(points.arm) == {"target", "bystander"}
    assert set(points.level) == {0.0, 0.5}
    rows = points[(points.source == "mnist") & (points.target == "uci") & (points.application == "linearised")]
    assert set(rows.arm) == {"bystander"}
    split = load_split(SUITE.task("uci"), "validation").first(IMAGES)
    for seed in (0, 1):
        pair = [of[3 * seed + 1].vector for of in (untreated, treated)]
        direct = measure_products(tiny, pair, split).tau_jp().tolist()
        assert rows[rows.seed == seed].sort_values("level").tau_jp.tolist() == pytest.approx(direct, rel=1e-4)


def test_the_raised_vectors_have_negative_levels(tiny, tmp_path):
    untreated, treated = (
        runs(tiny, tmp_path),
        trained_otherwise(tiny, tmp_path, "taujp-raise", (0,), penalty_weight=0.5),
    )
    points = raised(tiny, SUITE, untreated, treated, IMAGES)
    assert set(points.level) == {0.0, -0.5}
    assert set(points.arm) == {"raise"}
    assert len(points) == 3 * 2 * 2 * 2


def test_the_edit_moves_tau_jp_and_the_placebos_do_not(tiny, tmp_path):
    ours = runs(tiny, tmp_path)[:2]
    points = edits(tiny, SUITE, ours, IMAGES, solve_images=24, iterations=20)
    assert len(points) == 2 * (len(DOSES) + 3 + 3) * 2
    means = points.groupby(["arm", "level"]).tau_jp.mean()
    untreated = means["edit", 0.0]
    assert means["random", 0.0] == means["third", 0.0] == untreated  # measured once
    edit = [means["edit", dose] for dose in DOSES]
    assert edit == sorted(edit)
    assert edit[0] < 0.75 * untreated
    assert edit[-1] > 1.25 * untreated
    moved = untreated - edit[0]
    for arm in ("random", "third"):
        for dose in (1.0, -1.0):
            assert abs(means[arm, dose] - untreated) < moved / 3
    vector, split = ours[0].vector, load_split(SUITE.task("mnist"), "validation").first(IMAGES)
    own, other = (load_split(SUITE.task(task), "train").first(24).images for task in ("uci", "mnist"))
    step = edit_direction(tiny.encoder, tiny.theta0, vector.tau, other, own, 1.0, iterations=20)
    rows = points[(points.source == "uci") & (points.target == "mnist") & (points.application == "linearised")]
    for level, tau_jp in rows[rows.arm == "edit"].set_index("level").tau_jp.items():
        moved = {name: value + level * step[name] for name, value in vector.tau.items()}
        direct = measure_products(tiny, [TaskVector(moved, tiny.fingerprint, "uci", "linear")], split).tau_jp()
        assert tau_jp == pytest.approx(direct.item(), rel=1e-4)


def test_what_is_put_back_is_as_large_and_goes_anothers_way(tiny, tmp_path):
    """At dose c the vector is τ + δ − c·k·δ', δ' the edit of another source for the same task; at 1 its τJp is that of τ."""
    ours = runs(tiny, tmp_path)
    points = edits(tiny, SUITE, ours, IMAGES, solve_images=6, iterations=3)
    assert len(points) == 6 * (len(DOSES) + 3 + 3 + len(TURNED)) * 2
    images = {task: load_split(SUITE.task(task), "train").first(6) for task in TASKS}
    both = [
        TaskVector(
            edit_direction(
                tiny.encoder, tiny.theta0, ours[k].vector.tau, images["mnist"].images, images[TASKS[k]].images, 1.0, iterations=3
            ),
            tiny.fingerprint, TASKS[k], "linear",
        )
        for k in (0, 2)
    ]  # fmt: skip
    train, validation = (load_split(SUITE.task("mnist"), split).first(6 + IMAGES) for split in ("train", "validation"))
    sized, unseen = (
        measure_products(tiny, [ours[0].vector, *both], split)
        for split in (Split(*train[6:]), validation.first(IMAGES))
    )

    def size(products, k):
        return products.product([1.0, 1.0, -k]).norm(dim=-1).mean().item()

    wanted = sized.tau_jp()[0].item()
    low, high = 0.0, 64.0
    for _ in range(60):
        low, high = ((low + high) / 2, high) if size(sized, (low + high) / 2) < wanted else (low, (low + high) / 2)
    assert abs(low - 1) > 0.01
    rows = points[(points.source == "uci") & (points.target == "mnist") & (points.application == "linearised")]
    found = rows[rows.arm == "turned"].set_index("level").tau_jp
    assert list(found.index) == [0.0, 0.5, 1.0, 1.5, 2.0]
    for c, tau_jp in found.items():
        assert tau_jp == pytest.approx(size(unseen, c * low), rel=1e-4)
    assert found[0.0] == rows[rows.arm == "edit"].set_index("level").tau_jp[1.0]


def test_the_sizes_are_compared_where_no_edit_was_solved():
    everything = load_split(SUITE.task("uci"), "train").in_fair_order()
    found = further_images(SUITE, "uci", 5, 7)
    assert torch.equal(found.images, everything[5:12][0])
    assert len(further_images(SUITE, "uci", 5, 0)) == len(everything) - 5
    assert len(further_images(SUITE, "uci", len(everything) - 2, 7)) == 2
    assert len(further_images(SUITE, "uci", len(everything), 7)) == len(everything)


def test_a_movement_is_made_as_large_as_another():
    start, step, wanted = (size * torch.eye(3) for size in (1.0, 2.0, 5.0))
    assert as_large(start, step.roll(1, 0), wanted) == pytest.approx(24**0.5 / 2)
    assert as_large(start, -step, wanted) == pytest.approx(3.0)  # back through zero
    assert as_large(wanted, step, start) == as_large(start, 0 * step, wanted) == 0.0


def test_margins_are_those_of_the_targets_own_model(tiny, tmp_path):
    """Of θ₀ + τ_t, linearised: θ₀ itself may answer otherwise, and has other boundaries near."""
    ours, small = runs(tiny, tmp_path, size=0.05), runs(tiny, tmp_path, size=0.002)
    points = dose_and_scale(tiny, SUITE, {0.0: ours, 0.5: small}, IMAGES)
    rows = points[
        (points.source == "uci") & (points.target == "mnist") & (points.arm == "dose") & (points.level == 0.5)
    ]
    task = SUITE.task("mnist")
    split = load_split(task, "validation").first(IMAGES)
    products = measure_products(tiny, [small[0].vector, ours[1].vector], split)
    moved, own = products.products
    head = zero_shot_head(tiny, task.classes, task.templates)
    for metric in (margin_scaled, towards_boundary):
        wanted = metric(products.features + own, head, moved)
        assert rows[metric.__name__].tolist() == pytest.approx([wanted] * 2, rel=1e-4)
        assert metric(products.features, head, moved) != pytest.approx(wanted, rel=1e-3)


def test_norm_and_cosine_are_those_of_the_combination(tiny, tmp_path):
    first, second, other = (run.vector for run in runs(tiny, tmp_path))
    found = geometry(other, [first, second], [(1.0, 0.0), (0.0, -2.0)])
    assert found["norm"] == pytest.approx([first.norm(), 2 * second.norm()], rel=1e-5)
    dot = sum((first.tau[name].double() * value.double()).sum().item() for name, value in other.tau.items())
    assert found["cosine"][0] == pytest.approx(dot / first.norm() / other.norm(), abs=1e-6)


def test_the_third_task_is_neither_source_nor_target(tiny, tmp_path):
    ours = runs(tiny, tmp_path)
    assert third(ours, 0, 1, SUITE) == "signs"
    assert third(ours, 0, 2, SUITE) == "mnist"
    assert third(ours[:2], 0, 1, SUITE) == SUITE.control.name
