"""Progress in JupyterLab: a training's line moves, is gone when it is done, and is not in the saved notebook."""

import re

import nbformat
import pytest

pytest.importorskip("playwright")

from desk import keep_picture, open_window
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
pytest_plugins = ["desk"]  # its fixtures, once for all files of this folder
# A line is there for a moment: the page itself keeps what it shows, whenever it changes.
KEEP = """() => {
    window.kept = [];
    new MutationObserver(() => {
        for (const output of document.querySelectorAll(".jp-OutputArea-output"))
            if (output.textContent.includes("image/s")) window.kept.push(output.textContent);
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""
SENTENCE = re.compile(r"Validation accuracy on street (?:rose|fell|stayed)")
LINE = re.compile(r"street by standard, seed 0: +(\d+)%.* ([\d.]+[kM]?)/([\d.]+[kM]?) \[.*<.*image/s")


def test_a_training_shows_a_line_that_moves_and_goes(browser, lab):
    notebook = lab.copy("10_train", task="street", method="standard", recipe={"steps": 30})
    window = open_window(browser)
    page = window.page
    lab.open(window, notebook)
    page.evaluate(KEEP)
    lab.run_all(window)
    page.wait_for_function("() => window.kept.length")
    keep_picture(page, "jupyterlab-progress")
    page.locator(".jp-OutputArea-output", has_text=SENTENCE).wait_for()
    expect(page.locator(".jp-OutputArea-output", has_text="image/s")).to_have_count(0)
    found = [LINE.search(text) for text in page.evaluate("() => window.kept")]
    seen = list(dict.fromkeys(match[1] for match in found if match))
    assert len(seen) >= 2
    assert seen == sorted(seen, key=int)

    page.keyboard.press("Control+s")
    page.wait_for_function("() => !document.querySelector('.jp-mod-dirty')")
    outputs = []
    while not outputs:
        page.wait_for_timeout(200)
        outputs = [output for cell in nbformat.read(notebook, 4).cells for output in cell.get("outputs", [])]
    assert "image/s" not in str(outputs)
    assert window.complaints == []
