"""How does each merging method get its page? From its own file: docstring, constants, what it needs, and the arena's table.

Nothing is imported: the files of `analysis/merging/rivals/` are read as text, and results stand in the executed
`results/mini/52_arena.ipynb`.
"""

import ast
import json
import re
from pathlib import Path

from chapters import escaped, save
from reference import markdown

ARENA = "results/mini/52_arena.ipynb"
OURS = "analysis/merging/merge.py"
CHECKED = "Verified against:"
INTERNAL = ("VERSION", "VECTORS")  # constants that are no options
KINDS = {"standard": "`standard`", "linear": "`linear`, linearised", "taujp-efficient": "`taujp-efficient`, linearised"}
COLUMNS = (
    "one_shot",
    "one_shot_normalised",
    "one_shot_control",
    "tuned",
    "tuned_normalised",
    "tuned_control",
    "tuned_α",
)
NEEDS = {
    "images": "unlabelled images of each task",
    "class_names": "the names of each task's classes",
    "labels": "labels",
}


def write(root: Path, folder: Path) -> None:
    """A page for each method, and one that compares them; a file whose content stays is left alone."""
    folder.mkdir(exist_ok=True)
    methods = [ours(root), *sorted(published(root), key=lambda method: method["name"].lower())]
    for path in folder.iterdir():
        if path.stem not in ("index", *(method["page"] for method in methods)):
            path.unlink()
    results = arena(root)
    for method in methods:
        save(folder / f"{method['page']}.md", page(method, results).encode())
    save(folder / "index.md", index(methods, results).encode())


def published(root: Path) -> list[dict]:
    """What each file with a RIVAL says of it. A file may leave its docstring's body to another: "See `name.py`."."""
    found = []
    for path in sorted((root / "analysis/merging/rivals").glob("*.py")):
        source = path.read_text(encoding="utf-8")
        call = next(
            (
                node.value
                for node in ast.parse(source).body
                if isinstance(node, ast.Assign) and names(node) == ["RIVAL"]
            ),
            None,
        )
        if call is None:
            continue
        name, _, paper = (argument.value if isinstance(argument, ast.Constant) else None for argument in call.args)
        flags = {keyword.arg for keyword in call.keywords if getattr(keyword.value, "value", None) is True}
        about = described(source)
        if told := re.search(r" See `(\w+\.py)`\.$", about["question"]):
            about |= {
                **described((path.parent / told[1]).read_text("utf-8")),
                "question": about["question"][: told.start()],
            }
        found.append(
            {"name": name, "page": path.stem, "paper": paper, "flags": flags, "path": path.relative_to(root), **about}
        )
    return found


def ours(root: Path) -> dict:
    """The merge of this project, which is no rival and has no RIVAL."""
    about = described((root / OURS).read_text(encoding="utf-8"))
    objective = described((root / OURS).with_name("matching.py").read_text(encoding="utf-8"))
    about["text"] += f"\n\n{objective['text']}"
    return {"name": "ours", "page": "ours", "paper": "this project", "flags": {"images"}, "path": Path(OURS), **about}


def described(source: str) -> dict:
    """Of a file: the question it answers, the text below, what it was checked against, and its constants."""
    question, _, body = ast.get_docstring(ast.parse(source)).partition("\n")
    text, _, checked = body.partition(CHECKED)
    return {
        "question": question,
        "text": text.strip("\n"),
        "checked": " ".join(checked.split()),
        "options": options(source),
    }


def options(source: str) -> list[tuple[str, str, str]]:
    """Name, value and comment of each constant at the file's top."""
    lines, found = source.splitlines(), []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and all(name.isupper() for name in names(node)) and names(node) != ["RIVAL"]:
            comment = lines[node.end_lineno - 1].partition("  # ")[2]
            if comment and names(node)[0] not in INTERNAL:
                values = node.value.elts if isinstance(node.targets[0], ast.Tuple) else [node.value]
                shown = ", ".join(ast.unparse(value) for value in values)
                found.append((", ".join(names(node)), shown, comment))
    return found


def names(node: ast.Assign) -> list[str]:
    targets = node.targets[0].elts if isinstance(node.targets[0], ast.Tuple) else node.targets
    return [target.id for target in targets if isinstance(target, ast.Name)]


def arena(root: Path) -> dict[str, dict[str, dict[str, str]]]:
    """By merge and kind of vectors, the arena's means; and the seconds of a merge, as the notebook printed them."""
    notebook = json.loads((root / ARENA).read_text(encoding="utf-8"))
    texts = ["".join(output.get("text", "")) for cell in notebook["cells"] for output in cell.get("outputs", [])]
    found: dict[str, dict[str, dict[str, str]]] = {}
    kind = None
    for line in next(text for text in texts if "one_shot_normalised" in text).splitlines():
        if line.endswith(" vectors:"):
            kind = line.removesuffix(" vectors:")
        elif row := re.match(r"(\S.*?)((?:\s+-?[\d.]+){7})$", line):
            found.setdefault(row[1].strip(), {})[kind] = dict(zip(COLUMNS, row[2].split(), strict=True))
    for line in next(text for text in texts if text.lstrip().startswith("seconds")).splitlines():
        row = re.match(r"(\S.*?)\s{2,}([\d.]+)\s", line)
        if row and row[1] in found:
            found[row[1]]["standard"]["seconds"] = row[2]
    return found


