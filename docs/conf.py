"""How does the site come about? `make docs`: these pages, the executed notebooks, and the docstrings, by Sphinx and MyST.

Before Sphinx reads anything, `chapters` and `reference` are written from `notebooks/`, `results/` and the packages'
source; nothing is executed or imported. Figures are drawn by the plotly.js that Python's plotly brings, so that the
site works from a disk without a network.
"""

import sys
import tomllib
from pathlib import Path

import plotly

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(DOCS))

import chapters  # noqa: E402
import reference  # noqa: E402

project = "taujp"
author = "the taujp authors"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_nb"]
exclude_patterns = ["_build"]
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # from another server; the notebooks hold none
nb_merge_streams = True
myst_heading_anchors = 4
smartquotes = False  # of docstrings, quotes are code
maximum_signature_line_length = 88
add_module_names = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "taujp"
html_static_path = ["_static", str(Path(plotly.__file__).parent / "package_data/plotly.min.js")]
html_css_files = ["site.css"]
html_copy_source = False
html_show_search_summary = False  # fetched, which a browser refuses for files of a disk
html_show_sphinx = False
html_show_copyright = False


def write_pages(app: object) -> None:
    chapters.write(ROOT, DOCS / "chapters")
    reference.write(ROOT, DOCS / "reference")


def link_chapters(app: object, name: str, source: list[str]) -> None:
    """A page that names a notebook leads to its chapter."""
    if not name.startswith(("chapters/", "reference/")):
        source[0] = chapters.linked(source[0], chapters.names(ROOT), "chapters/")


def with_figures(app: object, page: str, template: str, context: dict, doctree: object) -> None:
    """Only pages with figures load plotly.js."""
    if doctree is not None and "plotly-figure" in context.get("body", ""):
        app.add_js_file("plotly.min.js")
        app.add_js_file("figures.js")


def setup(app: object) -> None:
    app.connect("builder-inited", write_pages)
    app.connect("source-read", link_chapters)
    app.connect("html-page-context", with_figures)
