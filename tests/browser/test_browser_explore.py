"""Live coefficients in a browser: sliders move, and the numbers are those that Python computes for these coefficients."""

import statistics
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

pytest.importorskip("playwright")

from desk import Lab, cut_off, eventually, keep_picture, open_window
from playwright.sync_api import Locator, Page, expect

from analysis.explore.answers import Answers, Projected, project
from analysis.explore.gather import PAGE_IMAGES, Explorer, explore
from analysis.explore.page import write_page
from analysis.figures import task_colours
from analysis.trainings import run_configs
from taujp_core.applications.linearised import Products
from taujp_core.pretrained import load_clip
from taujp_core.suites import load_suite

pytestmark = pytest.mark.browser
pytest_plugins = ["desk"]  # its fixtures, once for all files of this folder
TASKS = ["fashion", "street"]
RECIPE = {"steps": 6}
METHODS = ["post-hoc-linearised", "linear"]
IMAGES = 120


@pytest.fixture(scope="module")
def opened(browser, lab):
    """36_explore in JupyterLab, run; Python sets coefficients at its end, and can say what they are."""
    notebook = lab.copy(
        "36_explore",
        ("panel.coefficients = [0.25, 0.5]", "print('now', panel.method, panel.coefficients)"),
        tasks=TASKS,
        methods=METHODS,
        recipe=RECIPE,
        images=IMAGES,
    )
    window = open_window(browser)
    lab.open(window, notebook)
    lab.run_all(window)
    window.page.get_by_text("now post-hoc-linearised [0.25, 0.5]").wait_for()
    return window


@pytest.fixture(scope="module")
def explorer(opened, lab) -> Explorer:
    """The same runs, measured in this process."""
    suite = load_suite("mini")
    clip, colours = load_clip("mini", device="cpu"), task_colours(list(suite.datasets()))
    configs = run_configs(suite, TASKS, METHODS, **RECIPE)
    found = explore(clip, suite, configs, lab.home / "runs", IMAGES, colours, trains=False)
    assert not found.missing
    return found


def move(panel: Locator, label: str, value: float) -> float:
    """Drag a slider there and let go; the milliseconds until it was drawn."""
    drawn = int(panel.get_attribute("data-drawn"))
    panel.get_by_label(f"slider of {label}", exact=True).evaluate(
        """(slider, value) => {
            slider.value = value;
            for (const kind of ["input", "change"]) slider.dispatchEvent(new Event(kind, { bubbles: true }));
        }""",
        value,
    )
    expect(panel).not_to_have_attribute("data-drawn", str(drawn))
    return float(panel.get_attribute("data-milliseconds"))


def choose(panel: Locator, method: str) -> None:
    """Until all is drawn for this method."""
    drawn = panel.get_attribute("data-drawn")
    panel.get_by_label("method", exact=True).select_option(label=method)
    expect(panel).not_to_have_attribute("data-drawn", drawn)


def check_numbers(panel: Locator, answers: Answers, coefficients: list[float]) -> None:
    """What the panel shows against what Python computes, as soon as it is drawn."""
    eventually(lambda: compare_numbers(panel, answers, coefficients))


def compare_numbers(panel: Locator, answers: Answers, coefficients: list[float]) -> None:
    expected = answers.accuracies(coefficients)
    for task, accuracy in expected.items():
        assert number(panel, f"[data-accuracy='{task}']") == pytest.approx(accuracy, abs=1e-9)
    assert number(panel, "[data-accuracy='mean']") == pytest.approx(expected.mean(), abs=1e-9)
    compare_forecasts(panel, answers.expected(coefficients))
    both = answers.expected(coefficients).expected.mean()  # of two tasks alone
    assert number(panel, "[data-pair]") == pytest.approx(both, abs=1e-9)
    pictures = panel.locator("[data-picture]").all()
    assert pictures
    for picture in pictures:
        task, image = picture.get_attribute("data-picture").split("/")
        likely = answers.images[TASKS.index(task)].logits(coefficients)[int(image)].softmax(-1)
        name = load_suite("mini").task(task).classes[likely.argmax()]
        assert name in picture.text_content()
        assert float(picture.get_attribute("data-value")) == pytest.approx(likely.max().item(), abs=1e-6)
    heights = panel.locator(".taujp-plot").first.evaluate("(plot) => plot.data ? plot.data[0].y : []")
    assert heights == pytest.approx(list(expected), abs=1e-9)


def compare_forecasts(panel: Locator, expected: pd.DataFrame) -> None:
    assert number(panel, "[data-forecast='mean']") == pytest.approx(expected.expected.mean(), abs=1e-9)
    for task, row in expected.iterrows():
        shown = panel.locator(f"[data-forecast='{task}']")
        found = [float(shown.get_attribute(f"data-{name}")) for name in ("expected", "low", "high")]
        assert found == pytest.approx([row.expected, row.low, row.high], abs=1e-9)
        assert shown.text_content() == f"{row.expected:.2f} ({row.low:.2f} to {row.high:.2f})"


def number(panel: Locator, selector: str) -> float:
    return float(panel.locator(selector).get_attribute("data-value"))


