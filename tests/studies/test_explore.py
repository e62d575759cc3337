"""Live coefficients: answers equal to the linearised model's, the same in what a browser is handed, sentences for bad use."""

import base64
import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import random_like, tiny_clip

from analysis.coefficients import COEFFICIENTS, scores
from analysis.expected_accuracy import TEMPERATURE, Expectation, shipped
from analysis.explore.answers import CURVE, HIGHEST, LOWEST, Answers, Projected, project
from analysis.explore.figures import common_coefficient
from analysis.explore.gather import Explorer, explore, shown_pictures
from analysis.explore.pack import packed, unpacked
from analysis.explore.page import own, write_page
from analysis.explore.panel import Panel, open_panel
from analysis.figures import task_colours
from analysis.forecast.call import forecast
from analysis.palette import task_symbols
from analysis.products import measure_products
from analysis.trainings import run_configs
from taujp_core.datasets import load_split
from taujp_core.evaluation import linearised_features
from taujp_core.models import logits, zero_shot_head
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector, total

SUITE = load_suite("mini")
TASKS = ("uci", "signs")
COLOURS = task_colours(list(SUITE.datasets()))
IMAGES = 40


@pytest.fixture(scope="module")
def measured(mini):
    """Vectors, and of each task its images, head and products."""
    vectors = [
        TaskVector(random_like(mini.theta0, k, 0.02), mini.fingerprint, task, "linear") for k, task in enumerate(TASKS)
    ]
    splits = [load_split(SUITE.task(task), "validation").first(IMAGES) for task in TASKS]
    heads = [zero_shot_head(mini, SUITE.task(task).classes, SUITE.task(task).templates) for task in TASKS]
    return vectors, splits, heads, [measure_products(mini, vectors, split) for split in splits]


@pytest.fixture(scope="module")
def answers(measured) -> Answers:
    _, _, heads, products = measured
    return Answers("linear", TASKS, tuple(map(project, products, heads)), 0.35, (0.2, 1.4))


@pytest.fixture(scope="module")
def explorer(measured, answers) -> Explorer:
    splits = measured[1]
    pictures = {(task, image): splits[task][image][0] for task, image in shown_pictures(answers)}
    return Explorer(tuple(SUITE.task(task) for task in TASKS), COLOURS, (answers,), (), pictures)


@pytest.mark.parametrize("alpha", [(0.0, 0.0), (1.0, 1.0), (0.35, -0.8)])
def test_logits_are_those_of_the_linearised_encoder(alpha, mini, measured, answers):
    vectors, splits, heads, _ = measured
    for split, head, images in zip(splits, heads, answers.images, strict=True):
        tau = total(vectors, alpha).tau
        expected = logits(linearised_features(mini.encoder, mini.theta0, tau, split.tensors[0]), head)
        torch.testing.assert_close(images.logits(alpha).float(), expected, atol=2e-3, rtol=1e-4)


def test_accuracies_are_those_of_the_products(measured, answers):
    _, _, heads, products = measured
    points = [[0.0, 0.0], [1.0, 1.0], [0.2, 1.4], [-1.0, 2.0]]
    for k, task in enumerate(TASKS):
        expected = scores(products[k], heads[k], [*points, [float(k == 0), float(k == 1)]]).accuracy
        found = [answers.accuracies(point)[task] for point in points]
        # One image may sit on a boundary: the sums are taken in another order.
        assert found == pytest.approx(list(expected[:4]), abs=1 / IMAGES + 1e-9)
        assert list(answers.marks().loc[task])[::2] == found[:2]
        assert answers.marks().single_task[task] == pytest.approx(expected[4], abs=1 / IMAGES + 1e-9)
    curve = answers.curve()
    assert list(curve.index) == list(CURVE)
    assert (curve.index[0], curve.index[-1]) == (LOWEST, HIGHEST)
    assert curve.loc[1.0].to_dict() == answers.marks().one_shot.to_dict()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_forecast_at_the_sliders_is_that_of_the_call(elsewhere, mini, measured, answers, monkeypatch):
    calibration, learnt_on = shipped()
    assert learnt_on == mini.fingerprint
    if elsewhere:
        monkeypatch.setattr("analysis.forecast.call.shipped", lambda: (calibration, "another"))
    tasks = [SUITE.task(task) for task in TASKS]
    points = [[1.0, 1.0], [0.2, 1.4], [-1.0, 2.0]]
    for alpha in points:
        called = forecast(mini, measured[0], tasks, plan=alpha, most=IMAGES)
        found = answers.expected(alpha, elsewhere)
        # One image may sit on a boundary: the sums are taken in another order. The slopes add up to about 1.
        for column in ("expected", "low", "high"):
            assert list(found[column]) == pytest.approx(list(called[column]), abs=2 / IMAGES)
    uci = [answers.expected(alpha).expected["uci"] for alpha in points]
    assert max(uci) - min(uci) > 4 / IMAGES


