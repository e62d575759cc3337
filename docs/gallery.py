"""Which figures are there? Every figure of the executed notebooks as a small picture that leads to its chapter."""

import base64
import re
from pathlib import Path

from chapters import PLOTLY, escaped, names, read, save, title_of


def write(root: Path, folder: Path) -> None:
    """One page, and the pictures that the notebooks hold; a file whose content stays is left alone."""
    folder.mkdir(exist_ok=True)
    sections, pictures = [], set()
    for name in names(root):
        notebook, cards = read(root, name), []
        for number, (picture, caption) in enumerate(figures(notebook)):
            file = f"{name}-{number}.png"
            save(folder / file, base64.b64decode(picture))
            pictures.add(file)
            cards.append(f"[![{caption}]({file})](../chapters/{name}.ipynb) {caption}")
        if cards:
            shown = "\n\n".join(cards)
            sections.append(f"## {title_of(notebook)}\n\n```{{container}} gallery\n{shown}\n```")
    for path in folder.glob("*.png"):
        if path.name not in pictures:
            path.unlink()
    text = "A figure leads to its chapter, where it is live: hover over it for values, click a legend to hide a line."
    save(folder / "index.md", "\n\n".join(["# Gallery", text, *sections, ""]).encode())


def figures(notebook: dict) -> list[tuple[str, str]]:
    """Each figure's picture, and its title."""
    data = [output.get("data", {}) for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return [(one["image/png"], title(one[PLOTLY]["layout"])) for one in data if PLOTLY in one and "image/png" in one]


def title(layout: dict) -> str:
    """In Markdown, its first line."""
    text = layout.get("title", {}).get("text", "") or layout.get("yaxis", {}).get("title", {}).get("text", "")
    return escaped(re.sub(r"<br.*|<[^>]+>", "", text))
