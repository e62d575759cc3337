"""The house: what may import what, and that every file says what it is for."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("taujp_core", "analysis") for path in (ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Modules of this project that a file imports, by their whole names."""
    package = path.relative_to(ROOT).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join((*package[: len(package) - node.level + 1], *(node.module or "").split("."))).strip(".")
            base = base if node.level else node.module
            # `from package import module` imports the module.
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names}
    return {name for name in found if name.split(".")[0] in ("taujp_core", "analysis", "notebooks")}


MODULES = {module_of(path) for path in FILES}


def room(module: str) -> str:
    """Of analysis: the study's folder; empty for what is shared, at the top."""
    parts = module.split(".")
    is_folder = len(parts) > 1 and (ROOT / "analysis" / parts[1]).is_dir()
    return parts[1] if parts[0] == "analysis" and is_folder else ""


def allowed(module: str, other: str) -> bool:
    """notebooks → analysis → taujp_core, never back; a study imports from the top and from itself, the command from all."""
    if other.startswith("taujp_core"):
        return True
    if module.startswith("taujp_core"):
        return False
    return room(module) == "command" or room(other) in ("", room(module))


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_go_one_way(path):
    module = module_of(path)
    assert {other for other in imports(path) if not allowed(module, other)} == set()


def test_the_rule_sees_what_it_forbids():
    assert allowed("analysis.causal.arms", "analysis.products")
    assert not allowed("analysis.causal.arms", "analysis.published.checkpoints")
    assert not allowed("analysis.products", "analysis.causal.arms")
    assert not allowed("analysis.notebook_parameters", "analysis.causal.study")
    assert not allowed("analysis.studies.plan", "analysis.training.study")
    assert not allowed("taujp_core.training.run_store", "analysis.products")
    assert "analysis.causal.arms" in imports(ROOT / "analysis/causal/figures.py")


def test_there_are_no_cycles():
    """Between files, imports inside functions included; a folder's `__init__` stands for the folder."""
    graph = {module_of(path): imports(path) for path in FILES}
    done, open_now = set(), []

    def visit(module: str) -> None:
        assert module not in open_now, " → ".join([*open_now, module])
        if module in done or module not in graph:
            return
        open_now.append(module)
        for other in sorted(graph[module]):
            visit(other)
        done.add(open_now.pop())

    for module in graph:
        visit(module)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_every_file_asks_first_what_it_answers(path):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert "?" in docstring.splitlines()[0]
