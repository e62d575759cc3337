"""A person's desk: the system's Chromium, and a JupyterLab with copies of notebooks and a store of its own.

PYTEST_DONT_REWRITE: these are fixtures, which tests import before pytest knows them.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
LONG = 900_000  # milliseconds; trainings are waited for, and a machine may be busy
expect.set_options(timeout=60_000)
SETTINGS = {
    # Otherwise JupyterLab asks the network for news.
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # A cell's output is there without scrolling to it.
    "notebook-extension/tracker": {"windowingMode": "none"},
}


def chromium() -> str | None:
    """Of the system; None: the one that Playwright has installed."""
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return next((path for path in found if path), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield opened
        opened.close()


@dataclass
class Window:
    """A page and what its console complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)


def open_window(browser: Browser, width: int = 1280, offline: bool = False) -> Window:
    window = Window(browser.new_context(viewport={"width": width, "height": 900}, offline=offline).new_page())
    window.page.set_default_timeout(LONG)
    window.page.on("console", lambda said: window.complaints.append(said.text) if said.type == "error" else None)
    window.page.on("pageerror", lambda error: window.complaints.append(str(error)))
    return window


def keep_picture(page: Page, name: str) -> None:
    """In the folder TAUJP_SCREENSHOTS, if there is one: for people to look at, and for the documentation."""
    if folder := os.environ.get("TAUJP_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def eventually(check: Callable[[], None], seconds: float = 60) -> None:
    """Wait until `check` raises no AssertionError any more: a busy page draws later than it answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.1)


def cut_off(page: Page, inside: str) -> list[str]:
    """Texts of figures that stand beyond their figure's edge, and whether the page is wider than its window, when all
    figures are drawn and fitted; what is still beyond after some seconds stays there."""
    found: list[list[str]] = []

    def fits() -> None:
        found.append(measured(page, inside))
        assert found[-1] == []

    with suppress(AssertionError):
        eventually(fits, seconds=20)
    return found[-1]


def measured(page: Page, inside: str) -> list[str]:
    return page.evaluate(
        """(inside) => {
            const beyond = [];
            for (const plot of document.querySelectorAll(inside + " .js-plotly-plot"))
                if (!plot.querySelector(".main-svg")) beyond.push("a figure that is not drawn");
            if (document.documentElement.scrollWidth > innerWidth) beyond.push("the page");
            for (const plot of document.querySelectorAll(inside + " .js-plotly-plot")) {
                const frame = plot.getBoundingClientRect();
                for (const text of plot.querySelectorAll("svg text")) {
                    const box = text.getBoundingClientRect();
                    if (!box.width) continue;
                    const out = Math.max(frame.left - box.left, box.right - frame.right, box.bottom - frame.bottom);
                    if (out > 1) beyond.push(text.textContent);
                }
            }
            return beyond;
        }""",
        inside,
    )


class Lab:
    """A JupyterLab whose notebooks are copies, changed where a test wants them smaller; or that a command starts."""

    def __init__(self, folder: Path, command: tuple[str, ...] = ()):
        self.home, self.notebooks = folder / "home", folder / "notebooks"
        self.notebooks.mkdir(parents=True)
        for name, values in SETTINGS.items():
            file = folder / "settings/@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        own = {
            "TAUJP_HOME": str(self.home),
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "OMP_NUM_THREADS": "1",
        }
        self.log = folder / "lab.log"
        command = command or (sys.executable, "-m", "jupyter", "lab", f"--ServerApp.root_dir={self.notebooks}")
        options = ("--no-browser", "--port=0", "--allow-root", "--IdentityProvider.token=")
        with self.log.open("w") as log:
            self.server = subprocess.Popen(
                [*command, *options], cwd=ROOT, env=os.environ | own, stdout=log, stderr=subprocess.STDOUT
            )
        self.url = self.address()

    def address(self) -> str:
        """As the server says it, when it answers."""
        while self.server.poll() is None:
            found = re.search(r"http://(?:127\.0\.0\.1|localhost):(\d+)/(?:lab|tree)", self.log.read_text())
            time.sleep(0.5)
            if found:
                with suppress(urllib.error.URLError):
                    urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/api", timeout=60).close()
                    return f"http://127.0.0.1:{found[1]}"
        raise RuntimeError(self.log.read_text())

    def copy(self, name: str, further: tuple[str, ...] = (), saved_as: str = "", **values: object) -> Path:
        """The notebook with other values of its parameters, without outputs, and with further cells."""
        notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        for parameter, value in values.items():
            line = rf"^({parameter}: .*? = )[^#]*(?=  #)"
            cells[0].source, count = re.subn(line, lambda m, v=value: m[1] + repr(v), cells[0].source, flags=re.M)
            assert count == 1, parameter
        for cell in cells:
            cell.outputs, cell.execution_count = [], None
        notebook.cells += [nbformat.v4.new_code_cell(source) for source in further]
        path = self.notebooks / f"{saved_as or name}.ipynb"
        nbformat.write(notebook, path)
        return path

    def open(self, window: Window, notebook: Path) -> None:
        """In JupyterLab, with a kernel that is ready."""
        window.page.goto(f"{self.url}/lab/tree/{notebook.name}?reset")
        window.page.locator(".jp-StatusBar-TextItem", has_text="| Idle").wait_for()
        # JupyterLab drops cells that wait for a kernel which it is still connecting to, though it says Idle.
        window.page.wait_for_timeout(5000)

    def run_all(self, window: Window) -> None:
        window.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
        window.page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()

    def stop(self) -> None:
        self.server.terminate()
        self.server.wait(timeout=60)


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.stop()
