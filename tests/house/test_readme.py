"""The Python on the README and on the pages of `docs/` runs as it stands, from top to bottom of a page in one session.

Pages about a study are run by that study's tests (calibration, merge, invariance), own_data by tests/datasets; here, of those
and of pages whose examples need other files, what they import is there.
"""

import ast
import importlib
import re
from pathlib import Path

import pytest
import torch
from conftest import replace_everywhere
from foreign import FORMATS, finetuned

from taujp_core.checkpoints import load_checkpoint
from taujp_core.datasets import load_split

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHORTER = {"steps=50": "steps=2", "steps=20": "steps=2", "first(24)": "first(3)", "images=100": "images=3"}


def python_of(page: str) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL))


def run_page(page: str, **names: object) -> dict:
    """The page's names after its Python has run, with fewer steps and images; `names` are what it takes as given."""
    source = python_of(page)
    for long, short in SHORTER.items():
        source = source.replace(long, short)
    exec(compile(source, page, "exec"), names)
    return names


@pytest.fixture(scope="module")
def desk(mini, tmp_path_factory):
    """A folder with two published checkpoints and a run store."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "published").mkdir()
    for number, (task, kind) in enumerate([("street", "whole.pt"), ("mnist", "module.pt")]):
        FORMATS[kind](folder / "published" / f"{task}.pt", mini, finetuned(mini, number))
    return folder


@pytest.fixture
def at_desk(desk, monkeypatch):
    """The pages measure whole validation and test splits: here the first 8 images of each."""

    def short(task, split):
        return load_split(task, split).first(0 if split == "train" else 8)

    replace_everywhere(monkeypatch, load_split, short)
    monkeypatch.chdir(desk)
    return desk


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_is_left_to_fill_in(page):
    assert not re.search(r"\b(TESTTIME|KILLS|TODO|METHODS)\b", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_the_examples_import_is_there(page):
    for node in ast.walk(ast.parse(python_of(page.relative_to(ROOT).as_posix()))):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            missing = [name.name for name in node.names if not hasattr(module, name.name)]
            assert missing == [], f"{node.module} has no {missing}"


def test_the_readmes_example_runs(at_desk, capsys):
    assert run_page("README.md")["run"].config.steps == 2
    assert "tensor" in capsys.readouterr().out


def test_the_examples_in_python_run(mini, at_desk, capsys):
    names = run_page("docs/python.md")
    assert "street" in capsys.readouterr().out
    merged = load_checkpoint(at_desk / "merged.safetensors", mini)
    expected = sum(vector.tau["visual.proj"] for vector in names["vectors"])
    assert torch.allclose(merged.tau["visual.proj"], expected, atol=1e-6)
    assert set(names["spared"].tau) == set(mini.theta0)


def test_the_examples_on_interference_run(at_desk, capsys):
    names = run_page("docs/interfere.md")
    said = capsys.readouterr().out
    assert all(word in said for word in ("shapes", "accuracy_loss", "error"))
    assert (names["own"].task, names["other"].task) == ("mnist", "street")


def test_the_example_on_live_coefficients_runs(at_desk, capsys):
    run_page("docs/explore.md")
    assert len(re.findall(r"\d\.\d", capsys.readouterr().out)) == 2
    assert "My vectors" in (at_desk / "explore.html").read_text(encoding="utf-8")


def test_the_examples_on_the_penalty_run(at_desk, capsys):
    names = run_page("docs/penalty.md")
    assert "validation_accuracy" in capsys.readouterr().out
    assert names["run"].config.start == names["vector"].digest()
    assert [run.config.task for run in names["runs"]] == ["street", "mnist"]
    assert names["config"].penalty_tasks == ("mnist", "signs", "shapes")
