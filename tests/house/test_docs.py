"""The documentation: what it links to is there, every notebook is a chapter, and the site is built without a warning."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "notebooks/README.md", *sorted(DOCS.glob("*.md"))]
SITE = DOCS / "_build/html"
MADE = ("chapters/", "reference/", "methods/", "gallery/", "_made/")  # folders that the build writes
sys.path.insert(0, str(DOCS))

import chapters  # noqa: E402
import gallery  # noqa: E402
import reference  # noqa: E402


def anchors(text: str) -> set[str]:
    """Of a page's headings, as code hosts and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """Links inside the repository that lead nowhere; chapters and the reference are made by the build."""
    found = []
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        made = page.parent == DOCS and path.startswith(MADE)
        there = made or target.exists()
        if not there or (anchor and target.suffix == ".md" and anchor not in anchors(whole(target))):
            found.append(link)
    return found


def whole(page: Path) -> str:
    """A page with what it includes."""
    text = page.read_text(encoding="utf-8")
    included = re.findall(r"^```\{include\} (\S+)", text, re.MULTILINE)
    return "\n".join([text, *((page.parent / path).read_text(encoding="utf-8") for path in included)])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_lead_somewhere(page):
    assert broken(page) == []


def test_a_broken_link_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One: two?\n[a](#one-two) [b](page.md#one) [c](gone.md) [d](https://example.org/gone)\n")
    assert broken(page) == ["page.md#one", "gone.md"]


def test_the_readme_is_read_in_five_minutes():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 150
    assert (ROOT / "docs/_static/addition.png").stat().st_size < 300_000


def test_the_start_page_lists_every_notebook_with_what_it_answers_and_how_long_it_takes():
    start = (ROOT / "notebooks/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\w+)\]\((\w+)\.ipynb\) \| .+ \| .*(?:minutes?|seconds)[^|]* \|$", start, re.MULTILINE)
    assert rows == [(name, name) for name in chapters.names(ROOT)]


def test_every_page_is_in_the_sites_contents():
    contents = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^([\w/]+)$", contents, re.MULTILINE))
    assert {page.stem for page in DOCS.glob("*.md")} - {"index"} <= listed


def test_every_notebook_is_a_chapter_with_its_figures_and_its_answer(tmp_path):
    chapters.write(ROOT, tmp_path / "chapters")
    names = chapters.names(ROOT)
    listed = (tmp_path / "chapters/index.md").read_text(encoding="utf-8")
    assert re.findall(r"^\w+$", listed, re.MULTILINE) == names == sorted(names)
    for name in names:
        source = json.loads(chapters.written(ROOT, name).read_text(encoding="utf-8"))
        chapter = json.loads((tmp_path / f"chapters/{name}.ipynb").read_text(encoding="utf-8"))
        pictured = [output for cell in source["cells"] for output in cell.get("outputs", []) if is_figure(output)]
        shown = [output for cell in chapter["cells"] for output in cell.get("outputs", [])]
        live = [output for output in shown if "plotly-figure" in "".join(output.get("data", {}).get("text/html", ""))]
        assert len(live) == len(pictured) and not any(map(is_figure, shown))
        for before, after in zip(pictured, live, strict=True):
            figure = re.search(r'<script type="application/json">(.*?)</script>', after["data"]["text/html"], re.DOTALL)
            assert json.loads(figure[1]) == before["data"][chapters.PLOTLY]
        opening = chapter["cells"][1]["source"]
        if pictured:
            assert f"]({name}.png)" in opening and "**In a sentence:**" in opening


def is_figure(output: dict) -> bool:
    return chapters.PLOTLY in output.get("data", {})


def test_a_notebook_that_is_gone_is_no_chapter_any_more(tmp_path):
    folder = tmp_path / "chapters"
    chapters.write(ROOT, folder)
    (folder / "99_gone.ipynb").write_text("{}")
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    chapters.write(ROOT, folder)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == {
        name: time for name, time in times.items() if name != "99_gone.ipynb"
    }


def test_names_of_notebooks_become_links():
    text = "See `30_addition`, `notebooks/10_train.ipynb`, [it](../results/mini/10_train.ipynb) and `99_other`."
    assert chapters.linked(text, ["10_train", "30_addition"], "chapters/") == (
        "See [`30_addition`](chapters/30_addition.ipynb), [`notebooks/10_train.ipynb`](chapters/10_train.ipynb), "
        "[it](chapters/10_train.ipynb) and `99_other`."
    )
    assert chapters.linked("[A page](../docs/merge.md).", ["10_train"], "") == "[A page](../merge.md)."


@pytest.mark.docs
def test_docstrings_read_as_they_are_written():
    from markdown_it import MarkdownIt

    docstring = (
        "‖J(x)·τ‖₂ <n> of a*b*c_d_e [t, n, d] {x} `code_of[i]*2*`\n+ 1 | 2 #3\n\n    a  block_of\n      text\n\nAfter."
    )
    html = MarkdownIt().enable("table").render(reference.markdown(docstring))
    assert html.splitlines() == [
        "<p>‖J(x)·τ‖₂ &lt;n&gt; of a*b*c_d_e [t, n, d] {x} <code>code_of[i]*2*</code>",
        "+ 1 | 2 #3</p>",
        '<pre><code class="language-text">    a  block_of',
        "      text",
        "</code></pre>",
        "<p>After.</p>",
    ]


@pytest.mark.docs
def test_tables_columns_sections_and_examples_of_docstrings_are_what_they_look_like():
    from markdown_it import MarkdownIt

    docstring = """Reads.

| read | as |
|---|---|
| `a_b` | c_d |

NAME      what it is
LONGER    and that

    import taujp
    taujp.merge(1)

Args:
    one: the first,
        over two lines.
    two: the second.

Returns:
    A_number.

>>> reads(1)
2
"""
    html = MarkdownIt().enable("table").render(reference.markdown(docstring))
    assert "<td><code>a_b</code></td>\n<td>c_d</td>" in html
    assert '<pre><code class="language-text">NAME      what it is\nLONGER    and that\n</code></pre>' in html
    assert '<pre><code class="language-python">import taujp\ntaujp.merge(1)\n</code></pre>' in html
    assert "<li><code>one</code>: the first, over two lines.</li>\n<li><code>two</code>: the second.</li>" in html
    assert "<p><strong>Returns.</strong> A_number.</p>" in html
    assert '<pre><code class="language-python">&gt;&gt;&gt; reads(1)\n2\n</code></pre>' in html


def test_the_public_names_have_a_page_with_what_they_take_and_where_they_are_written():
    import taujp

    page = reference.face(ROOT)
    shown = re.findall(r"^`{5}\{py:\w+\} (\w+)", page, re.MULTILINE)
    assert sorted(shown) == sorted(taujp.__all__) and shown[0] == "load_clip"
    assert "{py:function} merge(clip: Clip, vectors: object, images: object" in page
    assert len(re.findall(r"^:module: (taujp_core|analysis)\.", page, re.MULTILINE)) >= len(shown)


def test_the_gallery_has_every_figure(tmp_path):
    gallery.write(ROOT, tmp_path / "gallery")
    text = (tmp_path / "gallery/index.md").read_text(encoding="utf-8")
    pictures = [path.name for path in (tmp_path / "gallery").glob("*.png")]
    assert len(pictures) > 30 and all(f"]({name})](../chapters/" in text for name in pictures)


def test_the_reference_has_what_has_a_docstring(tmp_path):
    reference.write(ROOT, tmp_path / "reference")
    public = (tmp_path / "reference/taujp.md").read_text(encoding="utf-8")
    assert "{py:function} jacobian_products(encoder: nn.Module, " in public
    assert "-> tuple[Float[Tensor, 'n d'], Float[Tensor, 't n d']]" in public
    core = (tmp_path / "reference/taujp_core.products.md").read_text(encoding="utf-8")
    assert "{py:obj}`taujp_core.products.jacobian.jacobian_products` is public." in core
    assert "{py:function} linearised_gradient(" in core
    assert "check_arguments" not in core  # it has none
    core = (tmp_path / "reference/taujp_core.training.md").read_text(encoding="utf-8")
    assert "\npenalty_weight: float  # λ\n" in core
    assert "{py:class} RunConfig" in core and "{py:method} RunConfig.names() -> dict" in core


class Links(HTMLParser):
    """What a page loads (src, stylesheets) and where it leads (href), and its anchors."""

    def __init__(self, text: str):
        super().__init__()
        self.loads, self.leads, self.ids = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids |= {values["id"]} if values.get("id") else set()
        if values.get("src"):
            self.loads.append(values["src"])
        elif tag == "link" and values.get("rel") in ("stylesheet", "icon"):
            self.loads.append(values["href"])
        elif tag == "a" and values.get("href"):
            self.leads.append(values["href"])


@pytest.mark.docs
def test_the_site_is_built_without_warnings_and_needs_no_network():
    """Warnings are errors; every picture, script and link of every page is there, and none is loaded from elsewhere.

    -E: an environment of an earlier build knows names that have moved to another page since.
    """
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-M",
        "html",
        str(DOCS),
        str(SITE.parent),
        "-W",
        "-E",
        "--keep-going",
        "-q",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in SITE.rglob("*.html")}
    assert {f"chapters/{name}.html" for name in chapters.names(ROOT)} <= {
        path.relative_to(SITE).as_posix() for path in pages
    }
    missing = []
    for path, links in pages.items():
        elsewhere = [link for link in links.loads if re.match(r"(https?:)?//", link)]
        assert elsewhere == [], f"{path.name} loads from the network"
        for link in links.loads + links.leads:
            if re.match(r"(https?|mailto|data):", link):
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / unquote(file.partition("?")[0])).resolve() if file else path
            known = pages[target].ids if target in pages else {anchor}
            if not target.exists() or (anchor and unquote(anchor) not in known):
                missing.append(f"{path.relative_to(SITE)}: {link}")
    assert missing == []
