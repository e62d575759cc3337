"""Progress in JupyterLab: a training's line moves, is gone when it is done, and is not in the saved notebook."""

import re

import nbformat
import pytest

pytest.importorskip("playwright")

from desk import keep_picture, open_window

pytestmark = pytest.mark.browser
pytest_plugins = ["desk"]  # its fixtures, once for all files of this folder
LINE = re.compile(r"street by standard, seed 0: +(\d+)%.* ([\d.]+[kM]?)/([\d.]+[kM]?) \[.*<.*image/s")


def test_a_training_shows_a_line_that_moves_and_goes(browser, lab):
    notebook = lab.copy("10_train", task="street", method="standard", recipe={"steps": 30})
    window = open_window(browser)
    page = window.page
    lab.open(window, notebook)
    lab.run_all(window)
    line = page.locator(".jp-OutputArea-output", has_text="image/s")
    line.wait_for()
    keep_picture(page, "jupyterlab-progress")
    seen = []
    while line.count():
        text = line.first.text_content(timeout=1000) if line.count() else ""
        if (found := LINE.search(text or "")) and found[1] not in seen:
            seen.append(found[1])
        page.wait_for_timeout(100)
    assert len(seen) >= 2
    assert seen == sorted(seen, key=int)
    page.locator(".jp-OutputArea-output", has_text="Validation accuracy on street went from").wait_for()
    assert page.locator(".jp-OutputArea-output", has_text="image/s").count() == 0

    page.keyboard.press("Control+s")
    page.wait_for_function("() => !document.querySelector('.jp-mod-dirty')")
    outputs = []
    while not outputs:
        page.wait_for_timeout(200)
        outputs = [output for cell in nbformat.read(notebook, 4).cells for output in cell.get("outputs", [])]
    assert "image/s" not in str(outputs)
    assert window.complaints == []
