"""How does the site come about? `make docs`: these pages, the executed notebooks, and the docstrings, by Sphinx and MyST.

Before Sphinx reads anything, pages are written from `notebooks/`, `results/` and the packages' source by the files beside this
one. The explorer and the screenshots, which need a training and a browser, are made by `build_pictures.py`, before Sphinx starts. Figures
are drawn by the plotly.js that Python's plotly brings, so that the site works from a disk without a network.
"""

import re
import sys
import tomllib
from pathlib import Path

import plotly
from sphinx.pycode import ModuleAnalyzer

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(DOCS))

import chapters  # noqa: E402
import gallery  # noqa: E402
import merging_methods  # noqa: E402
import reference  # noqa: E402

project = "taujp"
author = "the taujp authors"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_nb", "sphinx.ext.viewcode", "sphinx_copybutton"]
exclude_patterns = ["_build", "_made"]
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # from another server; the notebooks hold none
nb_merge_streams = True
myst_enable_extensions = ["substitution"]
myst_substitutions = {"version": version}
myst_heading_anchors = 4
smartquotes = False  # of docstrings, quotes are code
maximum_signature_line_length = 88
add_module_names = False
python_use_unqualified_type_names = True
viewcode_follow_imported_members = False  # nothing is imported
copybutton_selector = "div:not(.output) > div.highlight pre"

html_theme = "furo"
html_title = f"taujp {version}"
html_static_path = ["_static", str(Path(plotly.__file__).parent / "package_data/plotly.min.js")]
html_extra_path = ["_made"]  # the explorer
html_css_files = ["site.css"]
html_search_scorer = str(DOCS / "_static/scorer.js")
html_copy_source = False
html_show_search_summary = False  # fetched, which a browser refuses for files of a disk
html_show_sphinx = False
html_show_copyright = False
GENERATED = ("chapters/", "reference/", "methods/", "gallery/")


def write_pages(app: object) -> None:
    chapters.write(ROOT, DOCS / "chapters")
    # The README shows it, too, where nothing is built; a test compares it with the notebook's.
    chapters.save_picture(DOCS / "_static/addition.png", chapters.first_picture(chapters.read(ROOT, "30_addition")))
    gallery.write(ROOT, DOCS / "gallery")
    merging_methods.write(ROOT, DOCS / "methods")
    reference.write(ROOT, DOCS / "reference")


def link_chapters(app: object, name: str, source: list[str]) -> None:
    """A page that names a notebook leads to its chapter; a picture that `build_pictures.py` could not make is left out."""
    if not name.startswith(GENERATED):
        text = chapters.linked(source[0], chapters.names(ROOT), "chapters/")
        source[0] = re.sub(
            r"!\[[^]]*\]\((_made/[^)]+)\)", lambda found: found[0] if (DOCS / found[1]).is_file() else "", text
        )


def with_figures(app: object, page: str, template: str, context: dict, doctree: object) -> None:
    """Only pages with figures load plotly.js."""
    if doctree is not None and "plotly-figure" in context.get("body", ""):
        app.add_js_file("plotly.min.js")
        app.add_js_file("figures.js")


def find_source(app: object, module: str) -> tuple[str, dict] | None:
    """A module's text and where its functions stand, without importing it."""
    base = ROOT / module.replace(".", "/")
    path = next((one for one in (base.with_suffix(".py"), base / "__init__.py") if one.is_file()), None)
    if path is None:
        return None
    analyzer = ModuleAnalyzer.for_file(path, module)
    return analyzer.code, analyzer.find_tags()


def setup(app: object) -> None:
    app.connect("builder-inited", write_pages)
    app.connect("source-read", link_chapters)
    app.connect("html-page-context", with_figures)
    app.connect("viewcode-find-source", find_source)
