"""How do docstrings become the reference? Read from the source, a page a folder; nothing is imported.

Docstrings are plain text with Unicode mathematics, and code in backticks: Markdown in all but the signs that Markdown
takes for its own, which are escaped. Tables stay tables. Functions, classes and methods with a docstring are public here;
annotations stand as they are written.
"""

import ast
import re
from itertools import groupby
from pathlib import Path
from textwrap import dedent

from chapters import escaped, save

OUTER, INNER = "`````", "````"  # around a function or class, and around what is in a class


def write(root: Path, folder: Path) -> None:
    """A page for each folder with Python files, and one that lists them."""
    folder.mkdir(exist_ok=True)
    packages = sorted(path.parent for top in ("taujp_core", "analysis") for path in (root / top).rglob("__init__.py"))
    pages = {".".join(package.relative_to(root).parts): package for package in packages}
    for path in folder.iterdir():
        if path.stem not in (*pages, "index"):
            path.unlink()
    questions = {name: question(package) for name, package in pages.items()}
    for name, package in pages.items():
        save(folder / f"{name}.md", page(root, name, package).encode())
    save(folder / "index.md", index(questions).encode())


def question(package: Path) -> str:
    """The first line of a folder's docstring."""
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def index(questions: dict[str, str]) -> str:
    rows = "\n".join(f"- [{name}]({name}.md): {escaped(text)}" for name, text in questions.items())
    toctree = "\n".join(questions)
    return (
        "# Reference\n\nFrom the docstrings: mathematics, shapes, units, errors and sources. `analysis` builds on "
        f"`taujp_core`, never the other way round.\n\n{rows}\n\n```{{toctree}}\n:hidden:\n\n{toctree}\n```\n"
    )


def page(root: Path, name: str, package: Path) -> str:
    parts = [f"# {name}"]
    for path in sorted(package.glob("*.py"), key=lambda path: (path.name != "__init__.py", path.name)):
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        module = name if path.name == "__init__.py" else f"{name}.{path.stem}"
        shown = [described(node, module, source) for node in tree.body if is_public(node)]
        docstring = ast.get_docstring(tree)
        if not docstring and not shown:
            continue
        if module != name:
            parts.append(f"## {module}")
        parts += [markdown(docstring or ""), *shown]
    return "\n\n".join(filter(None, parts)) + "\n"


def is_public(node: ast.stmt) -> bool:
    named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    return named and not node.name.startswith("_") and ast.get_docstring(node) is not None


def described(node: ast.stmt, module: str, source: str, owner: str = "") -> str:
    """A directive of Sphinx's Python domain: signature and docstring, of a class also fields and methods."""
    text = [markdown(ast.get_docstring(node))]
    if isinstance(node, ast.ClassDef):
        kind, bases = "class", ", ".join(ast.unparse(base) for base in node.bases)
        signature = f"{node.name}({bases})" if bases else node.name
        text += [fields(node, source)]
        text += [described(one, module, source, f"{node.name}.") for one in node.body if is_public(one)]
    elif {ast.unparse(decorator) for decorator in node.decorator_list} & {"property", "cached_property"}:
        kind, signature = "property", node.name
    else:
        kind, returns = "method" if owner else "function", f" -> {ast.unparse(node.returns)}" if node.returns else ""
        signature = f"{node.name}({without_self(node, owner)}){returns}"
    fence = INNER if owner else OUTER
    return "\n".join([f"{fence}{{py:{kind}}} {owner}{signature}", f":module: {module}", "", *text, fence, ""])


def fields(node: ast.ClassDef, source: str) -> str:
    """A class's annotated fields, with the comments beside them."""
    lines = source.splitlines()
    found = [lines[one.lineno - 1 : one.end_lineno] for one in node.body if isinstance(one, ast.AnnAssign)]
    return "\n".join(["```python", *(dedent("\n".join(part)) for part in found), "```", ""]) if found else ""


def without_self(node: ast.FunctionDef, owner: str) -> str:
    arguments = ast.unparse(node.args)
    first = node.args.args[0].arg if owner and node.args.args else ""
    return arguments.removeprefix(first).removeprefix(", ") if first in ("self", "cls") else arguments


def markdown(docstring: str) -> str:
    """A docstring as Markdown: sentences, tables, blocks that are shown as they stand, and examples."""
    parts = []
    for kind, lines in groupby(docstring.splitlines(), kind_of):
        text = "\n".join(lines)
        if kind == "block":
            language = "python" if text.lstrip().startswith((">>>", "import ", "from ")) else "text"
            parts.append(f"\n```{language}\n{dedent(text) if language == 'python' else text}\n```\n")
        else:
            parts.append(f"\n{table(text)}\n" if kind == "table" else plain(text))
    return "\n".join(parts).strip()


def kind_of(line: str) -> str:
    """Lines indented by four or more, and lines with columns set by spaces, are shown as they stand."""
    if line.startswith("    ") or line.startswith(">>>") or re.search(r"^\S.*\S {2,}\S", line):
        return "block"
    return "table" if re.match(r"\|.*\|$", line) else "text"


def table(text: str) -> str:
    """A table of Markdown, with its cells escaped; its rule stays."""
    lines = text.split("\n")
    return "\n".join(line if set(line) <= set("|-: ") else "|".join(map(escaped, cells(line))) for line in lines)


def cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)\|", line)


def plain(text: str) -> str:
    """Escaped, with a line that begins like a list or a rule and is none kept in its sentence."""
    lines = escaped(text).split("\n")
    return "\n".join("\\" + line if line.startswith(("+", "=")) else line for line in lines)
