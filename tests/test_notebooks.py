"""Notebooks: wrong parameters stop them at the door, and what is committed fits the code."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml
from papermill.exceptions import PapermillExecutionError

from analysis.notebook import ParameterError, check_parameters, in_project, show_table

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RESULTS = sorted((ROOT / "results").rglob("*.ipynb"))


def code_cells(path: Path) -> list:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize(
    ("notebook", "parameters", "sentence"),
    [
        ("10_train", {"penalty_wieght": 0.2}, "unknown parameter penalty_wieght: accepted are suite, task, method"),
        ("10_train", {"penalty_weight": "1e-3"}, "parameter penalty_weight must be float, not str '1e-3'"),
        ("10_train", {"penalty_weight": -1.0}, "penalty_weight must be finite and not negative, not -1.0"),
        ("10_train", {"task": "mnits"}, "unknown task 'mnits': accepted are mnist"),
        ("30_addition", {"suite": "maxi"}, "unknown suite 'maxi': accepted are clip8-b16"),
        ("30_addition", {"methods": ["linear", "lora"]}, "unknown method 'lora': accepted are standard"),
        ("31_negation", {"recipe": {"stepz": 3}}, "unknown run parameter stepz"),
        ("31_negation", {"recipe": {"precision": "fp8"}}, "unknown precision 'fp8': accepted are float32"),
        ("20_causal_probe", {"tasks": ["mnist", "cars"]}, "unknown task 'cars': accepted are mnist"),
        ("32_analogy", {"recipe": {"stepz": 3}}, "unknown run parameter stepz"),
        ("40_continual", {"methods": ["linear", "ewc"]}, "unknown method 'ewc': accepted are standard"),
        ("50_public_checkpoints", {"new_task": "mnist"}, "mnist is published already: the new task must be another"),
        ("50_public_checkpoints", {"continued": "uci"}, "unknown published task to continue 'uci': accepted are mnist"),
        ("50_public_checkpoints", {"further": {"stepz": 3}}, "unknown run parameter stepz"),
        ("90_report", {"suites": ["maxi"]}, "unknown suite 'maxi': accepted are clip8-b16"),
    ],
)
def test_wrong_parameters_stop_a_notebook_before_it_writes(notebook, parameters, sentence, tmp_path, monkeypatch):
    monkeypatch.setenv("TAUJP_HOME", str(tmp_path / "home"))
    with pytest.raises(PapermillExecutionError) as caught:
        papermill.execute_notebook(
            ROOT / "notebooks" / f"{notebook}.ipynb", tmp_path / "out.ipynb", parameters, progress_bar=False
        )
    assert sentence in str(caught.value)
    assert not (tmp_path / "home").exists()


def namespace(source: str, injected: str = "") -> dict:
    """Names as a kernel has them after the parameters cell and papermill's."""
    names = {"In": [], "get_ipython": print, "_i": "", "json": json}
    exec(source, names)
    exec(injected, names)
    return names


def test_integers_serve_as_floats():
    names = namespace("a: float = 0.5\nb: list[str] = ['x']\nc: int | None = None", "a = 2\nc = 3")
    check_parameters(names)
    assert (names["a"], names["b"], names["c"]) == (2.0, ["x"], 3)
    assert isinstance(names["a"], float)


@pytest.mark.parametrize("injected", ["a = '1e-3'", "a = True", "b = 'x'", "b = [1]", "c = 1.5", "a = None"])
def test_wrong_types_are_named(injected):
    names = namespace("a: float = 0.5\nb: list[str] = ['x']\nc: int | None = None", injected)
    with pytest.raises(ParameterError, match=f"parameter {injected[0]} must be "):
        check_parameters(names)


def test_a_cell_can_be_run_again_by_hand():
    names = namespace("a: float = 0.5")
    check_parameters(names)
    names["table"] = [1, 2]
    check_parameters(names)


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
    ours = [cell.source for cell in code_cells(ROOT / "notebooks" / path.name)]
    theirs = [cell.source for cell in code_cells(path) if "injected-parameters" not in cell.metadata.get("tags", [])]
    assert theirs == ours
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


def test_every_notebook_is_in_the_makefile():
    listed = re.search(r"^NOTEBOOKS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1).split()
    assert listed == [path.stem for path in NOTEBOOKS]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
