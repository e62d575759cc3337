"""Notebooks: what is committed fits the code. Their parameters: test_parameters.py."""

import ast
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest

from analysis.notebook import in_project, show_table
from analysis.studies.notebooks import study_of
from analysis.study import TASKS, configurations
from taujp_core.methods import METHODS
from taujp_core.suites import load_suite
from taujp_core.training.run_store import run_folder

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RESULTS = sorted((ROOT / "results").glob("*/[0-9]*.ipynb"))  # JupyterLab leaves copies in a folder of each
sys.path.insert(0, str(ROOT / "docs"))

import chapters  # noqa: E402


def code_cells(path: Path) -> list:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def computed(cell, injected: dict) -> str:
    """The cell's statements without imports and comments, and of the parameters without the defaults that were not used."""
    statements = [s for s in ast.parse(cell.source).body if not isinstance(s, ast.Import | ast.ImportFrom)]
    if "parameters" in cell.metadata.get("tags", []):
        for statement in statements:
            if statement.target.id in injected:
                statement.value = None
    return "\n".join(ast.unparse(statement) for statement in statements)


def test_paths_of_notebooks_do_not_depend_on_the_kernels_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("TAUJP_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert in_project("runs") == ROOT / "runs"


def test_tables_are_rounded(capsys):
    import pandas as pd

    show_table(pd.DataFrame({"a": [0.12345]}), 2)
    assert capsys.readouterr().out == "      a\n0  0.12\n"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebooks_are_executed_in_order_with_their_defaults(path):
    cells = code_cells(path)
    assert cells[0].metadata.get("tags") == ["parameters"]
    assert f"begin({study_of(path).__name__}, globals())" in cells[1].source
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not any("injected-parameters" in cell.metadata.get("tags", []) for cell in cells)
    text = path.read_text()
    assert '"output_type": "error"' not in text
    assert "text/html" not in text  # nbval cannot compare it
    for cell in cells:
        for output in cell.outputs:
            if "application/vnd.plotly.v1+json" in output.get("data", {}):
                assert "image/png" in output.data, "a figure without its picture"


def legend_in_a_narrow_cell(figure: dict) -> int:
    """About how many pixels high: Plotly fills rows of 30 from the left, with a mark of 45 and 7 a letter for each name."""
    rows, left = 0, 0
    for trace in figure["data"]:
        if trace.get("showlegend") and figure["layout"].get("showlegend", True):
            needs = 45 + 7 * len(trace["name"])
            rows, left = (rows + 1, 400 - needs) if needs > left else (rows, left - needs)
    return 30 * rows


def test_no_legend_scrolls_in_a_narrow_cell():
    """In half of a figure Plotly shows a legend whole; what is longer scrolls. The same in a browser: tests/browser."""
    figures = [
        output.data["application/vnd.plotly.v1+json"]
        for path in NOTEBOOKS
        for cell in code_cells(path)
        for output in cell.outputs
        if "application/vnd.plotly.v1+json" in output.get("data", {})
    ]
    assert len(figures) > 30
    for figure in figures:
        assert legend_in_a_narrow_cell(figure) <= 0.5 * figure["layout"]["height"], figure["layout"]["title"]["text"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_has_a_type_and_a_comment(path):
    for line in code_cells(path)[0].source.splitlines():
        assert re.fullmatch(r"\w+: [^=]+ = .+  # .+", line), line


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_that_are_not_compared_say_why(path):
    for cell in code_cells(path):
        lines = cell.source.splitlines()
        for number, line in enumerate(lines):
            if line.strip() == "# NBVAL_IGNORE_OUTPUT":
                assert number > 0
                assert lines[number - 1].startswith("# "), "a reason stands on the line above"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_opens_with_an_answer_and_leads_to_the_next(path):
    """What the answer says: test_full_versions.py. Where there is no full version, it is the small one's."""
    _, answer, *_, last = nbformat.read(path, 4).cells[0].source.split("\n\n")
    assert answer.startswith(f"{chapters.IN_A_SENTENCE} ")
    if "[the full version](../results/" not in answer:
        (said,) = re.findall("This small version shows: (.*)", printed(path))
        assert answer.startswith(f"{chapters.IN_A_SENTENCE} {said} This is the small run below")
    following = NOTEBOOKS[(NOTEBOOKS.index(path) + 1) % len(NOTEBOOKS)]
    its_title = nbformat.read(following, 4).cells[0].source.partition("\n")[0].lstrip("# ")
    assert last == f"{chapters.NEXT} [{its_title}]({following.name})"


def printed(path: Path) -> str:
    return "\n".join(output.get("text", "") for cell in code_cells(path) for output in cell.outputs)


def moved_on() -> dict[str, str]:
    """Why, by the file's name."""
    lines = (ROOT / "results" / "moved_on.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split(": ", 1) for line in lines if line and not line.startswith("#"))


def test_results_that_moved_on_are_files_and_the_readme_says_of_which_commit_they_are():
    assert moved_on().keys() <= {str(path.relative_to(ROOT / "results")) for path in RESULTS}
    assert all(moved_on().values())
    commit = re.search(r"commit (\w{7})", (ROOT / "results" / "moved_on.txt").read_text(encoding="utf-8"))[1]
    assert not moved_on() or f"`{commit}`" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_results_come_from_the_notebooks_code(path):
    """But for import lines, comments and defaults that gave way to other values: they moved no number. Those whose code has
    moved on stand in a list, which must not grow stale."""
    injected = {}
    exec(
        next(cell.source for cell in code_cells(path) if "injected-parameters" in cell.metadata.get("tags", [])),
        injected,
    )
    theirs = [cell for cell in code_cells(path) if "injected-parameters" not in cell.metadata.get("tags", [])]
    ours = code_cells(ROOT / "notebooks" / path.name)
    same = [computed(cell, injected) for cell in theirs] == [computed(cell, injected) for cell in ours]
    assert same is (str(path.relative_to(ROOT / "results")) not in moved_on())
    assert path.stat().st_size <= 2e6
    assert '"output_type": "error"' not in path.read_text()
    assert all(cell.metadata.papermill.status == "completed" for cell in code_cells(path))


def planned(name: str, **given) -> list:
    """What a notebook trains with these parameters, and its defaults for the others."""
    study = study_of(ROOT / "notebooks" / f"{name}.ipynb")(**given)
    return configurations(study.plan(load_suite(study.suite)))


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.others != "environments"])
@pytest.mark.parametrize("task", TASKS)
def test_what_10_trains_is_not_trained_again_by_30(task, method, tmp_path):
    """With the same recipe and known tasks they name the same run; by default too, for one has the other's parameters."""
    (ours,) = planned("10_train", task=task, method=method)
    (theirs,) = [config for config in planned("30_addition", methods=[method]) if config.task == task]
    assert run_folder(tmp_path, ours, "θ₀") == run_folder(tmp_path, theirs, "θ₀")


def test_notebooks_name_the_same_runs_by_default():
    """What 00 trains answers 30, 31 and 33 as well."""
    names = ("00_quickstart", "30_addition", "31_negation", "33_disentanglement")
    named = {name: {run_folder("", config, "θ₀") for config in planned(name)} for name in names}
    assert {study_of(ROOT / "notebooks" / f"{name}.ipynb")().store for name in names} == {"runs"}
    assert len(named["00_quickstart"]) == 12
    disentangled = named.pop("33_disentanglement")  # a pair of these tasks
    assert len(disentangled) == 6 and disentangled < named["00_quickstart"]
    assert all(folders == named["00_quickstart"] for folders in named.values())


def test_every_notebook_is_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", "")
    listed = re.findall(r"^(?:NOTEBOOKS|REPORT) := (.*)$", makefile, re.MULTILINE)
    assert sorted(" ".join(listed).split()) == [path.stem for path in NOTEBOOKS]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
