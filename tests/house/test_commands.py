"""The commands of a contributor: the Makefile, the code host, pre-commit and the type checker mean the same files."""

import ast
import importlib
import inspect
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import taujp

ROOT = Path(__file__).parents[2]
TYPED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["files"]


def public() -> set[str]:
    """Files that define the names of `taujp`, and what the README's and the pages' Python imports beside them."""
    found = {
        inspect.getmodule(getattr(taujp, name)) or importlib.import_module(taujp.MODULES[name])
        for name in taujp.__all__
    }
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.ImportFrom):
                    module = importlib.import_module(node.module)
                    found |= {inspect.getmodule(getattr(module, name.name)) or module for name in node.names}
    files = {Path(module.__file__).resolve() for module in found}
    return {file.relative_to(ROOT).as_posix() for file in files if file.is_relative_to(ROOT / "taujp_core")} | {
        file.relative_to(ROOT).as_posix() for file in files if file.is_relative_to(ROOT / "analysis")
    }


def test_types_of_what_is_public_are_checked():
    assert public() <= set(TYPED)
    assert all((ROOT / name).is_file() for name in TYPED)


def said_by(*targets: str) -> str:
    """What make would run."""
    return subprocess.run(
        ["make", "--always-make", "--dry-run", *targets], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("target", ["lint", "check", "test"])
def test_format_lint_and_types_are_part_of(target):
    said = said_by(target)
    assert all(f".venv/bin/{tool}" in said for tool in ("ruff check .", "ruff format --check .", "mypy"))


def test_the_fast_tests_leave_out_files_that_are_there():
    ignored = re.findall(r"--ignore=(\S+?);?\s", said_by("check").replace(";", " "))
    assert len(ignored) > 5
    assert [name for name in ignored if not (ROOT / name).is_file()] == []


def test_kernels_are_forked_for_nbval_alone_and_one_notebook_has_an_ordinary_one_too():
    runs = [line for line in said_by("test").split("\n") if "-m pytest" in line]
    assert ["--nbval" in line for line in runs] == [False, True, True, True]
    assert ["-p warm_kernels" in line for line in runs] == [False, True, True, False]


def test_pre_commit_and_the_code_host_call_these_commands():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"  # nothing is fetched
    assert [hook["entry"] for hook in repository["hooks"]] == ["make lint"]
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    runs = {job["runs-on"]: [step["run"] for step in job["steps"] if "run" in step] for job in jobs.values()}
    assert runs == {"ubuntu-latest": [".ci/run"], "macos-latest": ["make check"]}


def test_the_readme_lists_commands_that_are_there():
    readme = (ROOT / "README.md").read_text(encoding="utf-8") + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make ([\w-]+)", readme, re.MULTILINE))
    assert {"check", "test", "strength", "quickstart"} <= named <= targets