def panel_of(page: Page) -> Locator:
    panel = page.locator(".taujp-explore[data-drawn]")
    panel.wait_for()
    return panel


def test_python_sets_the_sliders(opened, explorer):
    panel = panel_of(opened.page)
    expect(panel.get_by_label("coefficient of street", exact=True)).to_have_value("0.5")
    check_numbers(panel, explorer.answers[0], [0.25, 0.5])


def test_sliders_in_jupyterlab_give_what_python_computes(opened, explorer, capsys):
    panel, times, alpha = panel_of(opened.page), [], [0.25, 0.5]
    for place, value in [(0, -0.6), (1, 1.65), (0, 0.9), (1, 0.0), (0, 2.0)]:
        alpha[place] = value
        times.append(move(panel, TASKS[place], value))
        check_numbers(panel, explorer.answers[0], alpha)
    times.append(move(panel, "all tasks", 0.35))
    check_numbers(panel, explorer.answers[0], [0.35, 0.35])
    with capsys.disabled():
        print(f"\nredrawn within {statistics.median(times):.0f} ms (median of {len(times)})")


def test_buttons_and_methods(opened, explorer):
    panel = panel_of(opened.page)
    for place, method in enumerate(METHODS):
        choose(panel, method)
        answers = explorer.answers[place]
        for button, alpha in (("all at 1", [1.0, 1.0]), ("tuned", [answers.tuned] * 2)):
            panel.get_by_role("button", name=button).click()
            expect(panel.get_by_label("coefficient of street", exact=True)).to_have_value(f"{alpha[0]:g}")
            check_numbers(panel, answers, alpha)


def test_python_is_told_where_the_sliders_are(opened):
    panel, page = panel_of(opened.page), opened.page
    choose(panel, "linear")
    move(panel, "fashion", 0.7)
    move(panel, "street", -0.2)
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").last.click()
    page.keyboard.press("Control+Enter")
    page.get_by_text("now linear [0.7, -0.2]").wait_for()


@pytest.mark.parametrize("typed", ["7", "much", ""])
def test_a_coefficient_out_of_range_is_answered_in_the_panel(typed, opened):
    panel = panel_of(opened.page)
    box = panel.get_by_label("coefficient of street", exact=True)
    before = box.input_value()
    box.fill(typed)
    box.press("Tab")
    expect(panel.get_by_role("status")).to_have_text(
        f"The coefficient of street must be a number from -1 to 2, not “{typed}”."
    )
    expect(box).to_have_value(before)
    box.fill("0.4")
    box.press("Tab")
    expect(panel.get_by_role("status")).to_have_text("")


def test_nothing_is_cut_off_and_nothing_complains(opened):
    panel_of(opened.page).scroll_into_view_if_needed()
    keep_picture(opened.page, "jupyterlab-explore")
    assert cut_off(opened.page, ".taujp-explore") == []
    assert opened.complaints == []


def test_sliders_in_a_classic_notebook_give_what_python_computes(browser, lab, explorer, tmp_path):
    """Notebook 7, with the runs that JupyterLab's notebook has trained. Its console has complaints of its own."""
    (tmp_path / "home").symlink_to(lab.home)
    command = (sys.executable, "-m", "jupyter", "notebook", f"--ServerApp.root_dir={tmp_path / 'notebooks'}")
    classic = Lab(tmp_path, command)
    try:
        notebook = classic.copy("36_explore", tasks=TASKS, methods=METHODS, recipe=RECIPE, images=IMAGES, train=False)
        window = open_window(browser)
        window.page.goto(f"{classic.url}/notebooks/{notebook.name}")
        window.page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").first.wait_for()
        window.page.wait_for_timeout(5000)  # see Lab.open
        classic.run_all(window)
        panel = panel_of(window.page)
        check_numbers(panel, explorer.answers[0], [1.0, 1.0])
        move(panel, "street", 0.1)
        check_numbers(panel, explorer.answers[0], [1.0, 0.1])
        panel.scroll_into_view_if_needed()
        keep_picture(window.page, "notebook-explore")
        assert cut_off(window.page, ".taujp-explore") == []
    finally:
        classic.stop()


def test_runs_that_are_not_there_are_answered_in_the_panel(browser, lab):
    window = open_window(browser)
    lab.open(
        window, lab.copy("36_explore", saved_as="without_runs", tasks=TASKS, seed=7, train=False, output="runs/without")
    )
    lab.run_all(window)
    sentence = window.page.locator(".taujp-missing").first
    sentence.wait_for()
    assert "No finished run of post-hoc-linearised, seed 7, on fashion, street" in sentence.text_content()
    keep_picture(window.page, "jupyterlab-no-runs")
    window.page.get_by_text("There is nothing to explore").wait_for()
    assert window.complaints == []


