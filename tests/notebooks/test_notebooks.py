"""Notebooks: what is committed fits the code. Their parameters: test_parameters.py."""

import ast
import os
import re
import shlex
import subprocess
from pathlib import Path

import nbformat
import pytest
import yaml

from analysis.batches import run_configs
from analysis.notebook import in_project, show_table
from taujp_core.config import run_config
from taujp_core.methods import METHODS
from taujp_core.runs import run_folder
from taujp_core.suites import load_suite

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RESULTS = sorted((ROOT / "results").rglob("*.ipynb"))


def code_cells(path: Path) -> list:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def computed(cell) -> str:
    """The cell's statements without imports and comments."""
    statements = ast.parse(cell.source).body
    return "\n".join(
        ast.unparse(statement) for statement in statements if not isinstance(statement, ast.Import | ast.ImportFrom)
    )


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
    assert "check_parameters(globals())" in cells[1].source
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not any("injected-parameters" in cell.metadata.get("tags", []) for cell in cells)
    text = path.read_text()
    assert '"output_type": "error"' not in text
    assert "text/html" not in text  # nbval cannot compare it
    for cell in cells:
        for output in cell.outputs:
            if "application/vnd.plotly.v1+json" in output.get("data", {}):
                assert "image/png" in output.data, "a figure without its picture"


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


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_results_come_from_the_notebooks_code(path):
    """But for import lines and comments: where a function lives, and what is said of it, moves no number."""
    theirs = [cell for cell in code_cells(path) if "injected-parameters" not in cell.metadata.get("tags", [])]
    assert [computed(cell) for cell in theirs] == [
        computed(cell) for cell in code_cells(ROOT / "notebooks" / path.name)
    ]
    assert path.stat().st_size <= 2e6
    assert '"output_type": "error"' not in path.read_text()
    assert all(cell.metadata.papermill.status == "completed" for cell in code_cells(path))


def test_results_were_made_by_make_results():
    """Its commands parse, and every committed full version has the parameters that they give."""
    printed = subprocess.run(["make", "-n", "results"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    given = {}
    for line in printed.replace("\\\n", " ").splitlines():
        program, *words = shlex.split(line)
        if not program.endswith("papermill"):
            continue
        parameters, rest = {}, words[2:]
        while rest:
            if rest[0] == "-y":
                parameters |= yaml.safe_load(rest[1])
                rest = rest[2:]
            else:
                assert rest[0] == "-p"
                parameters[rest[1]] = yaml.safe_load(rest[2])
                rest = rest[3:]
        assert words[1] == f"results/mini/{Path(words[0]).name}"
        given[Path(words[0]).name] = parameters
    assert sorted(given) == [path.name for path in RESULTS]
    for path in RESULTS:
        injected = next(c.source for c in code_cells(path) if "injected-parameters" in c.metadata.get("tags", []))
        found: dict = {}
        exec(injected, {}, found)
        assert found == given[path.name], path.name


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task", ["mnist", "signs"])
def test_what_10_trains_is_not_trained_again_by_30(task, method, tmp_path):
    """With the same recipe and known tasks they name the same run; by default too, for one has the other's parameters."""
    cells = {name: code_cells(ROOT / "notebooks" / f"{name}.ipynb") for name in ("10_train", "30_addition")}
    ours, theirs = {}, {}
    exec(cells["30_addition"][0].source, theirs)
    exec(cells["10_train"][0].source, ours)
    ours |= {"task": task, "method": method, "known": theirs["tasks"], "recipe": theirs["recipe"]}
    statement = next(s for s in ast.parse(cells["10_train"][2].source).body if "run_config(" in ast.unparse(s))
    names = ours | {"run_config": run_config, "tasks_and_control": load_suite(ours["suite"])}
    exec(ast.unparse(statement), names)
    (config,) = run_configs(
        load_suite(theirs["suite"]), theirs["tasks"], [method], theirs["seeds"], **theirs["recipe"]
    )[theirs["tasks"].index(task) :][:1]
    assert run_folder(tmp_path, names["config"], "θ₀") == run_folder(tmp_path, config, "θ₀")


def test_every_notebook_is_in_the_makefile():
    listed = re.findall(r"^(?:NOTEBOOKS|REPORT) := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    listed = " ".join(listed).split()
    assert listed == [path.stem for path in NOTEBOOKS]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
