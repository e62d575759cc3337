"""A study's file: what is not accepted is answered in a sentence that names the file, before anything is written."""

import pytest
import yaml

from analysis.batch.command import main
from analysis.batch.plan import points_of
from analysis.batch.study import read_study

GOOD = {"answers": "What?", "suites": ["mini"], "methods": ["linear"], "tasks": ["uci"]}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
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
     "results has one file for each notebook, and 30_addition.ipynb is there more than once"),
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
