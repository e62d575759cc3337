"""What does a notebook say of itself without being run? Its parameters, its code, and the study that it begins with."""

import ast
import importlib
from contextlib import suppress
from functools import cache
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager


@cache
def cells_of(notebook: Path) -> tuple[nbformat.NotebookNode, ...]:
    try:
        return tuple(nbformat.read(notebook, 4).cells)
    except (OSError, ValueError, AttributeError, nbformat.reader.NotJSONError) as error:
        raise ValueError(f"{notebook} is not a notebook: {error}") from None


def code_cells(notebook: Path) -> tuple[str, ...]:
    return tuple(cell.source for cell in cells_of(notebook) if cell.cell_type == "code")


def check_names(notebook: Path, parameters: dict) -> None:
    """Raises ValueError for a parameter that the notebook does not have, for papermill only warns, and for parameters of
    a notebook without a cell for them, for papermill puts them before all others, where defaults undo them."""
    accepted = assigned(notebook)
    if parameters and accepted is None:
        raise ValueError(
            f"{notebook.name} has no code cell tagged `parameters`, so that it would run with its defaults instead of "
            f"the study's {', '.join(parameters)}: tag the cell that holds them"
        )
    for name in parameters:
        if name not in accepted:
            raise ValueError(f"{notebook.stem} has no parameter {name}: accepted are {', '.join(accepted) or 'none'}")


def assigned(notebook: Path) -> dict[str, ast.expr] | None:
    """Names that the cell tagged `parameters` assigns to, and what; None without such a cell."""
    tagged = [cell for cell in cells_of(notebook) if "parameters" in cell.metadata.get("tags", [])]
    if not tagged or tagged[0].cell_type != "code":
        return None
    try:
        body = parsed(tagged[0].source).body
    except SyntaxError as error:
        raise ValueError(f"{notebook.name}: the cell tagged `parameters` is not Python: {error}") from None
    pairs = [(node.target, node.value) for node in body if isinstance(node, ast.AnnAssign)]
    pairs += [(target, node.value) for node in body if isinstance(node, ast.Assign) for target in node.targets]
    return {target.id: value for target, value in pairs if isinstance(target, ast.Name)}


def defaults_of(notebook: Path) -> dict[str, object]:
    """The literals among the parameters' defaults."""
    found = {}
    for name, value in (assigned(notebook) or {}).items():
        with suppress(ValueError):
            found[name] = ast.literal_eval(value)
    return found


def parsed(source: str) -> ast.Module:
    """A cell may hold magics."""
    return ast.parse(TransformerManager().transform_cell(source))


def study_of(notebook: Path) -> type | None:
    """The study in the notebook's call `begin(STUDY, globals())`, from the module that it is imported from.

    None for a notebook without such a call, and for a module that only its kernel finds: it is asked when it runs.
    """
    modules: dict[str, str] = {}
    for source in code_cells(notebook):
        with suppress(SyntaxError):
            for node in ast.walk(parsed(source)):
                if isinstance(node, ast.ImportFrom) and node.module:
                    modules |= {alias.name: node.module for alias in node.names}
                elif isinstance(node, ast.Call) and ast.unparse(node.func) == "begin" and node.args:
                    name = ast.unparse(node.args[0])
                    with suppress(ImportError):
                        return getattr(importlib.import_module(modules[name]), name) if name in modules else None
                    return None
    return None
