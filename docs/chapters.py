"""How does an executed notebook become a chapter? Its figures live, its answer first, in the order of its number.

The full version in `results/` stands for a notebook where there is one. A chapter opens with the answer at the top of the
committed notebook and its first figure, as a picture.
"""

import base64
import json
import re
from pathlib import Path

PLOTLY = "application/vnd.plotly.v1+json"
IN_A_SENTENCE, NEXT = "**In a sentence:**", "Next:"  # begin a paragraph of a notebook's first cell


def names(root: Path) -> list[str]:
    """The notebooks' names without `.ipynb`, in their order."""
    return sorted(path.stem for path in (root / "notebooks").glob("[0-9]*.ipynb"))


def written(root: Path, name: str) -> Path:
    """The file that a chapter shows: the full version, or else the committed notebook."""
    full = sorted(root.glob(f"results/*/{name}.ipynb"))
    return full[0] if full else root / "notebooks" / f"{name}.ipynb"


def read(root: Path, name: str) -> dict:
    """The notebook that a chapter shows."""
    return json.loads(written(root, name).read_text(encoding="utf-8"))


def title_of(notebook: dict) -> str:
    return "".join(notebook["cells"][0]["source"]).partition("\n")[0].lstrip("# ")


def write(root: Path, folder: Path) -> None:
    """Chapters, their opening pictures and the page that lists them; a file whose content stays is left alone."""
    folder.mkdir(exist_ok=True)
    found = names(root)
    for path in folder.iterdir():
        if path.stem not in (*found, "index"):
            path.unlink()
    notebooks = {name: read(root, name) for name in found}
    for name, notebook in notebooks.items():
        save(folder / f"{name}.ipynb", json.dumps(chapter(root, folder, name, notebook, found)).encode())
    save(folder / "index.md", overview(root, notebooks).encode())


def chapter(root: Path, folder: Path, name: str, notebook: dict, found: list[str]) -> dict:
    cells = [cell_of(cell, found, name) for cell in notebook["cells"]]
    title, *rest = "".join(cells[0]["source"]).split("\n\n")
    cells[0]["source"] = title
    rest = [paragraph.strip() for paragraph in rest if not paragraph.startswith((IN_A_SENTENCE, NEXT))]
    opening = [opening_of(root, folder, name, notebook), origin(root, name), *rest]
    cells.insert(1, {"cell_type": "markdown", "metadata": {}, "source": "\n\n".join(filter(None, opening))})
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return {**notebook, "cells": cells, "nbformat": 4, "nbformat_minor": 5}


def cell_of(cell: dict, found: list[str], own: str) -> dict:
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        others = [name for name in found if name != own]
        return {"cell_type": cell["cell_type"], "metadata": {}, "source": linked(source, others, "")}
    outputs = [live(output) for output in cell["outputs"]]
    count = cell["execution_count"]
    return {"cell_type": "code", "execution_count": count, "metadata": {}, "source": source, "outputs": outputs}


def live(output: dict) -> dict:
    """A figure as data that `figures.js` draws; other outputs as they are."""
    if PLOTLY not in output.get("data", {}):
        return output
    figure = json.dumps(output["data"][PLOTLY], ensure_ascii=False).replace("</", "<\\/")
    size = output["data"][PLOTLY]["layout"]
    style = f"width: {size.get('width', 900)}px; height: {size.get('height', 450)}px"
    html = (
        f'<div class="plotly-figure"><div class="drawing" style="{style}"></div>'
        f'<script type="application/json">{figure}</script>'
        "<noscript>A figure: it is drawn by JavaScript.</noscript></div>"
    )
    return {"output_type": "display_data", "metadata": {}, "data": {"text/html": html}}


def opening_of(root: Path, folder: Path, name: str, notebook: dict) -> str:
    """The answer, which the committed notebook begins with, and the chapter's first figure as a picture."""
    picture, text = first_picture(notebook), f"> {IN_A_SENTENCE} {answer(root, name)}"
    if picture:
        save_picture(folder / f"{name}.png", picture)
        title = title_of(notebook)
        text += f"\n\n![{title}: the first figure]({name}.png)"
    return text


def answer(root: Path, name: str) -> str:
    """The sentence at the top of the committed notebook; a test holds it to the full version's numbers."""
    cells = json.loads((root / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    paragraph = next(part for part in "".join(cells[0]["source"]).split("\n\n") if part.startswith(IN_A_SENTENCE))
    return escaped(
        re.split(
            r" This is (?:what \[the full version\]|the small run below)", paragraph.removeprefix(IN_A_SENTENCE).strip()
        )[0]
    )


def first_picture(notebook: dict) -> str | None:
    found = (
        output.get("data", {}).get("image/png") for cell in notebook["cells"] for output in cell.get("outputs", [])
    )
    return next(filter(None, found), None)


def origin(root: Path, name: str) -> str:
    """Where the chapter's file lies."""
    shown = written(root, name).relative_to(root).as_posix()
    if shown.startswith("results/"):
        return f"*The full version, `{shown}`; with small defaults it is `notebooks/{name}.ipynb`.*"
    return f"*This is `notebooks/{name}.ipynb`, as it is committed.*"


def overview(root: Path, notebooks: dict[str, dict]) -> str:
    """A page with a chapter a row: what it answers, and what it found."""
    rows = []
    for name, notebook in notebooks.items():
        title = title_of(notebook)
        rows.append(f"- [{title}]({name}.ipynb). {answer(root, name)}")
    toctree = "\n".join(notebooks)
    return (
        "# Chapters: the notebooks\n\nEach is a notebook of `notebooks/`, as it was executed. `make lab` opens them; "
        "change a parameter and run it again. What each found:\n\n"
        + "\n".join(rows)
        + f"\n\n```{{toctree}}\n:hidden:\n\n{toctree}\n```\n"
    )


def linked(text: str, found: list[str], folder: str) -> str:
    """The text with notebooks that it names, in code or as a link to the file, as links to their chapters; in a chapter, whose
    folder of chapters is its own, links to pages lead to the pages of the site."""
    if not folder:
        text = text.replace("](../docs/", "](../")
    either = "|".join(map(re.escape, found))
    text = re.sub(rf"\]\((?:\.\./)?(?:notebooks|results/\w+)/({either})\.ipynb\)", rf"]({folder}\1.ipynb)", text)
    return re.sub(
        rf"(?<!\[)`((?:notebooks/|results/\w+/)?({either})(?:\.ipynb)?)`(?!\])", rf"[`\1`]({folder}\2.ipynb)", text
    )


def escaped(text: str) -> str:
    """Plain text as Markdown that reads the same; code in backticks stays code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if number % 2 else re.sub(r"([\\*_<>\[\]#|$~^{}])", r"\\\1", part) for number, part in enumerate(parts)
    )


def save_picture(path: Path, picture: str) -> None:
    """A PNG as a notebook holds it."""
    save(path, base64.b64decode(picture))


def save(path: Path, content: bytes) -> None:
    """Sphinx reads again what is newer than what it has."""
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)
