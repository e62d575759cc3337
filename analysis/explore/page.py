"""How is the page written that needs neither server nor network?"""

import base64
import html
import json
from importlib.resources import files
from pathlib import Path

from plotly.offline import get_plotlyjs

from taujp_core.files import write_text

from .gather import PAGE_IMAGES, Explorer
from .pack import packed


def own(name: str) -> str:
    """The text of a file of this folder."""
    return (files(__package__) / name).read_text(encoding="utf-8")


def write_page(path: Path, explorer: Explorer, title: str, images: int = PAGE_IMAGES) -> None:
    """One HTML page on which the sliders work without server and network: the first `images` images of each task."""
    about, numbers = packed(explorer, images)
    counts = ", ".join(f"{len(task['labels'])} of {task['name']}" for task in about["tasks"])
    text = (
        "One model carries the vectors of all tasks, θ₀ + Σ α·τ. Move a coefficient and see what each task gains or "
        f"loses, on validation images: {counts}."
    )
    page = own("page.html").format(
        title=html.escape(title),
        text=html.escape(text),
        css=own("explore.css"),
        plotly=get_plotlyjs(),
        js=own("explore.js"),
        # A class name may hold what ends a script.
        about=json.dumps(about).replace("<", "\\u003c"),
        numbers=base64.b64encode(numbers).decode(),
    )
    write_text(path, page)
