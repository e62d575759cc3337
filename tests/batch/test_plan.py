"""The plan: one point a run, named as 10_train names it; evaluations after what they read."""

import json
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import yaml

from analysis.studies.notebooks import cells_of
from analysis.studies.plan import TRAINING, check_parameters, points_of, vanished, write_plan
from analysis.studies.point import Point, finished_file
from analysis.studies.study import NOTEBOOKS, Study, read_study
from analysis.training.study import TrainingStudy
from taujp_core.suites import load_suite
from taujp_core.training.run_store import run_folder

GRID = Study(
    "grid", "What?", suites=["mini"], methods=["standard", "linear", "taujp-efficient", "post-hoc-linearised"],
    tasks=["uci", "signs"], penalty_weights=[0.1, 0.2], seeds=[0, 1], recipe={"steps": 3},
)  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TAUJP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_points_that_name_the_same_run_are_one():
    """λ is nothing to a method without a penalty, and a post-hoc linearised vector is a standard one."""
    points = points_of(GRID)
    methods = [point.parameters["method"] for point in points]
    assert {method: methods.count(method) for method in methods} == {"standard": 4, "linear": 4, "taujp-efficient": 8}
    assert len({point.run for point in points}) == len({point.key for point in points}) == 16


def test_a_point_trains_the_run_that_it_names(mini):
    """What 10_train's study makes of the point's parameters."""
    for known in ([], ["uci", "mnist"]):
        for point in points_of(replace(GRID, known=known)):
            config = TrainingStudy(**point.parameters).plan(load_suite("mini"))
            store = Path(point.run).parents[2]
            assert str(run_folder(store, config, mini.fingerprint)) == point.run
            assert point.key.endswith(Path(point.run).name)


def test_all_tasks_by_default_as_in_the_notebooks():
    every = points_of(replace(GRID, tasks=[], methods=["taujp-efficient"], penalty_weights=[], seeds=[0]))
    assert [point.parameters["task"] for point in every] == list(load_suite("mini").tasks)
    assert every[0].parameters["recipe"] == {"steps": 3}


def evaluated(tmp_path, parameters: dict, **changes) -> list[Point]:
    content = {"answers": "What?", "suites": ["mini"], "methods": ["linear"], "tasks": ["uci", "signs"], **changes}
    notebooks = [
        {"notebook": "30_addition", "parameters": parameters}, {"notebook": "31_negation"},
        {"notebook": "90_report", "after": ["30_addition"]},
    ]  # fmt: skip
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump({**content, "notebooks": notebooks}))
    return points_of(read_study(path))


def test_evaluations_come_after_their_trainings_and_what_else_they_read(tmp_path):
    uci, signs, addition, negation, report = evaluated(tmp_path, {"seeds": [0]})
    assert (uci.after, signs.after) == ((), ())
    assert addition.after == negation.after == (uci.key, signs.key)
    assert report.after == (uci.key, signs.key, addition.key)


def test_an_evaluations_name_follows_what_decides_it(tmp_path):
    *_, addition, negation, report = evaluated(tmp_path, {"seeds": [0]})
    assert evaluated(tmp_path, {"seeds": [0]})[-3:] == [addition, negation, report]
    changed = {point.key for point in evaluated(tmp_path, {"seeds": [1]})}
    assert {addition.key, report.key}.isdisjoint(changed) and negation.key in changed
    more = {point.key for point in evaluated(tmp_path, {"seeds": [0]}, seeds=[0, 1])}
    assert {addition.key, negation.key, report.key}.isdisjoint(more)


def test_other_code_is_another_point_and_other_words_are_not(tmp_path):
    def key(code: str, words: str) -> str:
        cells_of.cache_clear()
        cells = [nbformat.v4.new_markdown_cell(words), nbformat.v4.new_code_cell(code)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "own.ipynb")
        path = tmp_path / "grid.yaml"
        path.write_text(yaml.safe_dump({"answers": "What?", "notebooks": [{"notebook": "own.ipynb"}]}))
        (point,) = points_of(read_study(path))
        return point.key

    assert key("x = 1", "one") == key("x = 1", "two") != key("x = 2", "two")


def test_the_plan_is_plain_data_and_what_vanished_is_known_from_files(tmp_path):
    points = points_of(GRID)
    (tmp_path / "points").mkdir()
    for key in (points[0].key, "mini-old-linear-seed0-0123456789", "another.failed"):
        finished_file(tmp_path, key).touch()
    write_plan(tmp_path, GRID, points)
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert [point["key"] for point in plan["points"]] == [point.key for point in points]
    assert vanished(tmp_path, points) == ["mini-old-linear-seed0-0123456789"]


def test_a_file_that_is_no_notebook_is_named(tmp_path):
    (tmp_path / "own.ipynb").write_text("{")
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump({"answers": "What?", "notebooks": [{"notebook": "own.ipynb"}]}))
    with pytest.raises(ValueError, match=r"own\.ipynb is not a notebook"):
        points_of(read_study(tmp_path / "grid.yaml"))


def test_the_notebooks_are_where_the_repository_has_them():
    assert TRAINING.is_file() and TRAINING.parent == NOTEBOOKS


def test_a_notebook_of_ones_own_is_asked_before_anything_runs(tmp_path):
    """By its own defaults, where the study's own would not go together with what is given."""
    cells = [
        'tasks: list[str] = ["uci", "mnist", "signs"]  # some\ntask_counts: list[int] = [2]  # numbers',
        "from analysis.notebook_parameters import begin\nfrom analysis.merging.arena_study import ArenaStudy\n\n"
        "suite, clip, plan, folders = begin(ArenaStudy, globals())",
        "raise RuntimeError('this is not run')",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(book, tmp_path / "own.ipynb")

    def point(**parameters) -> Point:
        return Point("own-0", str(tmp_path / "own.ipynb"), parameters)

    check_parameters([point(), point(task_counts=[3])])
    for given, sentence in (
        ({"task_counts": [4]}, "own: parameter task_counts: must be from 2 to 3, the number of tasks, not 4"),
        ({"tasks": ["cars"]}, "own: parameter tasks: unknown task 'cars': accepted are mnist"),
    ):
        with pytest.raises(ValueError, match=sentence):
            check_parameters([point(**given)])
