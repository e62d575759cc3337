"""The benchmark: checkpoints by family, folder or list; a row for each merge; published numbers beside those of the same choice."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import foreign
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import random_images, random_like, tiny_clip

import analysis.merging.arena as arena_module
from analysis.merging.arena import (
    OURS,
    Setting,
    compete,
    identity,
    measure_merge,
    measure_single,
    merged_by,
    merges,
    summary_table,
)
from analysis.merging.arena_figures import accuracy_versus_tasks, symbol
from analysis.merging.benchmark import (
    at_most_images,
    beside,
    checkpoint_table,
    conclusion,
    find_checkpoints,
    is_leaked,
    race,
    read_vectors,
)
from analysis.merging.benchmark_look import main as look
from analysis.merging.benchmark_study import BenchmarkStudy
from analysis.merging.rivals import RIVALS, Rival, register
from analysis.published_numbers import LEAKED, load_published
from analysis.studies.plan import points_of
from analysis.studies.study import read_study
from taujp_core.checkpoints import families
from taujp_core.datasets import task_identity
from taujp_core.suites import load_suite, own_suite, own_task
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import run_config
from taujp_core.training.run_store import Run

SUITE, TASKS = load_suite("mini"), ("uci", "signs", "terrain")
CLIP8, CLIP20 = (load_suite(f"clip{count}-b32", complete=False) for count in (8, 20))
ROOT = Path(__file__).parents[2]
NAMES = ["ours", "task arithmetic", "RegMean"]


@pytest.fixture(scope="module")
def setting(mini) -> Setting:
    return Setting(tiny_clip(mini), SUITE, merge_images=4, validation_images=30, test_images=40, rounds=1)


@pytest.fixture(scope="module")
def vectors(setting) -> list[TaskVector]:
    clip = setting.clip
    return [
        TaskVector(random_like(clip.theta0, k, 0.3), clip.fingerprint, task, "standard") for k, task in enumerate(TASKS)
    ]


@pytest.fixture(scope="module")
def single(setting, vectors) -> pd.DataFrame:
    return measure_single(setting, vectors)


@pytest.fixture(scope="module")
def raced(setting, vectors, single, tmp_path_factory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("raced")
    return race(setting, vectors, single, [2, 3], NAMES, [2, 4], folder)


# The checkpoints.


def test_a_folder_and_a_list_give_the_vectors_of_the_tasks_in_their_order(tmp_path):
    clip = foreign.tiny_clip()
    thetas = {task: foreign.finetuned(clip, seed) for seed, task in enumerate(("UCI", "signs", "Terrain"), 1)}
    paths = {task: tmp_path / f"{task}.pt" for task in thetas}
    for task, path in paths.items():
        torch.save(foreign.whole_state(clip, thetas[task]), path)
    with pytest.warns(UserWarning, match="passed over checkpoints of other tasks: signs$"):
        by_name = read_vectors(clip, ["terrain", "uci"], [str(tmp_path)])
    listed = read_vectors(clip, ["terrain", "uci"], [str(paths["Terrain"]), str(paths["UCI"])])
    for found in (by_name, listed):
        assert [vector.task for vector in found] == ["terrain", "uci"]
        for vector, task in zip(found, ("Terrain", "UCI"), strict=True):
            assert all(torch.equal(tau, thetas[task][name] - clip.theta0[name]) for name, tau in vector.tau.items())
    with pytest.raises(ValueError, match=r" has no checkpoint of street, mnist: there are "):
        read_vectors(clip, ["uci", "street", "mnist"], [str(tmp_path)])
    # A vector of this project bears a name of its own; in a list the place says whose it is.
    by_name[0].save(tmp_path / "own.safetensors")
    assert TaskVector.load(tmp_path / "own.safetensors", clip).task == "terrain"
    renamed = read_vectors(clip, ["signs", "uci"], [str(tmp_path / "own.safetensors"), str(paths["UCI"])])
    assert [vector.task for vector in renamed] == ["signs", "uci"]
    (tmp_path / "own.safetensors").unlink()
    shutil.copy(paths["UCI"], tmp_path / "uci.bin")
    with pytest.raises(ValueError, match=r" two checkpoints of "):
        read_vectors(clip, ["uci"], [str(tmp_path)])


@pytest.mark.parametrize(
    ("checkpoints", "suite", "tasks", "root", "said"),
    [
        (["fusion-bench-b32"], CLIP8, ["cars", "emnist"], None, "unknown task of fusion-bench-b32 'emnist': accepted are "),
        (["fusion-bench-b16"], CLIP8, ["cars"], None, "fusion-bench-b16 is fine-tuned from ViT-B-16-quickgelu, and clip8-b32 has "),
        (["a", "b"], SUITE, ["uci", "signs", "terrain"], None, "parameter checkpoints: 2 are listed for 3 tasks"),
        (["folder"], SUITE, ["uci"], Path("/"), "parameter root: is the folder of a published family: task-singular-vectors-b32, "),
        (["tall-masks-b32"], CLIP8, ["cars"], Path("/"), "parameter root: tall-masks-b32 is on the hub: leave root out"),
        (["task-vectors-b32"], CLIP8, ["cars"], None, "parameter root: task-vectors-b32 is not on the hub: give the folder "),
        (["hub:someone/pets"], SUITE, ["uci", "signs"], None, "parameter checkpoints: one entry is a published family (fusion-bench-b32, "),
        (["README.md"], SUITE, ["uci", "signs"], None, "parameter checkpoints: one entry is a published family (fusion-bench-b32, "),
    ],
)  # fmt: skip
def test_what_are_no_checkpoints_of_these_tasks_is_said_before_anything_is_read(checkpoints, suite, tasks, root, said):
    with pytest.raises(ValueError) as error:
        find_checkpoints(checkpoints, suite, tasks, root)
    assert str(error.value).startswith(said)


def test_gone_checkpoints_are_told_before_data_are_downloaded(tmp_path, capsys):
    """`make benchmark` asks first, by the parameters that the notebook gets."""
    asked = f"suite: clip8-b32, tasks: [], checkpoints: [task-vectors-b32], root: {tmp_path}"
    assert look([f"{{{asked}}}"]) == 1
    assert capsys.readouterr().err.startswith("8 of 8 checkpoints of task-vectors-b32 are gone: cars (")
    for task, name in families()["task-vectors-b32"].tasks.items():
        if task != "dtd":
            (tmp_path / "ViT-B-32" / name).mkdir(parents=True)
            (tmp_path / "ViT-B-32" / name / "finetuned.pt").touch()
    assert look([f"{{{asked}}}"]) == 1
    assert re.match(r"1 of 8 .* gone: dtd \(.*\); `without_gone=True` loads the others\n$", capsys.readouterr().err)
    with pytest.warns(UserWarning, match="1 of 8 .* gone: dtd"):
        assert look([f"{{{asked}, without_gone: true}}"]) == 0
    assert look([f"{{{asked}, tasks: [cars, svhn]}}"]) == 0  # which are all that is asked for


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("{suite: clip8-b32, tasks: [], checkpoints: [task-vectors-b32]}", "parameter root: task-vectors-b32 is not on the hub: give the folder"),
        ("{suite: clip8-b32, merge: [TIES]}", "the benchmark has the unknown key 'merge': accepted are suite, "),
        ("{suite: clip8-b32, checkpoints: [nowhere.pt, README.md], tasks: [cars, dtd]}", "parameter checkpoints: /.*/nowhere.pt does not exist"),
        ("{suite: clip8", "while parsing a flow mapping"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_checkpoints_is_one_answer(asked, said, capsys):
    assert look([asked]) == 1
    assert re.match(said, capsys.readouterr().err)


def test_make_benchmark_looks_for_checkpoints_first_and_by_the_notebooks_parameters():
    command = ["make", "-n", "benchmark", "MODEL=b32", "TASKS=14", "SETTINGS=tasks: [cars, dtd]"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    looked, run = (
        re.search(rf"{what}.*?'({{suite: .*?}})'", lines, re.S)[1] for what in ("benchmark_look", "papermill")
    )
    assert looked == run and yaml.safe_load(looked)["tasks"] == ["cars", "dtd"]
    assert lines.index("benchmark_look") < lines.index("datasets download") < lines.index("papermill")


def test_checkpoints_take_the_place_of_trainings():
    plan = BenchmarkStudy().plan(SUITE)
    assert [config.task for config in plan.trainings] == ["street", "signs", "terrain"] and plan.places == []
    plan = BenchmarkStudy(checkpoints=["hub:someone/pets", "README.md", "LICENSE"]).plan(SUITE)
    assert plan.trainings == [] and plan.places == ["hub:someone/pets", str(ROOT / "README.md"), str(ROOT / "LICENSE")]


def test_the_table_of_checkpoints_says_which_vectors_and_which_data(setting, vectors, single):
    table = checkpoint_table(setting, vectors, single).set_index("task")
    assert list(table.index) == list(TASKS)
    assert table.vector["signs"] == vectors[1].digest()[:12]
    assert table.norm["signs"] == pytest.approx(vectors[1].norm())
    assert (table.test_images == 40).all()
    assert table.data.nunique() == 3
    other = replace(
        setting, suite=replace(SUITE, tasks={**SUITE.tasks, "signs": replace(SUITE.tasks["signs"], templates=("{}",))})
    )
    moved = checkpoint_table(other, vectors, single).set_index("task").data
    assert task_identity(SUITE.task("signs")) != task_identity(other.suite.task("signs"))
    assert moved["signs"] != table.data["signs"] and moved["uci"] == table.data["uci"]


# The race.


def test_rows_are_those_of_the_arena(setting, vectors, single, raced, tmp_path):
    assert [tuple(row) for row in raced[["tasks", "merge", "images"]].values] == [
        (count, merge, images)
        for count in (2, 3)
        for merge, images in [("ours", 2), ("ours", 4), ("task arithmetic", 0), ("RegMean", 4)]
    ]
    runs = [Run(Path(), run_config(SUITE, vector.task, "standard"), {}, vector) for vector in vectors]
    wanted = summary_table(compete(setting, runs, NAMES, [], tmp_path)).set_index("merge")
    found = at_most_images(raced[raced.tasks == 3]).set_index("merge")
    for ours, theirs in {
        "one_shot": "one_shot", "one_shot_normalised": "one_shot_normalised", "tuned": "tuned",
        "tuned_normalised": "tuned_normalised", "alpha": "tuned_coefficient", "control": "one_shot_control",
    }.items():  # fmt: skip
        assert found[ours].to_dict() == pytest.approx(wanted[theirs].to_dict()), ours
    # Each row says which vectors and which data it is of.
    assert [group.nunique() for _, group in raced.groupby("tasks").vectors] == [1, 1] and raced.vectors.nunique() == 2
    assert raced.groupby("tasks").data.nunique().tolist() == [1, 1] and raced.data.nunique() == 2
    other = race(setting, [vectors[0], 2 * vectors[1]], single, [2], ["task arithmetic"], [2], tmp_path / "other")
    assert other.vectors[0] not in set(raced.vectors) and other.data[0] == raced.data[0]
    # Ours has been merged on as many images as its row says.
    of_two = raced[(raced.tasks == 3) & (raced.images == 2)].one_shot.item()
    alone = summary_table(compete(replace(setting, merge_images=2), runs, ["ours"], [], tmp_path))
    assert of_two == pytest.approx(alone.one_shot.item())
    assert len(list(tmp_path.glob("*.json"))) == 4


def test_a_second_call_reads_what_the_first_has_left(setting, vectors, single, tmp_path, monkeypatch):
    first = race(setting, vectors, single, [2], NAMES[1:], [2], tmp_path)

    def broken(*_):
        raise AssertionError("made again")

    monkeypatch.setattr(arena_module, "merged_by", broken)
    pd.testing.assert_frame_equal(race(setting, vectors, single, [2], NAMES[1:], [2], tmp_path), first)
    with pytest.raises(AssertionError, match="made again"):  # of another vector, nothing is there
        race(setting, vectors[1:], single, [2], NAMES[1:], [2], tmp_path)


def test_without_a_control_the_tasks_accuracies_are_the_same(setting, vectors, single, raced, tmp_path):
    alone = replace(setting, suite=replace(SUITE, control=None))
    assert measure_single(alone, vectors).task.tolist() == list(TASKS)
    found = race(alone, vectors, measure_single(alone, vectors), [3], ["task arithmetic"], [2], tmp_path)
    both = raced[(raced.tasks == 3) & (raced["merge"] == "task arithmetic")]
    assert found.one_shot.tolist() == pytest.approx(both.one_shot.tolist())
    assert found.control.isna().all() and both.control.notna().all()


def test_the_control_is_part_of_a_results_name(setting, vectors):
    control = replace(SUITE.control, templates=("{}",))
    others = [replace(setting, suite=replace(SUITE, control=one)) for one in (control, None)]
    names = [identity("TIES", one, vectors) for one in (setting, *others)]
    assert len(set(names)) == 3


def test_merges_that_are_defined_for_encoders_alone_have_no_row_of_linearised_ones(setting, vectors, single, tmp_path):
    linear = [replace(vector, method="linear") for vector in vectors]
    found = race(setting, linear, single, [2], ["task arithmetic", "FeatCal", "RegMean++"], [2], tmp_path)
    assert found["merge"].tolist() == ["task arithmetic"]


def test_an_expert_that_is_never_right_has_no_normalised_accuracy(setting, vectors, single, raced, tmp_path):
    wrong = single.assign(expert=single.expert.where(single.task != "signs", 0.0))
    found = race(setting, vectors, wrong, [3], ["task arithmetic"], [2], tmp_path)
    assert np.isfinite(found.one_shot_normalised).all()


def test_counts_beyond_the_checkpoints_that_are_there_are_all_of_them(setting, vectors, single, tmp_path):
    found = race(setting, vectors[:2], single, [2, 3, 8], ["task arithmetic"], [2], tmp_path)
    assert found.tasks.tolist() == [2]


def test_a_merge_of_ones_own_has_a_row_and_a_mark(setting, vectors, single, tmp_path):
    def half(taus):
        return {name: sum(tau[name] for tau in taus) / 2 for name in taus[0]}

    register(Rival("half the sum", half, "nowhere"))
    try:
        assert "half the sum" in merges() and symbol("half the sum")
        found = race(setting, vectors, single, [2, 3], ["half the sum", "task arithmetic"], [2], tmp_path)
        accuracy_versus_tasks(found.assign(normalised=found.one_shot_normalised))
        assert merged_by("half the sum", setting, vectors).norm() == pytest.approx(
            merged_by("task arithmetic", setting, vectors).norm() / 2, rel=1e-5
        )
    finally:
        del RIVALS["half the sum"]


# What others published.


def measured(counts=(8,), **accuracies) -> pd.DataFrame:
    """A race whose merges have these accuracies at α = 1, and 0.05 more at the tuned α."""
    return pd.DataFrame(
        [
            {"tasks": count, "merge": merge, "images": images, "one_shot": value, "tuned": value + 0.05,
             "one_shot_normalised": value + 0.1, "tuned_normalised": value + 0.15,
             "vectors": f"of {count}", "data": f"for {count}"}
            for count in counts for merge, value in accuracies.items() for images in ((32, 64) if merge == "ours" else (0,))
        ]
    )  # fmt: skip


def test_published_numbers_stand_beside_those_of_the_same_choice():
    ours = {"WUDI": 0.7, "Iso-C": 0.65, "task arithmetic": 0.5, "AdaMerging": 0.6}
    race = measured(**{"ours": 0.8, "WUDI": 0.7, "Iso-C": 0.65, "task arithmetic": 0.5, "AdaMerging, layer-wise": 0.6})
    table = beside(race, CLIP8, [*CLIP8.tasks])
    published = load_published("addition", "clip8-b32")
    clean = published[(published.by == "merging") & published.method.isin(ours) & ~published.note.str.contains(LEAKED)]
    assert len(table) == len(clean)
    assert set(table.vectors) == {"of 8"} and set(table.data) == {"for 8"}
    assert table.absolute.is_monotonic_decreasing
    assert set(table.α) >= {"1", "tuned", "learned", "fixed", "unknown"}
    for _, row in table.iterrows():
        at_one = ours[row.method]
        here = {"1": at_one, "learned": at_one, "tuned": at_one + 0.05}.get(row.α, np.nan)
        assert row.here == pytest.approx(100 * here, nan_ok=True)
        assert row.here_normalised == pytest.approx(100 * (here + 0.1), nan_ok=True)


def test_numbers_of_experts_that_had_seen_test_images_are_compared_with_each_other_alone():
    race, tasks = measured(TIES=0.6), list(CLIP8.tasks)
    assert not beside(race, CLIP8, tasks).note.str.contains(LEAKED).any()
    leaked = beside(race, CLIP8, tasks, leaked=True)
    assert len(leaked) and leaked.note.str.contains(LEAKED).all()
    assert is_leaked(["task-singular-vectors-b32"], tasks)
    assert not is_leaked(["task-singular-vectors-b32"], ["cars", "svhn"])
    assert not is_leaked(["tall-masks-b32"], tasks)
    assert not is_leaked(["dtd.pt", "cars.pt"], ["dtd", "cars"]) and not is_leaked([], tasks)
    for family in families().values():
        assert set(family.leaked) <= set(family.tasks)
        assert all("test images" in family.wrong[task] for task in family.leaked)


def test_each_number_of_tasks_has_its_own_published_numbers():
    for leaked in (False, True):
        table = beside(measured((8, 14, 20), TIES=0.6), CLIP20, list(CLIP20.tasks), leaked)
        for count in (8, 14, 20):
            published = load_published("addition", f"clip{count}-b32")
            alike = published[(published.method == "TIES") & (published.note.str.contains(LEAKED) == leaked)]
            assert sorted(table[table.tasks == count].absolute) == sorted(alike.absolute)
            assert leaked <= len(alike)


def test_a_suite_of_ones_own_with_the_same_model_and_tasks_is_compared():
    own = replace(CLIP8, name="mine")
    assert (
        len(beside(measured(TIES=0.6), own, [*CLIP8.tasks]))
        == len(beside(measured(TIES=0.6), CLIP8, [*CLIP8.tasks]))
        > 0
    )


@pytest.mark.parametrize(
    ("suite", "tasks", "count"),
    [
        (SUITE, ["uci", "signs"], 2),
        (CLIP8, ["cars", "dtd"], 2),
        (CLIP20, [*CLIP20.tasks][12:], 8),
        (replace(CLIP8, pretrained="laion2b"), [*CLIP8.tasks], 8),
    ],
)
def test_other_tasks_are_not_compared(suite, tasks, count):
    assert beside(measured((count,), TIES=0.6), suite, tasks).empty


def test_another_order_of_the_same_tasks_is_compared():
    assert len(beside(measured(TIES=0.6), CLIP8, [*CLIP8.tasks][::-1])) > 0


def test_the_conclusion_is_of_the_largest_number_of_tasks_and_names_the_images():
    single = pd.DataFrame({"task": TASKS, "expert": [0.9, 0.8, 0.7]})
    said = conclusion(measured((2, 3), ours=0.8, TIES=0.6), single, {2: 0.05, 3: 0.3}).split("\n")
    assert said == [
        f"Of {count} checkpoints (single tasks {experts}) our merge with 64 unlabelled images per task reaches 0.80 at α = 1: {stands} "
        "TIES (0.60)."
        for count, experts, stands in ((2, "0.85", "above"), (3, "0.80", "level with"))
    ]
    without = conclusion(measured((2,), TIES=0.6, RegMean=0.7), single, {2: 0.05})
    assert without == "Of 2 checkpoints (single tasks 0.85) the best merge is RegMean, which reaches 0.70 at α = 1."
    assert OURS in merges()


def test_the_study_has_a_point_for_each_merge_and_one_that_reads_them_all():
    """They differ in nothing that decides a result, so that the last finds what the others left."""
    study = read_study(ROOT / "notebooks" / "experiments" / "clip8-benchmark.yaml")
    *points, last = [evaluation.parameters for evaluation in study.notebooks]
    assert sorted(name for point in points for name in point["merges"]) == sorted({OURS, *RIVALS})
    assert sorted(last["merges"]) == sorted({OURS, *RIVALS})
    assert len({point["output"] for point in [*points, last]}) == len(points) + 1
    own = ("merges", "output")
    for point in points:
        assert len(point["merges"]) == 1
        assert {k: v for k, v in point.items() if k not in own} == {k: v for k, v in last.items() if k not in own}
    plan = [point for point in points_of(study) if not point.run]
    assert set(plan[-1].after) == {point.key for point in plan[:-1]}


def test_make_benchmark_runs_the_same_merges():
    said = re.search(r"^MERGES := ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.M)[1]
    assert sorted(yaml.safe_load(f"[{said}]".replace("\\\n", ""))) == sorted({OURS, *RIVALS})


def test_twenty_tasks_are_merged_in_all_three_numbers(mini, tmp_path):
    def pictures(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        return random_images(16, seed), torch.arange(16) % 2

    tasks = [own_task(f"t{k}", ["one", "two"], train=pictures(k), test=pictures(50 + k)) for k in range(20)]
    suite, clip = own_suite("mini", tasks, name="twenty"), tiny_clip(mini)
    vectors = [TaskVector(random_like(clip.theta0, k), clip.fingerprint, f"t{k}", "standard") for k in range(20)]
    setting = Setting(clip, suite, merge_images=1, validation_images=1, test_images=4, rounds=1)
    single = measure_single(setting, vectors)
    table = race(setting, vectors, single, [8, 14, 20], ["TIES", OURS, "RegMean"], [1], tmp_path)
    assert table.tasks.tolist() == [8] * 3 + [14] * 3 + [20] * 3
    assert table[["one_shot", "tuned"]].notna().all(axis=None)
    twenty = table[(table.tasks == 20) & (table["merge"] == "TIES")].iloc[0]
    rows = measure_merge(setting, merged_by("TIES", setting, vectors), vectors)
    assert twenty.one_shot == pytest.approx(rows[rows.choice == "one-shot"].accuracy.mean())
