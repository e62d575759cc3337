"""How do docstrings become the reference? Read from the source: a page for `import taujp`, and one per folder.

Docstrings are plain text with Unicode mathematics, and code in backticks: Markdown in all but the signs that Markdown
takes for its own, which are escaped. Nothing is imported. Functions, classes and methods with a docstring are public here;
annotations stand as they are written.
"""

import ast
import re
from itertools import groupby
from pathlib import Path
from textwrap import dedent

from chapters import escaped, save

FACE = "taujp"  # the module with the public names
OUTER, INNER = "`````", "````"  # around a function or class, and around what is in a class


def write(root: Path, folder: Path) -> None:
    """A page for each folder with Python files, and one that lists them."""
    folder.mkdir(exist_ok=True)
    packages = sorted(path.parent for top in ("taujp_core", "analysis") for path in (root / top).rglob("__init__.py"))
    pages = {".".join(package.relative_to(root).parts): package for package in packages}
    for path in folder.iterdir():
        if path.stem not in (*pages, "index", FACE):
            path.unlink()
    questions = {name: question(package) for name, package in pages.items()}
    elsewhere = {(module, node.name) for node, module, _ in public_names(root).values() if hasattr(node, "name")}
    for name, package in pages.items():
        save(folder / f"{name}.md", page(root, name, package, elsewhere).encode())
    save(folder / "index.md", index(questions).encode())
    save(folder / f"{FACE}.md", face(root).encode())


def question(package: Path) -> str:
    """The first line of a folder's docstring."""
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def index(questions: dict[str, str]) -> str:
    rows = "\n".join(f"- [{name}]({name}.md): {escaped(text)}" for name, text in questions.items())
    toctree = "\n".join(questions)
    return (
        "# All modules\n\nFrom the docstrings: mathematics, shapes, units, errors and sources. `analysis` builds on "
        "`taujp_core`, never the other way round. Most programs need only [the public names](taujp.md).\n\n"
        f"{rows}\n\n```{{toctree}}\n:hidden:\n\n{toctree}\n```\n"
    )


def face(root: Path) -> str:
    """The public names: those of the module's own example first, the others by the alphabet; with links to the source."""
    docstring = ast.get_docstring(ast.parse((root / f"{FACE}.py").read_text(encoding="utf-8"))) or ""
    names = public_names(root)
    shown = [name for name in dict.fromkeys(re.findall(rf"{FACE}\.(\w+)", docstring)) if name in names]
    rest = sorted(set(names) - set(shown), key=str.lower)
    first, _, more = docstring.partition("\n")
    parts = [
        "---\nmyst:\n  html_meta:\n    keywords: API, import, function, huggingface\n---",
        "# Reference",
        f"*{escaped(first)}*",
        markdown(more.strip("\n")),
        "[Python basics](../python.md) shows them at work. Everything else: [all modules](index.md).",
        "## Start with these",
        *(public(*names[name]) for name in shown),
        "## All others",
        *(public(*names[name]) for name in rest),
    ]
    return "\n\n".join(parts) + "\n"


def public_names(root: Path) -> dict[str, tuple[ast.stmt, str, str]]:
    """Of `import taujp`: each name with its node, and the module and the text that it is written in."""
    tree = ast.parse((root / f"{FACE}.py").read_text(encoding="utf-8"))
    modules = {name: module for module, names in constant(tree, "WHERE").items() for name in names}
    return {name: defined(root, name, module) for name, module in modules.items()}


def constant(tree: ast.Module, name: str) -> dict:
    """The value of a constant at a module's top."""
    (value,) = (
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    )
    return ast.literal_eval(value)


def public(node: ast.stmt, module: str, source: str) -> str:
    """A public name; Sphinx adds a link to the source."""
    if not isinstance(node, ast.AnnAssign | ast.Assign):
        return described(node, module, source)
    name = ast.unparse(node.target if isinstance(node, ast.AnnAssign) else node.targets[0])
    typed = f":type: {ast.unparse(node.annotation)}\n" if isinstance(node, ast.AnnAssign) else ""
    comment = source.splitlines()[node.lineno - 1].partition("  # ")[2]
    return f"{OUTER}{{py:data}} {name}\n:module: {module}\n{typed}\n{escaped(comment)} In `{module}`.\n{OUTER}"


