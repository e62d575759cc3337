"""A record's commit says whether the code that made it was that commit's."""

import json
import subprocess
from pathlib import Path

import pytest

from taujp_core import provenance

ROOT = Path(__file__).parents[2]
NO_CODE = {"docs", "results", ".ci", ".github", ".pre-commit-config.yaml", ".gitignore", "LICENSE", "CITATION.cff"}


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    return subprocess.run(["git", *who, *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A repository with some of this one's files."""
    files = ["taujp_core/provenance.py", "analysis/joint.py", "benchmarks/jacobian.py", "tests/conftest.py", "Makefile"]
    for name in [*files, "pyproject.toml", "README.md", "docs/store.md", "results/mini/points.csv", "taujp.py"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as committed\n")
    write_notebook(tmp_path, "1 + 1", "2")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "all")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "taujp_core/provenance.py"))
    return tmp_path


def write_notebook(root: Path, code: str, output: str) -> None:
    (root / "notebooks").mkdir(exist_ok=True)
    cells = [{"cell_type": "code", "source": code, "outputs": [output]}, {"cell_type": "markdown", "source": "words"}]
    (root / "notebooks/10_train.ipynb").write_text(json.dumps({"cells": cells}))


def test_the_commit_is_named(root):
    assert provenance.git_commit() == git(root, "rev-parse", "--short=12", "HEAD").strip()


@pytest.mark.parametrize(
    "name",
    ["taujp_core/provenance.py", "analysis/joint.py", "benchmarks/jacobian.py", "tests/conftest.py", "pyproject.toml",
     "Makefile", "taujp.py", "analysis/new.py", "new.py"],
)  # fmt: skip
@pytest.mark.parametrize("staged", [False, True])
def test_changed_code_marks_it(root, name, staged):
    (root / name).write_text("another\n")
    if staged:
        git(root, "add", ".")
    assert provenance.git_commit().endswith("+")


def test_deleted_code_marks_it(root):
    (root / "analysis/joint.py").unlink()
    assert provenance.git_commit().endswith("+")


def test_texts_results_and_a_notebooks_outputs_do_not(root):
    for name in ("README.md", "docs/store.md", "results/mini/points.csv", "notes.txt"):
        (root / name).write_text("another\n")
    write_notebook(root, "1 + 1", "three")
    assert not provenance.git_commit().endswith("+")
    write_notebook(root, "1 + 2", "three")
    assert provenance.git_commit().endswith("+")
    (root / "notebooks/10_train.ipynb").write_text("no JSON")
    assert provenance.git_commit().endswith("+")


def test_below_somebody_elses_repository_there_is_none(root, monkeypatch):
    (root / "site/taujp_core").mkdir(parents=True)
    monkeypatch.setattr(provenance, "__file__", str(root / "site/taujp_core/provenance.py"))
    assert provenance.git_commit() is None


def test_all_that_is_committed_is_code_or_known_not_to_be():
    """A new folder of this repository is named in CODE, or here."""
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout")
    tops = {name.split("/")[0] for name in git(ROOT, "ls-files").splitlines()}
    assert {top for top in tops if not top.endswith((".md", ".py"))} <= NO_CODE | set(provenance.CODE)
