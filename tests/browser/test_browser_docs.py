"""The documentation as a reader sees it: every page of the built site, from the disk, without a network."""

import re
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest
from desk import ROOT, cut_off, keep_picture, open_window

SITE = ROOT / "docs/_build/html"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts)
pytest_plugins = ["desk"]
pytestmark = pytest.mark.browser


def test_the_site_was_built():
    assert "index.html" in PAGES, "make docs builds it"
    notebooks = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {f"chapters/{name}.html" for name in notebooks} <= set(PAGES)


@pytest.mark.parametrize("width", [1280, 800])
def test_every_page_shows_all_of_itself(browser, width):
    window = open_window(browser, width, offline=True)
    wrong, drawn, followed = {}, 0, 0
    for name in PAGES:
        window.page.goto((SITE / name).as_uri())
        # Figures are drawn after the page is there.
        window.page.wait_for_function(
            "document.querySelectorAll('.plotly-figure').length == document.querySelectorAll('.plotly-figure "
            ".js-plotly-plot .main-svg:first-of-type').length"
        )
        drawn += window.page.locator(".js-plotly-plot").count()
        links = window.page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)")
        inside = sorted({link for link in links if link.startswith("file:")})
        followed += len(inside)
        missing = window.page.eval_on_selector_all(
            "img", "all => all.filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
        )
        dead = [link for link in inside if not leads_somewhere(link)]
        if found := [*window.complaints, *cut_off(window.page, "body"), *missing, *dead]:
            wrong[name] = found
        window.complaints.clear()
        if name in ("index.html", "chapters/30_addition.html"):
            keep_picture(window.page, f"docs-{Path(name).stem}-{width}")
    assert wrong == {}
    assert drawn > 30 and followed > 500


@pytest.mark.parametrize("width", [1280, 800])
def test_no_code_is_cut(browser, width):
    """Long lines are wrapped; at 1280 pixels hardly any is long."""
    window = open_window(browser, width, offline=True)
    for name in PAGES:
        window.page.goto((SITE / name).as_uri())
        lost = window.page.eval_on_selector_all(
            ".highlight pre, .cell_output pre",
            "all => all.filter(one => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX != 'auto')"
            ".map(one => one.textContent.slice(0, 80))",
        )
        assert lost == [], name
    window.page.goto((SITE / "reference/taujp.html").as_uri())
    heights = window.page.eval_on_selector_all(
        ".highlight pre", "all => all.map(one => [one.textContent.trim().split('\\n').length, one.clientHeight])"
    )
    assert width == 800 or max(height / lines for lines, height in heights if lines > 3) < 27


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ("huggingface", "merge.html"),
        ("merge", "merge.html"),
        ("interference", "interfere.html"),
        ("TIES", "methods/ties.html"),
        ("load_clip", "reference/taujp.html"),
        ("out of memory", "troubleshooting.html"),
    ],
)
def test_the_search_finds_what_is_asked_for(browser, asked, first):
    window = open_window(browser, offline=True)
    window.page.goto((SITE / "search.html").as_uri() + "?q=" + asked)
    window.page.get_by_text("Search finished").wait_for()
    results = window.page.locator("#search-results ul.search li > a")
    assert results.first.get_attribute("href").partition("#")[0] == first
    assert window.complaints == []


def test_code_is_copied_by_a_button_and_the_explorer_is_on_its_page(browser):
    window = open_window(browser, offline=True)
    window.page.goto((SITE / "merge.html").as_uri())
    code = window.page.locator("div.highlight pre").count()
    assert window.page.locator("button.copybtn").count() == code > 3
    window.page.goto((SITE / "explore.html").as_uri())
    inside = window.page.frame_locator("iframe.explorer")
    inside.locator("input[type=range]").first.wait_for()
    assert inside.locator(".js-plotly-plot .main-svg").count() > 0
    assert window.complaints == []
    keep_picture(window.page, "docs-explore")


def leads_somewhere(link: str) -> bool:
    address, anchor = urldefrag(link)
    file = Path(unquote(urlparse(address).path))
    if not file.is_file():
        return False
    return not anchor or bool(re.search(rf'\bid="{re.escape(unquote(anchor))}"', file.read_text(encoding="utf-8")))


def test_a_dead_link_is_seen(tmp_path):
    page = tmp_path / "page.html"
    page.write_text('<p id="here">')
    link = page.as_uri()
    assert [leads_somewhere(link + end) for end in ("", "#here", "#gone", ".gone")] == [True, True, False, False]
