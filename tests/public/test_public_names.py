"""`import taujp`: every name is there, is documented, and its example runs; a stranger's package is named."""

import ast
import doctest
import os
import subprocess
import sys
from pathlib import Path

import pytest

import taujp

ROOT = Path(__file__).parents[2]
CALLS = ("coefficient_curves", "evaluate", "forecast", "load_clip", "merge", "plot_coefficients", "tau_jp", "train")


def test_type_checkers_read_the_names_that_python_finds():
    block = next(node for node in ast.parse((ROOT / "taujp.py").read_text()).body if isinstance(node, ast.If))
    written = {alias.name: node.module for node in block.body for alias in node.names}
    assert written == taujp.MODULES
    assert set(taujp.__all__) == set(written) <= set(dir(taujp))
    assert 25 <= len(taujp.__all__) <= 45


def test_every_name_is_there_and_says_what_it_is():
    for name in taujp.__all__:
        found = getattr(taujp, name)
        assert found is getattr(sys.modules[taujp.MODULES[name]], name)
        assert found.__doc__, name
    with pytest.raises(AttributeError, match=r"taujp has no 'merg': it has Clip, METHODS, .*merge"):
        taujp.merg  # noqa: B018


@pytest.mark.parametrize("name", CALLS)
def test_the_example_of_a_docstring_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    globs = {one: getattr(taujp, one) for one in taujp.__all__}
    (found,) = doctest.DocTestFinder(recurse=False).find(getattr(taujp, name), name, module=False, globs=globs)
    assert found.examples
    told = []
    doctest.DocTestRunner().run(found, out=told.append)
    assert not told, "".join(told)


@pytest.mark.parametrize("name", [name for name in CALLS if name != "load_clip"])
def test_arguments_returns_and_errors_are_told(name):
    text = getattr(taujp, name).__doc__
    assert all(f"{part}:" in text for part in ("Args", "Returns", "Raises")), name


def python(program: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    paths = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, **environment},
    )


@pytest.mark.parametrize("name", ["analysis.py", "analysis/__init__.py", "analysis/notes.txt"])
def test_another_analysis_is_named(tmp_path, name):
    """A file, a package, and a folder without one, which hides nothing."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("")
    ran = python("import taujp; print(taujp.merge.__name__)", tmp_path)
    if name.endswith(".txt"):
        assert ran.stdout == "merge\n", ran.stderr
    else:
        last = ran.stderr.splitlines()[-1]
        assert (
            last.startswith(f"ImportError: {tmp_path / name} has the name of a package of taujp")
            and "rename it" in last
        )


def test_nothing_is_loaded_before_it_is_used(tmp_path):
    assert (
        python("import sys, taujp; print('torch' in sys.modules, 'pandas' in sys.modules)", tmp_path).stdout
        == "False False\n"
    )
