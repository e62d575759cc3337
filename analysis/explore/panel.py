"""How are coefficients moved in a notebook? A panel with a slider a task, which answers in the browser itself."""

import json

import anywidget
import traitlets
from IPython.display import display
from plotly.offline import get_plotlyjs

from taujp_core.progress import watched_cell

from .gather import Explorer
from .pack import packed
from .page import own


class Panel(anywidget.AnyWidget):
    """`method` and `coefficients` (one a task, in the tasks' order) are those that the panel shows, both ways."""

    _esm = f"{own('explore.js')}\n{own('widget.js')}"
    _css = own("explore.css")
    # Not in the module above: anywidget gives a module two seconds to load, which five megabytes may take.
    plotly = traitlets.Unicode(get_plotlyjs()).tag(sync=True)
    about = traitlets.Unicode().tag(sync=True)
    numbers = traitlets.Bytes().tag(sync=True)
    method = traitlets.Unicode().tag(sync=True)
    coefficients = traitlets.List(traitlets.Float()).tag(sync=True)

    def __init__(self, explorer: Explorer):
        about, numbers = packed(explorer)
        method = about["methods"][about["start"]]["name"] if about["methods"] else ""
        coefficients = [1.0] * len(about["tasks"])
        super().__init__(about=json.dumps(about), numbers=numbers, method=method, coefficients=coefficients)


def open_panel(explorer: Explorer) -> Panel | None:
    """Show the panel where somebody looks; elsewhere the notebook's figure stands for it, and nothing is stored."""
    if not watched_cell():
        return None
    panel = Panel(explorer)
    display(panel)
    return panel