def page(method: dict, results: dict) -> str:
    title = "The merge of this project" if method["page"] == "ours" else sentence(method["name"])
    needs = needed(method)
    where = "the encoder only" if "in_weights" in method["flags"] else "the encoder and the linearised model"
    parts = [
        f"# {title}",
        f"*{escaped(method['question'])}*",
        table(
            ("", ""),
            [
                ("needs, beside the vectors", needs),
                ("merges vectors of", where),
                ("paper", cited(method["paper"])),
                ("file", f"`{method['path']}`"),
            ],
        ),
        "## What it does",
        markdown(method["text"]),
    ]
    if method["options"]:
        rows = [(f"`{name}`", f"`{value}`", escaped(comment)) for name, value, comment in method["options"]]
        whose = "" if method["page"] == "ours" else " The values are the paper's, where nothing else is said above."
        parts += ["## Options", f"Constants of the file.{whose}", table(("name", "value", "meaning"), rows)]
    parts += ["## In Python", usage(method)]
    parts += ["## Result here", result(method["name"], results)]
    if method["checked"]:
        parts += ["## Verified against", sentence(escaped(method["checked"]))]
        if "equal in float64" in method["checked"]:
            parts += ["`python tests/tools/authors_code.py FOLDER` repeats the comparison."]
    return "\n\n".join(parts) + "\n"


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def needed(method: dict) -> str:
    return ", ".join(text for flag, text in NEEDS.items() if flag in method["flags"]) or "nothing"


def cited(paper: str) -> str:
    """With the arXiv number as a link."""
    return re.sub(r"arXiv (\d+\.\d+)", r"[arXiv \1](https://arxiv.org/abs/\1)", paper)


def usage(method: dict) -> str:
    """How it is called; a test runs this."""
    lines = [
        "from analysis.merging.rivals import Evidence, find_rival",
        "from taujp_core.task_vectors import TaskVector",
        "",
    ]
    if method["page"] == "ours":
        lines = [
            'images = {"cars": "pictures/cars", "dtd": "pictures/dtd"}',
            "merged = taujp.merge(clip, vectors, images=images)",
        ]
        return "\n".join(["```python", *lines, 'merged.save("merged/")', "```"])
    taus = "[vector.tau for vector in vectors]"
    if method["flags"] & NEEDS.keys():
        lines += [
            "# images: uint8 [n, 3, h, w] of each vector's task; heads: [d, classes], of the class names",
            "evidence = Evidence(clip, vectors[0].application, images, heads)",
            f'tau = find_rival("{method["name"]}").merged({taus}, evidence)',
        ]
    else:
        lines[0] = "from analysis.merging.rivals import find_rival"
        lines += [f'tau = find_rival("{method["name"]}").merge({taus})']
    lines += ['merged = TaskVector(tau, clip.fingerprint, "merged", vectors[0].method)  # to be used with α = 1']
    return "\n".join(["```python", *lines, "```"])


def result(name: str, results: dict) -> str:
    rows = [
        (
            shown,
            row["one_shot"],
            row["one_shot_normalised"],
            row["one_shot_control"],
            f"{row['tuned']} ({row['tuned_α']})",
        )
        for kind, shown in KINDS.items()
        if (row := results.get(name, {}).get(kind))
    ]
    if row := results.get(f"{name}, with the control", {}).get("standard"):
        shown = "`standard`, with images of the control"
        numbers = (row["one_shot"], row["one_shot_normalised"], row["one_shot_control"])
        rows.insert(1, (shown, *numbers, f"{row['tuned']} ({row['tuned_α']})"))
    if not rows:
        return "Not in the arena's full version."
    took = results[name].get("standard", {}).get("seconds")
    text = (
        "Eight tasks of `mini`, three seeds (slow methods: one), 300 unlabelled images per task, 200 test images per task: mean test "
        f"accuracy ([arena](../chapters/52_arena.ipynb)). A merge took {took} seconds on one core of an AMD EPYC."
    )
    return f"{text}\n\n" + table(("vectors", "α = 1", "normalised", "control", "tuned α (α)"), rows)


def index(methods: list[dict], results: dict) -> str:
    rows = []
    for method in sorted(methods, key=lambda one: -float(results[one["name"]]["standard"]["one_shot"])):
        row = results[method["name"]]["standard"]
        link = f"[{method['name']}]({method['page']}.md)"
        numbers = (row["one_shot"], row["tuned"], row["one_shot_control"], row.get("seconds", ""))
        rows.append((link, needed(method), *numbers, cited(method["paper"])))
    toctree = "\n".join(method["page"] for method in methods)
    return (
        "\n\n".join(
            [
                "# Merging methods",
                "Each method merges several task vectors to one. The numbers are those of `standard` vectors in the "
                "[arena](../chapters/52_arena.ipynb): eight tasks of `mini`, mean test accuracy. The experts reach 0.91, the "
                "pre-trained model 0.49. *Control* is the accuracy on images that no vector was trained for; the pre-trained "
                "model has 0.81. How to merge your own checkpoints: [Merge checkpoints](../merge.md).",
                table(("method", "needs", "α = 1", "tuned α", "control at α = 1", "seconds", "paper"), rows),
                "A page per method, made from the method's file: formula, options, what it needs, result, and what it was "
                "verified against.",
                f"```{{toctree}}\n:hidden:\n\n{toctree}\n```",
            ]
        )
        + "\n"
    )


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
