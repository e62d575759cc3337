"""What of the site is made by running the project? The explorer, and a picture of JupyterLab; `make docs` calls this first.

Trainings are read from `docs/_build/runs` when they are there, so that only the first call trains, for about two minutes.
Pictures need a Chromium: without one a sentence says so, and the pages that show them do without.
"""

import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
MADE = DOCS / "_made"
TASKS, METHODS, STEPS, IMAGES = ("mnist", "fashion", "signs"), ("taujp-efficient", "linear"), 40, 100
PICTURE_WIDTH = 1280


def explorer(path: Path) -> None:
    """The sliders on one page, of short trainings."""
    from analysis.explore.gather import explore
    from analysis.explore.page import write_page
    from analysis.figures import task_colours
    from analysis.trainings import run_configs
    from taujp_core.pretrained import load_clip
    from taujp_core.suites import load_suite

    suite = load_suite("mini")
    configs = run_configs(suite, TASKS, METHODS, steps=STEPS)
    colours = task_colours(list(suite.datasets()))
    explored = explore(load_clip("mini"), suite, configs, DOCS / "_build/runs", images=IMAGES, colours=colours)
    write_page(path, explored, f"Three tasks of mini, {STEPS} steps each")


def start_page(path: Path) -> None:
    """What `make lab` opens."""
    sys.path.insert(0, str(ROOT / "tests/browser"))
    from desk import Lab, chromium
    from playwright.sync_api import Error, sync_playwright

    line = subprocess.run(
        ["make", "-n", "--no-print-directory", "lab", f"BIN={Path(sys.executable).parent}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    # The last line, for those before it may set up the environment.
    command = re.findall(rf"{re.escape(str(Path(sys.executable).parent))}/\S+ .*", line.replace("\\\n", ""))[-1]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        except Error:
            path.unlink(missing_ok=True)
            print(f"There is no Chromium here, so that the site has no picture of JupyterLab: {path.name} is left out.")
            return
        lab = Lab(Path(folder), tuple(shlex.split(command)))
        try:
            page = browser.new_page(viewport={"width": PICTURE_WIDTH, "height": 800})
            page.goto(lab.url)
            page.locator(".jp-MarkdownViewer h1").first.wait_for()
            page.wait_for_timeout(2000)
            page.screenshot(path=path)
        finally:
            browser.close()
            lab.stop()


if __name__ == "__main__":
    MADE.mkdir(exist_ok=True)
    start_page(MADE / "start.png")
    explorer(MADE / "explorer.html")