def test_an_expert_is_forecast_to_lose_nothing(answers):
    for place, alone in enumerate(([1.0, 0.0], [0.0, 1.0])):
        found = answers.expected(alone).iloc[place]
        assert found.expected == 1.0 and found.low < 1.0 < found.high


@pytest.mark.parametrize(("fingerprint", "elsewhere"), [(shipped()[1], False), ("another", True)])
def test_the_page_is_told_whether_the_forecast_is_of_its_model(fingerprint, elsewhere, mini, tmp_path):
    clip = replace(tiny_clip(mini), fingerprint=fingerprint)
    explorer = explore(clip, SUITE, configs("linear"), tmp_path, IMAGES, COLOURS, trains=False)
    told = packed(explorer)[0]["forecast"]
    assert explorer.elsewhere is told.pop("elsewhere") is elsewhere
    calibration = shipped()[0]
    assert told == {**calibration.shown(), "temperature": TEMPERATURE}
    assert Expectation((told["slope_changed"], told["slope_lost"]), told["spread"], told["reach"]) == calibration


def test_pictures_that_change_their_minds_take_turns(answers):
    found = answers.changing(5)
    assert [task for task, _ in found[:4]] == [0, 1, 0, 1]
    changes = {}
    for task in range(2):
        for image in range(IMAGES):
            path = [answers.images[task].logits([alpha] * 2)[image].argmax().item() for alpha in COEFFICIENTS]
            changes[task, image] = sum(a != b for a, b in pairwise(path))
    ours = [changes[place] for place in found if place[0] == 0]
    assert ours == sorted((n for (task, _), n in changes.items() if task == 0), reverse=True)[: len(ours)]
    assert min(ours) > 0
    still = Answers("linear", TASKS, tuple(frozen(images) for images in answers.images), 1.0, (1.0, 1.0))
    assert still.changing(5) == []


def frozen(images: Projected) -> Projected:
    """With vectors that do nothing."""
    numerators = images.numerators.clone()
    numerators[1:] = 0
    return Projected(numerators, images.gram, images.labels)


@pytest.mark.parametrize(
    ("alpha", "sentence"),
    [
        ([1.0], "one coefficient for each of uci, signs is needed, not 1"),
        ([1.0, 2.5], "the coefficient of signs must be from -1 to 2, not 2.5"),
        ([float("nan"), 1.0], "the coefficient of uci must be from -1 to 2, not nan"),
    ],
)
def test_coefficients_that_no_slider_has_are_answered_in_a_sentence(alpha, sentence, answers):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        answers.accuracies(alpha)


def test_a_browser_is_handed_the_same_numbers(explorer, answers):
    about, numbers = packed(explorer, 30)
    for images, (numerators, gram), task in zip(
        answers.images, unpacked(about, numbers)[0], about["tasks"], strict=True
    ):
        assert np.array_equal(numerators, images.numerators[:, :30])
        assert np.array_equal(gram, images.gram[:30])
        assert task["labels"] == images.labels[:30].tolist()
    (method,) = about["methods"]
    assert (method["tuned"], method["optimum"]) == (0.35, [0.2, 1.4])
    assert all(picture["image"] < 30 for picture in method["pictures"])
    whole, numbers = packed(explorer)
    assert len(unpacked(whole, numbers)[0][0][1]) == IMAGES
    json.dumps(whole, allow_nan=False)


def test_the_figures_own_slider_has_every_coefficient(explorer, answers):
    figure = common_coefficient(explorer)
    steps, curve = figure.layout.sliders[0].steps, answers.curve()
    assert [step.label for step in steps] == [f"{alpha:g}" for alpha in CURVE]
    for alpha, step in zip(CURVE, steps, strict=True):
        changes, traces = step.args
        bars, point = (figure.data[trace] for trace in traces)
        assert (bars.type, point.name) == ("bar", "the slider's α")
        assert changes["y"][0] == pytest.approx(list(curve.loc[alpha]), abs=1e-4)
        assert changes["x"] == [list(TASKS), [alpha]]
        assert changes["y"][1] == pytest.approx([curve.loc[alpha].mean()], abs=1e-4)
    assert steps[figure.layout.sliders[0].active].label == "1"


def test_the_page_holds_all_it_needs(explorer, tmp_path):
    write_page(tmp_path / "explore.html", explorer, "uci & signs", images=30)
    page = (tmp_path / "explore.html").read_text(encoding="utf-8")
    assert "<title>uci &amp; signs</title>" in page
    assert "30 of uci, 30 of signs" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"'](?!data:)", page)
    about, numbers = packed(explorer, 30)
    assert base64.b64decode(re.search(r'atob\("([^"]+)"\)', page)[1]) == numbers
    assert json.loads(re.search(r"^const about = (.+);$", page, re.MULTILINE)[1]) == about
    assert len(page) < 7e6


