"""What is imported is declared, what is declared is imported, and environment.yml asks for the same as pyproject.toml."""

import ast
import json
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Not imported by name: Jupyter starts the kernel, `make lab` the server, and plotly draws PNGs by kaleido.
STARTED = {"ipykernel", "jupyterlab", "kaleido"}
NEWER = {"annotationlib"}  # of Python 3.14's own library, imported where it is there
# What may import which requirements. The packages' own extra is for those who run studies on a cluster.
GROUPS = {
    "taujp_core": [PROJECT["dependencies"]],
    "analysis": [PROJECT["dependencies"], EXTRAS["cluster"]],
    "notebooks": [PROJECT["dependencies"]],
    "benchmarks": [PROJECT["dependencies"], EXTRAS["cluster"]],
    "docs": [PROJECT["dependencies"], EXTRAS["docs"]],
    "tests": [PROJECT["dependencies"], EXTRAS["dev"]],
}
DOCS_ALONE = {"markdown-it-py"}  # a test of the site, which runs where the docs extra is installed


def normal(requirement: str) -> str:
    """A requirement's distribution, as registries compare names."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def imported(source: str) -> set[str]:
    """Top-level names that Python code imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    return found


def sources(folder: str) -> list[str]:
    """The Python of a folder's modules and notebooks, without what generates pages into docs/."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / folder).rglob("*.py"))]
    for path in sorted((ROOT / folder).glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return texts


def ours() -> set[str]:
    """Modules of this repository: packages at its top, and files of docs/ and tests/ that others import."""
    files = [path for folder in ("docs", "tests") for path in (ROOT / folder).rglob("*.py")]
    return {path.stem for path in ROOT.glob("*.py")} | {path.stem for path in files} | {"taujp_core", "analysis"}


def needed(folder: str) -> set[str]:
    """Distributions that a folder's code imports."""
    names = set().union(*map(imported, sources(folder))) - sys.stdlib_module_names - ours() - NEWER
    of = packages_distributions()
    return {normal(of.get(name, [name])[0]) for name in names}


@pytest.mark.parametrize("folder", GROUPS)
def test_what_is_imported_is_declared(folder):
    declared = {normal(requirement) for group in GROUPS[folder] for requirement in group}
    assert needed(folder) - declared - (DOCS_ALONE if folder == "tests" else set()) == set()


def test_the_default_install_is_what_is_imported():
    used = needed("taujp_core") | needed("analysis") | needed("notebooks")
    assert {normal(requirement) for requirement in PROJECT["dependencies"]} - used == STARTED


def test_an_import_inside_a_function_is_seen():
    assert imported("import a.b\ndef f():\n    from c.d import e\n    from . import g") == {"a", "c"}
    assert normal("Open_CLIP.torch>=3") == "open-clip-torch"


def test_who_develops_can_run_a_cluster():
    assert set(EXTRAS["cluster"]) <= set(EXTRAS["dev"])


def test_conda_and_pip_users_get_the_same_requirements():
    *conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert f"python{PROJECT['requires-python']}" in conda
    assert "--editable ." in pip["pip"]
    listed = [line for line in pip["pip"] if not line.startswith("--")]
    assert sorted(listed) == sorted(PROJECT["dependencies"] + EXTRAS["dev"])
