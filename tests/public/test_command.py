"""The command `taujp`: from examples to a merged file and a figure, and mistakes told together, without a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import analysis.command.examples as made_up
from analysis.command.main import main
from analysis.command.notebooks import folder_of_notebooks, lab
from taujp_core.checkpoints import load_checkpoint, merge_record
from taujp_core.files import read_tensors

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """`taujp examples`, smaller."""
    folder = tmp_path_factory.mktemp("command") / "examples"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"STEPS": 1, "PICTURES": 12, "LABELLED": 20}.items():
            patch.setattr(made_up, name, value)
        assert main(["examples", str(folder)]) == 0
    return folder


@pytest.fixture
def inside(examples, monkeypatch):
    monkeypatch.chdir(examples)
    return examples


def test_examples_are_two_checkpoints_and_pictures(inside):
    assert sorted(path.name for path in inside.iterdir()) == ["pictures", "published", "tests", "train", "validation"]
    assert sorted(path.name for path in Path("published").iterdir()) == ["fashion.safetensors", "street"]
    counts = {path.name: len(list(path.glob("*.png"))) for path in Path("pictures").iterdir()}
    assert counts == {"control": 12, "fashion": 12, "street": 12}
    for part in ("train", "validation", "tests"):
        assert all(len(list(Path(part, task).glob("*/*.png"))) == 20 for task in ("fashion", "street"))


def test_examples_are_not_written_into_a_folder_with_something(inside, capsys):
    assert main(["examples", "."]) == 1
    assert capsys.readouterr().err == ". exists and is not empty: give a new folder\n"


def test_a_merged_file_and_a_figure_by_the_command_alone(inside, mini, tmp_path, capsys):
    output, figure, table = tmp_path / "merged", tmp_path / "curves.html", tmp_path / "table.csv"
    base = ["--base", "mini", "--device", "cpu"]
    assert main(["merge", "published/", *base, "--images", "pictures/", "-o", str(output), "--rounds", "1"]) == 0
    assert "coefficient 1" in capsys.readouterr().out
    assert merge_record(output)["tasks"] == ["fashion", "street"] and load_checkpoint(output, mini).task == "merged"
    assert (
        main(
            ["coefficients", "published/", *base, "--tests", "tests/", "--validation", "validation", "-o", str(figure)]
        )
        == 0
    )
    assert "plotly" in figure.read_text()
    assert main(["evaluate", str(output), *base, "--tests", "tests/", "-o", str(table)]) == 0
    assert pd.read_csv(table, index_col=0).index.tolist() == ["fashion", "street"]
    capsys.readouterr()
    assert main(["evaluate", *base, "--tests", "tests/street"]) == 0
    assert "street" in capsys.readouterr().out
    checkpoints = ["published/street", "published/fashion.safetensors"]
    assert main(["tau-jp", *checkpoints, *base, "--images", "pictures", "-o", str(table)]) == 0
    found = pd.read_csv(table, index_col=0)
    assert found.index.tolist() == ["street", "fashion"] and list(found) == ["control", "fashion", "street"]
    assert (found > 0).all(axis=None)
    call = ["forecast", *checkpoints, *base, "--images", "pictures", "-o", str(table)]
    assert main([*call, "--labelled", "validation"]) == 0
    assert "advice" in capsys.readouterr().out
    found = pd.read_csv(table, index_col=0)
    assert found.index.tolist() == ["street", "fashion"] and found.expected.between(found.low, found.high).all()


def test_class_names_of_a_forecast_are_read_from_a_file(inside, tmp_path, capsys):
    path = tmp_path / "classes.yaml"
    call = ["forecast", "published", "--base", "mini", "--images", "pictures", "--classes", str(path)]
    path.write_text("street: [zero, one]\nfashion: [shirt, coat]\n")
    assert main(call) == 0
    for text, sentence in (
        ("street: [zero, one]", "the class names of fashion are needed"),
        ("street: zero", "must hold a list of class names for each task"),
        ("street: [zero", "is no YAML file"),
    ):
        path.write_text(text)
        capsys.readouterr()
        assert main(call) == 1
        said = capsys.readouterr().err
        assert sentence in said and said.count("\n") == 1


def test_a_vector_is_trained_from_class_folders(inside, tmp_path, capsys):
    output = tmp_path / "street.safetensors"
    call = [
        "train",
        "train/street",
        "--base",
        "mini",
        "--others",
        "pictures",
        "--store",
        str(tmp_path),
        "-o",
        str(output),
    ]
    assert main([*call, "--set", "steps=1", "batch_size=4", "penalty_batch_size=2", "penalty_weight=0.5"]) == 0
    assert str(output) in capsys.readouterr().out
    assert read_tensors(output)[1]["task"] == "street"
    (record,) = tmp_path.glob("own/street/*/config.json")
    config = json.loads(record.read_text())
    assert config["penalty_weight"] == 0.5 and config["penalty_tasks"] == ["control", "fashion"]
    assert main([*call, "--set", "steps"]) == 1
    assert capsys.readouterr().err == "--set takes NAME=VALUE, such as steps=500, not 'steps'\n"


def test_several_mistakes_are_told_together(inside, capsys):
    call = ["merge", "published/street", "nowhere/", "pictures/", "--base", "mini", "--images", "picturs/", "-o", "out"]
    assert main(call) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3 and all(
        word in line for word, line in zip(("nowhere", "pictures", "picturs"), said, strict=True)
    )
    assert main(["tau-jp", "published", "--base", "minni", "--images", "pictures"]) == 1
    assert capsys.readouterr().err.startswith("unknown model 'minni'")
    assert main(["coefficients", "published", "--base", "mini", "--tests", "tests", "-o", "x.txt"]) == 1
    assert "unknown kind of figure '.txt'" in capsys.readouterr().err
    assert sorted(path.name for path in inside.iterdir()) == ["pictures", "published", "tests", "train", "validation"]


def test_every_command_says_what_it_takes():
    """As it is installed, and quickly: nothing is loaded for it."""
    shown = subprocess.run(
        [sys.executable, "-m", "analysis.command.main", "--help"], capture_output=True, text=True, cwd=ROOT
    )
    commands = (
        "merge",
        "tau-jp",
        "forecast",
        "evaluate",
        "coefficients",
        "train",
        "data",
        "batch",
        "explore",
        "examples",
        "lab",
    )
    assert all(f"\n    {name}" in shown.stdout for name in commands)
    for name in ("data", "batch"):
        with pytest.raises(SystemExit):
            main([name, "--help"])


def test_the_notebooks_are_copied_once_and_opened(tmp_path, monkeypatch, capsys):
    started = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: started.append(arguments))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(PermissionError, match="JupyterLab does not run as root"):
        lab(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()
    lab(tmp_path / "mine", allow_root=True)
    assert started.pop()[-1] == "--allow-root" and (tmp_path / "mine" / ".jupyterlab" / "overrides.json").is_file()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    lab(tmp_path / "mine")
    (tmp_path / "mine" / "00_quickstart.ipynb").write_text("changed")
    lab(tmp_path / "mine")
    assert (tmp_path / "mine" / "00_quickstart.ipynb").read_text() == "changed"
    assert len(started) == 2 and f"--ServerApp.root_dir={tmp_path / 'mine'}" in started[0]
    assert {path.name for path in folder_of_notebooks().glob("*.ipynb")} == {
        p.name for p in (tmp_path / "mine").glob("*.ipynb")
    }
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("")
    with pytest.raises(ValueError, match="holds no notebooks of taujp"):
        lab(tmp_path / "other")