def test_a_class_name_cannot_end_the_pages_script(explorer, tmp_path):
    tasks = (replace(explorer.tasks[0], classes=("</script>", *explorer.tasks[0].classes[1:])), explorer.tasks[1])
    write_page(tmp_path / "explore.html", replace(explorer, tasks=tasks), "mini")
    about = (tmp_path / "explore.html").read_text(encoding="utf-8").partition("const about = ")[2].partition("\n")[0]
    assert "</script>" not in about
    assert json.loads(about.removesuffix(";"))["tasks"][0]["classes"][0] == "</script>"


def test_nothing_is_shown_where_nobody_looks(explorer, capsys):
    assert open_panel(explorer) is None
    assert capsys.readouterr().out == ""


def test_the_panel_starts_at_one_and_knows_plotly(explorer):
    panel = Panel(explorer)
    assert (panel.method, panel.coefficients) == ("linear", [1.0, 1.0])
    assert json.loads(panel.about) == packed(explorer)[0]
    assert own("explore.js") in panel._esm


def configs(*methods: str, seed: int = 0) -> list:
    return run_configs(SUITE, TASKS, methods, [seed], steps=2, warmup_steps=1)


@pytest.fixture(scope="module")
def trained(mini, tmp_path_factory):
    clip, store = tiny_clip(mini), tmp_path_factory.mktemp("store")
    gathered = explore(clip, SUITE, configs("linear"), store, IMAGES, COLOURS)
    return clip, store, gathered


def test_runs_are_trained_once_and_found_again(trained):
    clip, store, gathered = trained
    again = explore(clip, SUITE, configs("linear"), store, IMAGES, COLOURS, trains=False)
    assert again.missing == gathered.missing == ()
    assert again.answers[0].optimum == gathered.answers[0].optimum
    assert [task.name for task in gathered.tasks] == list(TASKS)
    assert set(gathered.pictures) == set(shown_pictures(gathered.answers[0]))


def test_tuned_and_optimum_are_those_of_addition(trained):
    (found,) = trained[2].answers
    mean = found.curve().loc[list(COEFFICIENTS)] / found.marks().single_task
    assert mean.mean(axis=1)[found.tuned] == pytest.approx(mean.mean(axis=1).max())

    def loss(alpha) -> float:
        losses = [F.cross_entropy(images.logits(alpha), images.labels) for images in found.images]
        return sum(losses).item()

    assert loss(found.optimum) <= loss([found.tuned] * 2) + 1e-6


def test_runs_that_are_not_there_are_answered_in_a_sentence(trained, tmp_path):
    clip, store, _ = trained
    found = explore(clip, SUITE, configs("linear", "post-hoc-linearised"), store, IMAGES, COLOURS, trains=False)
    assert [each.method for each in found.answers] == ["linear"]
    (sentence,) = found.missing
    assert found.without == ("post-hoc-linearised",) == tuple(packed(found)[0]["without"])
    assert sentence.startswith("No finished run of post-hoc-linearised, seed 0, on uci, signs with this recipe is in")
    empty = explore(clip, SUITE, configs("linear", seed=1), store, IMAGES, COLOURS, trains=False)
    assert (empty.answers, empty.pictures) == ((), {})
    about, numbers = packed(empty)
    assert about["missing"] == list(empty.missing)
    assert numbers == b""
    assert Panel(empty).method == ""
    write_page(tmp_path / "explore.html", empty, "mini")


def test_it_opens_on_the_penalised_method(explorer, answers):
    def opened(*methods: str) -> tuple[int, str]:
        several = replace(explorer, answers=tuple(replace(answers, method=method) for method in methods))
        return packed(several, 5)[0]["start"], Panel(several).method

    assert opened("linear", "post-hoc-linearised", "taujp-efficient", "taujp-strict") == (2, "taujp-efficient")
    assert opened("post-hoc-linearised", "linear") == (0, "post-hoc-linearised")


def test_a_task_has_its_colour_and_mark_in_the_panel(explorer):
    about = packed(explorer, 5)[0]
    marks = task_symbols(list(COLOURS))
    assert [(task["colour"], task["symbol"]) for task in about["tasks"]] == [(COLOURS[t], marks[t]) for t in TASKS]
    light = [
        sum(int(part) for part in re.findall(r"\d+", colour)) if "rgb" in colour else int(colour[1:3], 16)
        for _, colour in about["colourscale"]
    ]
    assert light[0] < light[-1]  # much accuracy is light


def test_methods_without_products_are_refused(mini, tmp_path):
    with pytest.raises(
        ValueError, match=r"standard vectors change the encoder itself.*accepted are .*post-hoc-linearised"
    ):
        explore(mini, SUITE, configs("linear", "standard"), tmp_path, IMAGES, COLOURS)
    assert list(tmp_path.iterdir()) == []
