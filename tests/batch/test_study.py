"""A study's file: what is not accepted is answered in a sentence that names the file, before anything is written."""

import nbformat
import pytest
import yaml

from analysis.studies.command import main
from analysis.studies.notebooks import cells_of
from analysis.studies.plan import check_parameters, points_of
from analysis.studies.study import read_study

GOOD = {"answers": "What?", "suites": ["mini"], "methods": ["linear"], "tasks": ["uci"]}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    cells_of.cache_clear()
    monkeypatch.setenv("TAUJP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def written(folder, content) -> str:
    path = folder / "grid.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


REFUSED = [
    ({"answer": "What?"}, "the study has the unknown key 'answer': accepted are answers, costs"),
    ({**GOOD, "answers": " "}, "answers must say what the study answers"),
    ({"answers": "What?"}, "there is nothing to do: give suites and methods to train, notebooks, or both"),
    ({**GOOD, "suites": []}, "suites and methods belong together"),
    ({**GOOD, "seeds": []}, "seeds must not be empty"),
    ({**GOOD, "seeds": [0, 0]}, "seeds: 0 stands there twice"),
    ({**GOOD, "seeds": [True]}, "seeds must be a list of int, not [True]"),
    ({**GOOD, "seeds": 3}, "seeds must be a list of int, not 3"),
    ({**GOOD, "seeds": [-1]}, "seed must be at least 0, not -1"),
    ({**GOOD, "penalty_weights": ["1e-3"]}, "penalty_weights must be a list of float, not ['1e-3']"),
    ({**GOOD, "penalty_weights": [0.1], "recipe": {"penalty_weight": 1}}, "penalty_weight stands in the recipe, and"),
    ({**GOOD, "recipe": {"stepz": 3}}, "unknown run parameter stepz"),
    ({**GOOD, "recipe": {"steps": 0}}, "steps must be at least 1, not 0"),
    ({**GOOD, "methods": ["lora"]}, "unknown method 'lora': accepted are"),
    ({**GOOD, "suites": ["maxi"]}, "unknown suite 'maxi': accepted are"),
    ({**GOOD, "tasks": ["cars"]}, "unknown task of mini 'cars': accepted are mnist"),
    ({**GOOD, "known": ["cars"]}, "unknown task of mini 'cars': accepted are mnist"),
    ({**GOOD, "store": __file__}, "cannot be a folder, for"),
    ({**GOOD, "notebooks": ["30_addition"]}, "notebooks must be a list of dict, not ['30_addition']"),
    ({**GOOD, "notebooks": [{"notebook": "30_additoin"}]}, "the notebook 30_additoin does not exist: there is no"),
    ({**GOOD, "notebooks": [{"notebook": "30_addition", "parameter": {}}]}, "an entry of notebooks has the unknown key"),
    ({**GOOD, "notebooks": [{"parameters": {}}]}, "notebook must be str, not None"),
    ({**GOOD, "notebooks": [{"notebook": "30_addition", "parameters": {"seedz": [1]}}]}, "30_addition has no parameter seedz"),
    ({**GOOD, "notebooks": [{"notebook": "90_report", "after": ["30_addition"]}]}, "unknown earlier notebook to come after"),
    ({**GOOD, "results": "r", "notebooks": [{"notebook": "30_addition"}, {"notebook": "30_addition", "parameters": {"seeds": [1]}}]},
     "results needs one file per notebook, but several notebooks are named 30_addition.ipynb: rename all but one"),
    ("answers: [", "is not YAML"),
    ("nothing", "must hold keys such as answers"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "sentence"), REFUSED)
def test_what_is_not_accepted_is_answered_in_a_sentence(content, sentence, tmp_path, home, capsys):
    path = written(tmp_path, content)
    assert main([str(path)]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not home.exists()


@pytest.mark.parametrize("parameters", [{"seeds": [0, 0]}, {"tasks": ["cars"]}, {"recipe": {"precision": "fp8"}}])
def test_notebooks_are_asked_at_their_own_door(parameters, tmp_path, home, capsys):
    path = written(tmp_path, {"answers": "What?", "notebooks": [{"notebook": "30_addition", "parameters": parameters}]})
    assert main([str(path), "--workers", "1"]) == 2
    assert capsys.readouterr().err.startswith("30_addition: ")
    assert not list(home.rglob("*.ipynb"))


def test_a_study_that_is_not_there(tmp_path, capsys):
    assert main([str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml does not exist: a study is a YAML file" in capsys.readouterr().err


def test_the_name_of_a_suite_is_the_run_stores(tmp_path):
    path = written(tmp_path, GOOD).rename(tmp_path / "mini.yaml")
    with pytest.raises(ValueError, match="a study cannot have the name of a suite: runs/mini holds that suite's runs"):
        read_study(path)


def test_data_sets_that_are_not_there_are_named(tmp_path):
    path = written(tmp_path, {**GOOD, "suites": ["clip8-b32"], "tasks": ["cars"]})
    study = read_study(path)
    with pytest.raises(FileNotFoundError, match=r"python -m taujp_core.datasets download"):
        points_of(study)


def test_the_number_of_workers_is_checked(tmp_path, home, capsys):
    assert main([str(written(tmp_path, GOOD)), "--workers", "0"]) == 2
    assert capsys.readouterr().err == "--workers must be at least 1, not 0\n"


def test_a_dry_run_writes_nothing(tmp_path, home, capsys):
    assert main([str(written(tmp_path, {**GOOD, "seeds": [0, 1]})), "--dry-run"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "grid: What?"
    assert [line.split("-seed")[0] for line in said[1:3]] == ["to do  mini-uci-linear"] * 2
    assert said[3] == "0 of 2 points are done."
    assert not home.exists()


CELLS = ["number: int = 1  # what is squared", "print(number**2)"]


def own_notebook(folder, *cells: str, tagged: int | None = None, kind: str = "code") -> None:
    make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    notebook = nbformat.v4.new_notebook(
        cells=[make[kind if place == tagged else "code"](cell) for place, cell in enumerate(cells)]
    )
    if tagged is not None:
        notebook.cells[tagged].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, folder / "own.ipynb")


@pytest.mark.parametrize(
    ("cells", "tagged", "kind", "sentence"),
    [
        (CELLS, None, "code", "own.ipynb has no code cell tagged `parameters`, so that it would run with its defaults"),
        (["# Parameters", *CELLS], 0, "markdown", "own.ipynb has no code cell tagged `parameters`, so that"),
        ([], None, "code", "own.ipynb has no code cell tagged `parameters`"),
        (["number = = 1"], 0, "code", "own.ipynb: the cell tagged `parameters` is not Python: "),
        (["import os", "numbers = [1]"], 1, "code", "own has no parameter number: accepted are numbers"),
    ],
)
def test_parameters_that_would_be_passed_over_are_refused(cells, tagged, kind, sentence, tmp_path, home, capsys):
    """Before anything is trained."""
    own_notebook(tmp_path, *cells, tagged=tagged, kind=kind)
    path = written(tmp_path, {**GOOD, "notebooks": [{"notebook": "own.ipynb", "parameters": {"number": 3}}]})
    assert main([str(path), "--workers", "1"]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
    assert not home.exists()


@pytest.mark.parametrize("tagged", [0, 1])
def test_the_tagged_cell_holds_the_parameters_wherever_it_stands(tagged, tmp_path):
    cells = ["%matplotlib inline\nnumber: int = 1", "import os"] if tagged == 0 else ["import os", "%time\nnumber = 1"]
    own_notebook(tmp_path, *cells, tagged=tagged)
    path = written(
        tmp_path, {"answers": "What?", "notebooks": [{"notebook": "own.ipynb", "parameters": {"number": 3}}]}
    )
    (point,) = points_of(read_study(path))
    assert point.parameters == {"number": 3}
    own_notebook(tmp_path)
    cells_of.cache_clear()
    (point,) = points_of(read_study(written(tmp_path, {"answers": "What?", "notebooks": [{"notebook": "own.ipynb"}]})))
    check_parameters([point])  # a notebook without cells has nothing to ask


def test_a_folder_of_the_study_that_is_a_file(tmp_path, home, capsys):
    (home / "runs").mkdir(parents=True)
    (home / "runs/grid").touch()
    assert main([str(written(tmp_path, GOOD)), "--workers", "1"]) == 2
    assert "runs/grid is a file" in capsys.readouterr().err
