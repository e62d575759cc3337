"""What `make lab` opens: a page that lists the notebooks, from which each can be opened."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from desk import ROOT, Lab, keep_picture, open_window
from playwright.sync_api import expect

pytest_plugins = ["desk"]
pytestmark = pytest.mark.browser


def test_make_lab_opens_on_a_page_that_leads_to_the_notebooks(browser, tmp_path):
    line = subprocess.run(
        ["make", "-n", "--no-print-directory", "lab", f"BIN={Path(sys.executable).parent}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    command = line[line.index(str(Path(sys.executable).parent / "jupyter")) :].replace("\\\n", "")
    lab = Lab(tmp_path, tuple(shlex.split(command)))
    try:
        window = open_window(browser)
        window.page.goto(lab.url)
        page = window.page.locator(".jp-MarkdownViewer")
        expect(page.locator("h1")).to_contain_text("The notebooks")
        names = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
        expect(page.locator("td a")).to_have_text(names)
        assert window.page.locator(".Toastify__toast").count() == 0  # no news
        keep_picture(window.page, "jupyterlab-start")
        page.get_by_role("link", name="31_negation").click()
        expect(window.page.locator(".jp-NotebookPanel h1").first).to_have_text(re.compile("^Task negation"))
        # A server that is told to end waits for a kernel that only begins.
        window.page.locator(".jp-StatusBar-TextItem", has_text="| Idle").wait_for()
        window.page.wait_for_timeout(3000)
        assert window.page.locator(".jp-mod-dirty").count() == 0  # not modified, though its kernel has started
        window.page.locator(".jp-NotebookPanel a", has_text="the full version").first.click()
        window.page.wait_for_url("**/results/mini/31_negation.ipynb")
        assert window.complaints == []
    finally:
        lab.stop()