def defined(root: Path, name: str, module: str) -> tuple[ast.stmt, str, str]:
    """Where a name is written that a module has, perhaps from elsewhere: its node, its module and that module's text."""
    base = root / module.replace(".", "/")
    path = base.with_suffix(".py") if base.with_suffix(".py").is_file() else base / "__init__.py"
    source = path.read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node, module, source
        if isinstance(node, ast.AnnAssign | ast.Assign) and name in ast.unparse(node).partition("=")[0]:
            return node, module, source
        if isinstance(node, ast.ImportFrom) and name in [alias.asname or alias.name for alias in node.names]:
            package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
            above = package[: len(package) - node.level + 1] if node.level else []
            return defined(root, name, ".".join([*above, *(node.module or "").split(".")]))
    raise ValueError(f"{module} has no {name}")


def page(root: Path, name: str, package: Path, elsewhere: set[tuple[str, str]]) -> str:
    """A folder's page; what is public is described on the page of the public names, and named here."""
    parts = [f"# {name}"]
    for path in sorted(package.glob("*.py"), key=lambda path: (path.name != "__init__.py", path.name)):
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        module = name if path.name == "__init__.py" else f"{name}.{path.stem}"
        shown = [
            f"{{py:obj}}`{module}.{node.name}` is public."
            if (module, node.name) in elsewhere
            else described(node, module, source)
            for node in tree.body
            if is_public(node)
        ]
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
    """A docstring as Markdown: sentences, sections (Args, Returns, …), tables, examples, and blocks as they stand."""
    parts: list[str] = []
    for (kind, _), lines in groupby(kinds(docstring), lambda pair: pair[0]):
        text = "\n".join(line for _, line in lines).rstrip()
        if kind in ("example", "block", "columns"):
            code = dedent(text) if kind == "example" or is_python(dedent(text)) else None
            parts.append(f"\n```python\n{code}\n```\n" if code else f"\n```text\n{text}\n```\n")
        else:
            parts.append({"table": table, "section": section, "text": plain}[kind](text))
    return "\n".join(parts).strip()


def kinds(docstring: str) -> list[tuple[tuple[str, int], str]]:
    """Each line with what it is part of, and which of them. Lines indented by four or more, and columns set by spaces, are
    blocks; blank lines are part of what stands before them."""
    found: list[tuple[tuple[str, int], str]] = []
    kind, number = "text", 0
    for line in docstring.splitlines():
        before = kind
        if re.match(r"(Args|Returns|Raises):$", line):
            kind, number = "section", number + 1
        elif line.startswith(">>>"):
            kind = "example"
        elif (
            line
            and not (before == "example" and found[-1][1])
            and not (before == "section" and line.startswith("    "))
        ):
            is_columns = re.search(r"^\S.*\S {2,}\S", line)
            kind = (
                "block" if line.startswith("    ") else "columns" if is_columns else "table" if is_row(line) else "text"
            )
        found.append(((kind, number), line))
    return found


def is_row(line: str) -> bool:
    return bool(re.match(r"\|.*\|$", line))


def is_python(text: str) -> bool:
    try:
        return bool(ast.parse(text).body)
    except SyntaxError:
        return False


def section(text: str) -> str:
    """Args as a list of names, Returns and Raises as a paragraph."""
    title, *lines = text.rstrip().split("\n")
    body = dedent("\n".join(lines))
    if title != "Args:":
        shown, rest = plain(body), f"**{title[:-1]}.** "
        return f"\n{rest}{shown}\n"
    items = re.split(r"\n(?=\S)", body)
    rows = [item.partition(":") for item in items]
    named = [f"- `{name}`: {plain(' '.join(says.split()))}" for name, _, says in rows]
    return "\n" + "\n".join(["**Arguments**", "", *named]) + "\n"


def table(text: str) -> str:
    """A table of Markdown, with its cells escaped; its rule stays."""
    rows = text.split("\n")
    return (
        "\n"
        + "\n".join(row if set(row) <= set("|-: ") else "|".join(map(escaped, row.split("|"))) for row in rows)
        + "\n"
    )


def plain(text: str) -> str:
    """Escaped, with a line that begins like a list or a rule and is none kept in its sentence."""
    lines = escaped(text).split("\n")
    return "\n".join("\\" + line if line.startswith(("+", "=")) else line for line in lines)
