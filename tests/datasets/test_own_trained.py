"""A suite of one's own goes the way of all others: trained, added, negated, reduced, and through a notebook."""

import json
from pathlib import Path

import papermill
import pytest
import torch
from test_own_data import CLASSES, COLUMNS, root, some_images, table, write_suite  # noqa: F401
from written import write_class_folders

import analysis.addition.measure
import analysis.negation.measure
from analysis.addition.measure import measure_addition
from analysis.interference import reduce_tau_jp
from analysis.negation.measure import measure_negation
from analysis.products import measure_products
from analysis.tau_jp import tau_jp
from analysis.tau_jp_reduction import reduce_all
from analysis.trainings import run_configs, train
from taujp_core.datasets import Split, load_images
from taujp_core.suites import Suite, load_suite, own_suite, own_task
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
RECIPE = {"steps": 2, "batch_size": 4, "penalty_batch_size": 2}


@pytest.fixture
def mine(root) -> str:  # noqa: F811
    """A suite outside the checkout: class folders without test images, a table, and the package's control."""
    write_class_folders(root / "pets", {"train": 15}, CLASSES)
    table(20).save_to_disk(root / "table")
    control = {"flowers": {"folder": "flowers"}}
    write_class_folders(root / "flowers", {"train": 12, "val": 1, "test": 2}, ["lily", "rose"])
    tasks = {"pets": {"folder": "pets"}, "table": {"dataset": {"path": "table", **COLUMNS}}}
    write_suite(root, tasks=tasks, control=control, recipe=RECIPE)
    return "mine"


def in_python() -> Suite:
    pair = some_images(20), torch.arange(20) % 2
    tasks = [own_task(name, CLASSES, train=pair, test=pair) for name in ("one", "two")]
    return own_suite("mini", tasks, own_task("rest", CLASSES, train=pair), recipe=RECIPE)


@pytest.mark.parametrize("source", ["file", "Python"])
def test_what_the_notebooks_do(mine, tiny, tmp_path, source, monkeypatch):
    for study in (analysis.addition.measure, analysis.negation.measure):
        monkeypatch.setattr(study, "COEFFICIENTS", (0.0, 0.5, 1.0))
    suite = load_suite("mine") if source == "file" else in_python()
    tasks, store = list(suite.tasks), tmp_path / "runs"
    runs = train(tiny, run_configs(suite, tasks, ["standard", "taujp-efficient"]), store)
    addition = measure_addition(tiny, suite, runs)
    assert set(addition.per_task.task) == set(tasks)
    assert set(measure_negation(tiny, suite, runs).test.task) == set(tasks)
    # 10 and 50: one training, τJp on all data sets, reduction without labels
    one = finetune(run_config("mine" if source == "file" else suite, tasks[0], "standard"), store, tiny)
    assert one.folder == next(run.folder for run in runs if run.config.method == "standard")
    vectors = [run.vector for run in runs[:2]]
    assert list(tau_jp(tiny, vectors, suite.datasets(), 4)) == [*tasks, suite.control.name]
    reduced, _ = reduce_all(tiny, suite, vectors, solve_images=3, iterations=1)
    assert [vector.task for vector in reduced] == [vector.task for vector in vectors]
    record = json.loads((one.folder / "record.json").read_text())
    assert record["config"]["suite"] == suite.name


def test_unlabelled_pictures_do_where_labels_are_not_needed(mine, mini, root, tmp_path):  # noqa: F811
    run = finetune(run_config("mine", "pets", "standard"), tmp_path, mini)
    own, other = load_images(root / "pets", 32, most=4), load_images(root / "flowers", 32, most=4)
    reduced = reduce_tau_jp(run.vector, mini, own, [other], iterations=3)
    before, after = (
        measure_products(mini, [vector], Split(other, torch.zeros(4, dtype=torch.long)))
        for vector in (run.vector, reduced)
    )
    assert after.tau_jp().item() < before.tau_jp().item()


def test_other_pictures_are_another_run(mine, mini, root, tmp_path):  # noqa: F811
    first = finetune(run_config("mine", "pets", "standard"), tmp_path, mini)
    assert finetune(run_config("mine", "pets", "standard"), tmp_path, mini).folder == first.folder
    (root / "pets/train/cat/000.png").unlink()
    assert finetune(run_config("mine", "pets", "standard"), tmp_path, mini).folder != first.folder


def test_addition_notebook(mine, tmp_path):
    output = tmp_path / "out"
    parameters = {"suite": "mine", "tasks": [], "methods": ["standard", "taujp-efficient"], "recipe": {}}
    papermill.execute_notebook(
        NOTEBOOKS / "30_addition.ipynb",
        tmp_path / "30.ipynb",
        {**parameters, "store": str(tmp_path / "runs"), "output": str(output)},
        progress_bar=False,
    )
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["suite"], summary["tasks"]) == ("mine", ["pets", "table"])
    assert [row["method"] for row in summary["rows"]] == parameters["methods"]
    assert len(list((tmp_path / "runs/mine").rglob("vector.safetensors"))) == 4


def test_pictures_of_one_class_are_measured_on_and_kept_from_moving(tiny, tmp_path):
    """Nothing can be learnt of them, and no accuracy tells anything: the control that negation must not hurt has two."""
    pair, one = some_images(20), own_task("cats", ["cat"], train=(some_images(20), [0] * 20))
    both = own_task("pets", CLASSES, train=(pair, [0, 1] * 10))
    suite = own_suite("mini", [both, one], load_suite("mini").control, recipe=RECIPE)
    run = finetune(run_config(suite, "pets", "taujp-efficient"), tmp_path, tiny)
    assert "cats" in run.config.penalty_tasks
    assert run.vector.norm() > 0
    assert (tau_jp(tiny, run, suite.datasets(), 4) > 0).all(axis=None)
    with pytest.raises(ValueError, match="the control cats has one class: every answer is right"):
        measure_negation(tiny, own_suite("mini", [both], one, recipe=RECIPE), [run])


def test_a_suite_of_another_model_is_refused_before_anything_is_written(tiny, tmp_path):
    suite = own_suite(
        "ViT-B-32", [own_task("pets", CLASSES, train=(some_images(20), [0, 1] * 10))], load_suite("mini").control
    )
    with pytest.raises(ValueError, match=r"pictures of pets are brought to 224 pixels a side .*, and tiny takes 32"):
        finetune(run_config(suite, "pets", "standard", steps=1), tmp_path / "runs", tiny)
    assert not (tmp_path / "runs").exists()


def test_names_that_the_head_cannot_tell_apart_are_refused_before_anything_is_written(tiny, tmp_path):
    names = ["a photo of farmland that carries annual crop", "a photo of farmland that carries permanent crop"]
    long = own_task("fields", names, train=(some_images(20), [0, 1] * 10))
    fine = own_task("pets", CLASSES, train=(some_images(20), [0, 1] * 10))
    suite = own_suite("mini", [fine, long], load_suite("mini").control, recipe=RECIPE)
    sentence = "the class 'a photo of farmland .* and the text tower of tiny reads 16"
    for trained in (
        lambda: train(tiny, run_configs(suite, ["pets", "fields"], ["standard"]), tmp_path / "runs"),
        lambda: finetune(run_config(suite, "fields", "standard"), tmp_path / "runs", tiny),
    ):
        with pytest.raises(ValueError, match=sentence):
            trained()
        assert not (tmp_path / "runs").exists()