def test_it_opens_on_the_penalised_method_and_says_what_cannot_be_chosen(browser, explorer, tmp_path):
    first, second = explorer.answers
    answers = (first, replace(second, method="taujp-efficient"))
    write_page(tmp_path / "explore.html", replace(explorer, answers=answers, without=("linear",)), "penalised")
    window = open_window(browser)
    window.page.goto((tmp_path / "explore.html").as_uri())
    panel = panel_of(window.page)
    methods = panel.get_by_label("method", exact=True)
    expect(methods).to_have_value("1")
    expect(methods.locator("option[disabled]")).to_have_text("linear (no finished run)")
    expect(panel.locator(".taujp-reason")).to_contain_text("cannot be chosen")
    check_numbers(panel, answers[1].first(PAGE_IMAGES), [1.0, 1.0])
    # No hole above the sliders: they begin where the sentence above them ends.
    above, sliders = (panel.locator(part).bounding_box() for part in (".taujp-reason", ".taujp-sliders"))
    assert sliders["y"] - (above["y"] + above["height"]) < 20
    assert window.complaints == []


@pytest.mark.parametrize("elsewhere", [False, True])
def test_forecasts_in_the_page_are_those_of_python(elsewhere, browser, tmp_path):
    """Three tasks with made-up products, so that the page needs no training; the pair's forecast leaves the third vector out."""
    suite, names = load_suite("mini"), ["uci", "signs", "street"]
    tasks, generator = tuple(suite.task(name) for name in names), torch.Generator().manual_seed(0)

    def images(place: int, classes: int) -> Projected:
        head = 20 * torch.nn.functional.normalize(torch.randn(6, classes, generator=generator), dim=0)
        labels = torch.randint(classes, (50,), generator=generator)
        vectors = 0.5 * torch.randn(3, 50, 6, generator=generator)
        vectors[place] += 0.1 * head.T[labels]
        return project(Products(torch.randn(50, 6, generator=generator), vectors, labels), head)

    answers = Answers(
        "linear",
        tuple(names),
        tuple(images(place, len(task.classes)) for place, task in enumerate(tasks)),
        0.5,
        (1.0,) * 3,
    )
    made = Explorer(tasks, task_colours(list(suite.datasets())), (answers,), (), {}, elsewhere=elsewhere)
    write_page(tmp_path / "explore.html", made, "made up")
    window = open_window(browser)
    window.page.goto((tmp_path / "explore.html").as_uri())
    panel, alpha = panel_of(window.page), [1.0, 1.0, 1.0]
    compare_forecasts(panel, answers.expected(alpha, elsewhere))
    for place, value in [(0, -0.6), (1, 1.65), (2, 0.4)]:
        alpha[place] = value
        move(panel, names[place], value)
        compare_forecasts(panel, answers.expected(alpha, elsewhere))
        pair = answers.expected([*alpha[:2], 0.0], elsewhere)
        assert number(panel, "[data-pair]") == pytest.approx(pair.expected[:2].mean(), abs=1e-9)
    heat = "(plot) => [plot.data[0].z[8][4], plot.data[0].y[8], plot.data[0].x[4]]"
    z, second, first = panel.locator(".taujp-plot").last.evaluate(heat)
    assert z == pytest.approx(answers.expected([first, second, 0.0], elsewhere).expected[:2].mean(), abs=1e-9)
    bars = panel.locator(".taujp-plot").first.evaluate("(plot) => [plot.data[4].y, plot.data[4].error_y.array]")
    single, likely = answers.marks().single_task, answers.expected(alpha, elsewhere)
    assert bars[0] == pytest.approx(list(single * likely.expected), abs=1e-9)
    assert bars[1] == pytest.approx(list(single * (likely.high - likely.expected)), abs=1e-9)
    assert ("learnt on another model" in panel.text_content()) is elsewhere
    assert window.complaints == []


def test_one_task_alone_has_no_map_and_is_told_why(browser, explorer, tmp_path):
    alone = replace(
        explorer.answers[0], tasks=TASKS[:1], images=(one_vector(explorer.answers[0].images[0]),), optimum=(1.0,)
    )
    pictures = {key: picture for key, picture in explorer.pictures.items() if key[0] == 0}
    write_page(
        tmp_path / "one.html", replace(explorer, tasks=explorer.tasks[:1], answers=(alone,), pictures=pictures), "one"
    )
    window = open_window(browser)
    window.page.goto((tmp_path / "one.html").as_uri())
    expect(panel_of(window.page).locator(".taujp-reason").last).to_contain_text("there is one task")
    assert window.complaints == []


def one_vector(images: Projected) -> Projected:
    return Projected(images.numerators[:2], images.gram[:, :2, :2], images.labels)


@pytest.mark.parametrize("width", [1280, 800])
def test_the_page_works_from_disk_without_a_network(width, browser, lab, explorer):
    page_file: Path = lab.home / "runs/explore/explore.html"
    window = open_window(browser, width, offline=True)
    window.page.goto(page_file.as_uri())
    panel = panel_of(window.page)
    assert cut_off(window.page, "#explore") == []
    answers = explorer.answers[0].first(PAGE_IMAGES)
    check_numbers(panel, answers, [1.0, 1.0])
    move(panel, "fashion", 0.15)
    move(panel, "street", 1.35)
    check_numbers(panel, answers, [0.15, 1.35])
    keep_picture(window.page, f"page-{width}")
    assert cut_off(window.page, "#explore") == []
    assert window.complaints == []
