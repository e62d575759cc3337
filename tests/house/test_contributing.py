"""CONTRIBUTING.md: each recipe is followed in a copy of the packages and works there; the files that it names are there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```python (\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
FILES = {name: text for name, text in BLOCKS.items() if name.endswith(".py")}
USES = [name for name in BLOCKS if name not in FILES]
PATH = re.compile(r"`((?:taujp_core|analysis|notebooks|tests|docs|benchmarks)/[\w./-]*)`")
QUESTIONS = dict(re.findall(r"^\| ([^|]+\?) \| (.+) \|$", PAGE, re.MULTILINE))


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The packages as they are, and the files of the recipes, nothing else; mini's large files are not copied."""
    folder = tmp_path_factory.mktemp("copy")
    for package in ("taujp_core", "analysis"):
        shutil.copytree(
            ROOT / package, folder / package, copy_function=os.symlink, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name, text in FILES.items():
        assert not (folder / name).exists(), "the recipe's file is what makes it work"
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", USES)
def test_a_recipe_works(name, copy, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", BLOCKS[name]]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]


@pytest.mark.parametrize("name", FILES)
def test_the_examples_keep_the_rules_of_the_house(name, copy):
    assert "?" in FILES[name].splitlines()[0]
    for command in ("check", "format --check"):
        ruff = [sys.executable, "-m", "ruff", *command.split(), "--config", str(ROOT / "pyproject.toml"), name]
        ran = subprocess.run(ruff, cwd=copy, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout


def test_every_file_that_is_named_is_there():
    named = set(PATH.findall(PAGE)) - FILES.keys() - {"taujp_core/suites/NAME.yaml"}
    assert len(named) > 20
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_a_stranger_has_twelve_questions_and_each_has_a_file():
    assert len(QUESTIONS) == 12
    assert all(PATH.search(answer) for answer in QUESTIONS.values())
