"""Invariant vectors: what is coloured how often, controls that are what they say, and a conclusion that can go either way."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import random_like, tiny_clip

from analysis.invariant_vectors.coloured import NOISE, coloured_suite, colours, drawn, tinted
from analysis.invariant_vectors.conclude import answers_table, conclusion, ratios_table
from analysis.invariant_vectors.figures import accuracy_of_kinds, tau_jp_of_kinds
from analysis.invariant_vectors.measure import Measured, crossed, measure, pictures_of
from analysis.invariant_vectors.trained import plan, train
from taujp_core.applications import find_application
from taujp_core.datasets import load_split
from taujp_core.evaluation import accuracy, features
from taujp_core.models import zero_shot_head
from taujp_core.products.jacobian import jacobian_products
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector, edited

SUITE = load_suite("mini")
METHODS = ["irmv1", "irmv1-linear"]
AGREEMENTS = [0.9, 0.8]


def test_colours_and_noise_are_as_frequent_as_they_are_said_to_be():
    """Binomial counts of 20 000 images: five standard deviations."""
    labels = torch.arange(20_000) % 10
    for agreement, shift in ((0.8, 0), (0.9, 1)):
        noisy, shown = drawn(labels, 10, agreement, (0, 0), shift)
        right, told = (noisy == labels).double().mean().item(), (shown == (noisy + shift) % 10).double().mean().item()
        assert right == pytest.approx(1 - NOISE, abs=5 * np.sqrt(NOISE * (1 - NOISE) / 20_000))
        assert told == pytest.approx(agreement, abs=5 * np.sqrt(agreement * (1 - agreement) / 20_000))
        assert len(torch.unique(noisy[noisy != labels])) == 10
    assert all(
        torch.equal(*pair) for pair in zip(drawn(labels, 10, 0.8, (0, 0)), drawn(labels, 10, 0.8, (0, 0)), strict=True)
    )


def test_a_tint_is_the_colour_of_its_class_and_black_stays_black():
    images = torch.zeros(3, 3, 2, 2, dtype=torch.uint8)
    images[:, :, 0, 0] = 255
    found = tinted(images, torch.tensor([0, 4, 9]), 10)
    assert torch.equal(found[:, :, 0, 0], (255 * colours(10)[[0, 4, 9]]).round().to(torch.uint8))
    assert not found[:, :, 1].any()
    assert len({tuple(colour.tolist()) for colour in colours(10)}) == 10


def test_environments_differ_in_colour_and_their_controls_in_nothing_else():
    suite = coloured_suite(SUITE, ["mnist"], AGREEMENTS)
    parts = {
        name: suite.task(f"mnist-{name}").source.parts["train"]
        for name in ("0", "1", "grey-0", "shuffled-0", "shuffled-1", "pooled")
    }
    images = load_split(SUITE.task("mnist"), "train").tensors[0]
    assert torch.equal(torch.as_tensor(parts["grey-0"][0]), images[: len(parts["0"][0])])
    assert torch.equal(torch.as_tensor(parts["grey-0"][1]), torch.as_tensor(parts["0"][1]))

    def counted(*names: str) -> list[bytes]:
        return sorted(np.asarray(image).tobytes() for name in names for image in parts[name][0])

    assert counted("0", "1") == counted("shuffled-0", "shuffled-1") == counted("pooled")
    assert counted("0") != counted("shuffled-0")
    for wrong in ([0.9], [0.9, 1.2]):
        with pytest.raises(ValueError, match="agreements must be at least two shares from 0 to 1"):
            coloured_suite(SUITE, ["mnist"], wrong)


@pytest.fixture(scope="module")
def made(mini, tmp_path_factory):
    """Two coloured trainings of each way, of a step or two, and what is measured of them."""
    clip, store = tiny_clip(mini), tmp_path_factory.mktemp("store")
    suite = coloured_suite(SUITE, ["mnist"], AGREEMENTS)
    short = {"steps": 2, "batch_size": 4, "penalty_batch_size": 4, "warmup_steps": 0}
    configs = plan(suite, ["mnist"], ["uci"], METHODS, [0], 2, **short)
    trained = train(clip, configs, store)
    ways = {"encoder": "standard", "linearised": "linear"}
    partners = {
        (way, 0): [TaskVector(random_like(clip.theta0, 5, 0.02), clip.fingerprint, "uci", method)]
        for way, method in ways.items()
    }
    return clip, trained, partners, measure(clip, SUITE, trained, partners, AGREEMENTS, 30)


def test_every_control_is_trained(made):
    _, trained, _, measured = made
    kinds = [one.kind for one in trained]
    assert kinds == [
        "erm", "oracle, encoder", "erm-linear", "oracle, linearised", "irmv1", "irmv1-linear", "irmv1, shuffled",
        "irmv1-linear, shuffled", "erm-linear + τJp",
    ]  # fmt: skip
    assert len(next(one for one in trained if one.kind == "erm").stopped) == 1
    assert len(measured.vectors) == len(kinds) + 4


def test_answers_and_effects_are_those_of_the_edited_model(made):
    clip, trained, partners, measured = made
    head = zero_shot_head(clip, SUITE.task("mnist").classes, SUITE.task("mnist").templates)
    for kind, way in (("irmv1", "encoder"), ("irmv1-linear", "linearised")):
        vector, partner = next(one for one in trained if one.kind == kind).vector, partners[way, 0][0]
        images, labels = pictures_of(SUITE, "mnist", "test", 30, AGREEMENTS)["flipped"].tensors
        both = {name: vector.tau[name] + partner.tau[name] for name in vector.tau}
        expected = accuracy(find_application(way).features(clip, both, images), head, labels)
        answers = measured.answers.query("kind == @kind and set == 'flipped' and model == 'merged'")
        assert answers.accuracy.item() == pytest.approx(expected, abs=1 / 30 + 1e-9)
        pictures = crossed(SUITE, "uci", "validation", 30)["coloured"].tensors[0]
        _, products = jacobian_products(clip.encoder, clip.theta0, [vector.tau], pictures)
        effects = measured.effects.query("kind == @kind and pictures == 'coloured'")
        assert effects.tau_jp.item() == pytest.approx(products[0].norm(dim=-1).mean().item(), rel=1e-4)


def test_erm_is_brought_to_the_norm_of_the_invariant_vector(made):
    vectors = made[3].vectors.set_index("kind")
    for method, erm in (("irmv1", "erm"), ("irmv1-linear", "erm-linear")):
        same = vectors.loc[f"erm at the norm of {method}"]
        assert same.norm == pytest.approx(vectors.norm[method], rel=1e-6)
        assert same.coefficient == pytest.approx(vectors.norm[method] / vectors.norm[erm], rel=1e-6)


def test_the_flipped_colour_is_another_class(made):
    clip = made[0]
    images, labels = pictures_of(SUITE, "mnist", "test", 200, AGREEMENTS)["flipped"].tensors
    brightest = images.flatten(2).max(-1).values.double()
    of_class = (
        (brightest[:, None] / brightest.max(-1).values[:, None, None] - colours(10).double()[None])
        .norm(dim=-1)
        .argmin(-1)
    )
    assert (of_class == (labels + 1) % 10).double().mean() > 0.8
    assert torch.isfinite(features(clip.encoder, edited(clip.theta0, [], []), images)).all()


def planted(interaction: float, shrink: float) -> Measured:
    """Effects of ERM and an invariant method: `shrink` everywhere, and exp(`interaction`) on coloured pictures."""
    rows, random = [], np.random.default_rng(0)
    for seed in range(4):
        for other in ("fashion", "uci"):
            for pictures, size in (("grey", 2.0), ("coloured", 3.0)):
                base = size * np.exp(random.normal(0, 0.3))
                ours = base * shrink * np.exp(random.normal(0, 0.01) + interaction * (pictures == "coloured"))
                at_norm = {
                    "irmv1": ours,
                    "erm": base,
                    "erm at the norm of irmv1": base * shrink,
                    "erm stopped at the accuracy of irmv1": base,
                }
                for kind, value in at_norm.items():
                    rows.append({"kind": kind, "application": "encoder", "task": "mnist", "seed": seed, "other": other,
                                 "pictures": pictures, "tau_jp": value, "loss_change": 0.1, "accuracy_loss": 0.0, "changed": 0.0})  # fmt: skip
    effects = pd.DataFrame(rows)
    vectors = (
        effects[["kind", "application", "task", "seed"]]
        .drop_duplicates()
        .assign(norm=1.0, coefficient=1.0, seen_accuracy=0.7)
    )
    one = {"accuracy": 0.6, "loss": 1.0, "ece": 0.1, "ace": 0.05}
    answers = pd.DataFrame(
        {**row, "set": name, "model": model, **one}
        for row in vectors[["kind", "application", "task", "seed"]].to_dict("records")
        for name in ("seen", "flipped", "grey")
        for model in ("alone", "merged")
    )
    return Measured(answers, effects, vectors)


@pytest.mark.parametrize(
    ("interaction", "last"),
    [(-0.3, "For 1 of 1 methods invariance lowers"), (0.0, "For none of 1 methods"), (0.3, "For none of 1 methods")],
)
def test_the_conclusion_is_that_of_the_interaction(interaction, last):
    measured = planted(interaction, 0.5)
    ratios = ratios_table(measured)
    (row,) = ratios.to_dict("records")
    assert row["interaction"] == pytest.approx(interaction, abs=0.03)
    assert row["raw_grey"] == pytest.approx(0.5, rel=0.03)
    assert row["norm_grey"] == pytest.approx(1.0, rel=0.03)
    assert last in conclusion(ratios, answers_table(measured)).splitlines()[-1]
    one = Measured(measured.answers, measured.effects.query("seed == 0 and other == 'uci'"), measured.vectors)
    assert conclusion(ratios_table(one), answers_table(one)).endswith("so nothing is concluded.")


def test_figures_have_a_row_for_every_kind(made):
    measured = made[3]
    for figure in (tau_jp_of_kinds(measured), accuracy_of_kinds(answers_table(measured))):
        assert {kind for trace in figure.data for kind in trace.y} == set(measured.vectors.kind)
        assert all(axis.title.text for axis in figure.select_xaxes() if axis.showticklabels)
        assert all(axis.title.text == "vector" for axis in figure.select_yaxes())
