"""Every figure fits its cell, and its legend is whole: in JupyterLab, in Notebook 7 and on the site, wide and narrow."""

import json
import sys
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("playwright")

from desk import ROOT, Lab, eventually, keep_picture, open_window
from playwright.sync_api import Page
from plotly.offline import get_plotlyjs
from test_browser_docs import PAGES, SITE

pytest_plugins = ["desk"]  # its fixtures, once for all files of this folder
pytestmark = pytest.mark.browser
PLOTLY = "application/vnd.plotly.v1+json"
WIDTHS = [1280, 800]
CELL, COLUMN = ".jp-OutputArea-output", ".plotly-figure"  # in a notebook, on the site
# Of pages whose figures are older than the code that draws them.
OLD = {Path(line.partition(":")[0]).stem for line in (ROOT / "results/moved_on.txt").read_text().splitlines()[1:]}
# JupyterLab also draws, outside of cells, what it stores as pictures.
MISFITS = """(cell) => [...document.querySelectorAll(".js-plotly-plot")].filter((plot) => plot.closest(cell)).flatMap((plot) => {
    const said = (what) => `${plot.querySelector(".gtitle")?.textContent}: ${what}`;
    const wide = plot.querySelector(".main-svg")?.getBoundingClientRect();
    if (!wide) return [said("it is not drawn")];
    const found = [];
    const place = plot.closest(cell).getBoundingClientRect();
    if (wide.width > place.width + 1 || wide.right > place.right + 1) found.push(said("it is wider than its cell"));
    if (wide.width < 300) found.push(said("it is drawn for no cell"));
    for (const legend of plot.querySelectorAll("g.legend")) {
        const box = legend.getBoundingClientRect();
        if (box.left < wide.left - 1 || box.right > wide.right + 1 || box.bottom > wide.bottom + 1)
            found.push(said("its legend is cut off"));
        if ([...legend.querySelectorAll(".scrollbar")].some((bar) => bar.getBoundingClientRect().height > 1))
            found.push(said("its legend scrolls"));
    }
    const title = plot.querySelector(".gtitle")?.getBoundingClientRect();
    if (title && (title.left < wide.left - 1 || title.right > wide.right + 1 || title.top < wide.top))
        found.push(said("its title is cut off"));
    return found;
})"""


DRAWN = """([cell, n]) => [...document.querySelectorAll(".js-plotly-plot")].filter(
    (plot) => plot.closest(cell) && plot.querySelector(".main-svg")).length >= n"""


def misfits(page: Page, cell: str, figures: int) -> list[str]:
    """What does not fit, once that many figures are drawn and fitted; what is still wrong after some seconds stays so."""
    page.wait_for_function(DRAWN, arg=[cell, figures])
    found: list[list[str]] = []

    def fits() -> None:
        found.append(page.evaluate(MISFITS, cell))
        assert found[-1] == []

    with suppress(AssertionError):
        eventually(fits, seconds=15)
    return found[-1]


def every_figure() -> nbformat.NotebookNode:
    """A notebook that has the figures of all, as they are committed."""
    gathered = nbformat.v4.new_notebook()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, 4)
        # Without a kernel's name JupyterLab asks for one, and waits.
        gathered.metadata.kernelspec = notebook.metadata.kernelspec
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                if PLOTLY in output.get("data", {}):
                    data = {PLOTLY: output.data[PLOTLY]}
                    shown = nbformat.v4.new_output("display_data", data=data)
                    gathered.cells.append(nbformat.v4.new_code_cell(f"# {path.stem}", outputs=[shown]))
    return gathered


@pytest.fixture(scope="module")
def gathered() -> nbformat.NotebookNode:
    found = every_figure()
    assert len(found.cells) > 30
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_fits_its_cell_in_jupyterlab(width, browser, lab, gathered):
    nbformat.write(gathered, lab.notebooks / "figures.ipynb")
    window = open_window(browser, width)
    window.page.goto(f"{lab.url}/lab/tree/figures.ipynb?reset")
    assert misfits(window.page, CELL, len(gathered.cells)) == []
    keep_picture(window.page, f"jupyterlab-figures-{width}")
    # A server that is told to end waits for a kernel that only begins.
    window.page.locator(".jp-StatusBar-TextItem", has_text="| Idle").wait_for(state="attached")


@pytest.fixture(scope="module")
def classic(tmp_path_factory, gathered):
    folder = tmp_path_factory.mktemp("classic")
    command = (sys.executable, "-m", "jupyter", "notebook", f"--ServerApp.root_dir={folder / 'notebooks'}")
    started = Lab(folder, command)
    nbformat.write(gathered, started.notebooks / "figures.ipynb")
    yield started
    started.stop()


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_fits_its_cell_in_a_classic_notebook(width, browser, classic, gathered):
    window = open_window(browser, width)
    window.page.goto(f"{classic.url}/notebooks/figures.ipynb")
    assert misfits(window.page, CELL, len(gathered.cells)) == []
    window.page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").first.wait_for(state="attached")


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_fits_its_column_on_the_site(width, browser):
    window, wrong, seen = open_window(browser, width, offline=True), {}, 0
    for name in (name for name in PAGES if Path(name).stem not in OLD):
        window.page.goto((SITE / name).as_uri())
        figures = window.page.locator(COLUMN).count()
        seen += figures
        if found := misfits(window.page, COLUMN, figures) if figures else []:
            wrong[name] = found
    assert wrong == {}
    assert seen


def test_what_does_not_fit_is_seen(browser, tmp_path):
    def drawn(number: int, **layout: object) -> str:
        figure = {"data": [{"y": [0, 1], "name": "a name " * 9, "showlegend": True}], "layout": layout}
        return f'<div class="plotly-figure" style="width: 500px"><div id="d{number}"></div></div><script>Plotly.newPlot("d{number}", {json.dumps(figure)})</script>'

    below = {"orientation": "h", "x": 0.5, "xanchor": "center", "y": 0, "yref": "container", "yanchor": "bottom"}
    fits = {"title": {"text": "fits"}, "height": 400, "legend": below}
    wide = fits | {"title": {"text": "wide"}, "width": 600}
    title = fits | {"title": {"text": "long " * 40}}
    beyond = fits | {"title": {"text": "beyond"}, "legend": below | {"x": 1, "xanchor": "left", "xref": "container"}}
    page = tmp_path / "page.html"
    figures = [drawn(k, **layout) for k, layout in enumerate((fits, wide, title, beyond))]
    page.write_text(f"<script>{get_plotlyjs()}</script><body>{''.join(figures)}", encoding="utf-8")
    window = open_window(browser)
    window.page.goto(page.as_uri())
    found = [sentence.split(": ") for sentence in misfits(window.page, COLUMN, 4)]
    assert [(name.split()[0], what) for name, what in found] == [
        ("wide", "it is wider than its cell"), ("long", "its title is cut off"), ("beyond", "its legend is cut off"),
    ]  # fmt: skip
