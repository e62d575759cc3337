"""Applications: each is one file; a third one needs nothing else to be trained with, evaluated, added and merged."""

import importlib
import re
import sys
from dataclasses import replace
from pathlib import Path

import foreign
import pytest
import torch
import torch.nn.functional as F
from conftest import random_images, random_like, tiny_clip
from torch.func import functional_call, jvp

import taujp_core
from analysis.addition.measure import measure_addition, summary_table
from analysis.merging.kept_products import KeptProducts
from analysis.merging.matching import Matching
from analysis.merging.merge import merge
from analysis.merging.output import merge_to
from analysis.merging.rivals import Evidence, find_rival
from analysis.negation.measure import measure_negation
from analysis.pairs import APPLICATIONS as COMPARED
from analysis.products import edited_source
from analysis.trainings import run_configs, train
from taujp_core import methods
from taujp_core.applications import APPLICATIONS, find_application, register
from taujp_core.datasets import Split, load_split
from taujp_core.evaluation import accuracy
from taujp_core.models import zero_shot_head
from taujp_core.products.forward_mode import forward_mode
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector, edited
from taujp_core.training.config import peak_lr
from taujp_core.training.joint import train_jointly

SUITE = load_suite("mini")
# What somebody would write: f(x; τ) = ½·f(x; θ₀ + τ) + ½·(f₀ + Jτ), and the method that trains for it.
MEAN = '''
"""What if the encoder and its linearisation answered together?"""

from dataclasses import dataclass

import torch

from taujp_core.applications import Application, encoder, linearised
from taujp_core.methods import Method, of_the_task
from taujp_core.products.jacobian import transpose_product

HALVES = encoder.APPLICATION, linearised.APPLICATION


@dataclass(frozen=True)
class Both:
    sources: list

    @property
    def labels(self):
        return self.sources[0].labels

    def edited_features(self, coefficients):
        return sum(source.edited_features(coefficients) for source in self.sources) / 2


class Mean(Application):
    name = "mean"
    plain_method = "plain-mean"

    def features(self, clip, tau, images):
        return sum(half.features(clip, tau, images) for half in HALVES) / 2

    def gradient(self, clip, tau, images, loss):
        features = self.features(clip, tau, images).requires_grad_()
        objective, details = loss(features)
        (cotangent,) = torch.autograd.grad(objective, features)
        pulled = [transpose_product(clip.encoder, half.point(clip, tau), cotangent / 2, images) for half in HALVES]
        return {name: sum(part[name] for part in pulled) for name in tau}, details

    def source(self, clip, taus, split):
        return Both([half.source(clip, taus, split) for half in HALVES])

    def point(self, clip, tau):
        return encoder.APPLICATION.point(clip, tau)


APPLICATION = Mean()
METHOD = Method("plain-mean", APPLICATION, of_the_task(APPLICATION))
'''


def test_each_application_is_a_file():
    folder = Path(taujp_core.__file__).parent / "applications"
    files = {path.stem.replace("_", "-") for path in folder.glob("*.py")}
    assert files - {"--init--", "application"} == set(APPLICATIONS)
    assert set(COMPARED) <= set(APPLICATIONS)


def test_nobody_asks_for_an_applications_name():
    """It stands in tables, and in their figures' titles and colours; elsewhere the object answers."""
    root = Path(taujp_core.__file__).parents[1]
    name = f'"({"|".join(APPLICATIONS)})"'
    question = re.compile(rf"(==|!=|\bin\b) *[\[(]?{name}|{name} *(==|!=|in\b|:)|non.?linear\b")
    found = [
        f"{path.name}: {line.strip()}"
        for folder in ("taujp_core", "analysis")
        for path in (root / folder).rglob("*.py")
        for line in path.read_text().splitlines()
        if question.search(line) and path.name != "figures.py"
    ]
    assert found == []


@pytest.fixture
def mean(tmp_path, monkeypatch):
    """The third application, from a module of one's own."""
    (tmp_path / "mean_of_both.py").write_text(MEAN)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("mean_of_both")
    register(module.APPLICATION)
    methods.register(module.METHOD)
    yield module.APPLICATION
    del APPLICATIONS["mean"], methods.METHODS["plain-mean"], sys.modules["mean_of_both"]


def suite_with_a_rate():
    return replace(SUITE, recipe={**SUITE.recipe, "peak_lr": {**SUITE.recipe["peak_lr"], "plain-mean": 1e-3}})


@pytest.mark.parametrize("name", ["encoder", "linearised", "linearised-normalised", "mean"])
def test_the_gradient_is_that_of_the_features(name, mean, mini64):
    """Along three directions, against differences of the loss at the application's own features."""
    application, tau, images = find_application(name), random_like(mini64.theta0, 1, 0.02), random_images(5)
    head = zero_shot_head(mini64, SUITE.task("uci").classes, SUITE.task("uci").templates)

    def loss(features):
        value = (features @ head.to(features)).logsumexp(-1).mean()
        return value, value.detach()

    gradient, value = application.gradient(mini64, tau, images, loss)
    assert value == pytest.approx(loss(application.features(mini64, tau, images))[1].item(), rel=1e-10)
    for seed in range(3):
        direction, step = random_like(mini64.theta0, 10 + seed, 0.02), 1e-4
        ends = [
            loss(application.features(mini64, {n: v + sign * step * direction[n] for n, v in tau.items()}, images))[1]
            for sign in (1, -1)
        ]
        slope = sum((gradient[n] * direction[n]).sum() for n in tau)
        assert slope.item() == pytest.approx(((ends[0] - ends[1]) / (2 * step)).item(), rel=1e-5)


@pytest.mark.parametrize("name", ["encoder", "linearised", "linearised-normalised", "mean"])
def test_a_source_answers_what_the_features_are(name, mean, mini64):
    application, images = find_application(name), random_images(6)
    vectors = [
        TaskVector(random_like(mini64.theta0, k, 0.02), mini64.fingerprint, f"t{k}", application.plain_method)
        for k in (1, 2)
    ]
    source = edited_source(mini64, vectors, Split(images, torch.arange(6)))
    assert source.labels.tolist() == list(range(6))
    for coefficients in ([0.0, 0.0], [1.0, 0.0], [0.7, -0.4]):
        zeros = {n: torch.zeros_like(v) for n, v in mini64.theta0.items()}
        expected = application.features(mini64, edited(zeros, vectors, coefficients), images)
        assert torch.allclose(source.edited_features(coefficients), expected, rtol=1e-9, atol=1e-11)
    if application.affine:
        half = [source.edited_features([alpha, alpha]) for alpha in (0.0, 0.5, 1.0)]
        assert torch.allclose(2 * half[1], half[0] + half[2], rtol=1e-9, atol=1e-11)
    if application.in_weights:
        theta = edited(mini64.theta0, vectors[:1], [1.0])
        assert all(torch.equal(theta[n], v) for n, v in application.point(mini64, vectors[0].tau).items())


def test_normalised_features_are_linearised(mini64):
    """Against PyTorch's jvp of f/‖f‖ itself."""
    tau, images = random_like(mini64.theta0, 1, 0.02), random_images(5)
    normalised = lambda theta: F.normalize(functional_call(mini64.encoder, theta, (images,)), dim=-1)  # noqa: E731
    with forward_mode():
        unit, product = jvp(normalised, (mini64.theta0,), (tau,))
    found = find_application("linearised-normalised").features(mini64, tau, images)
    assert torch.allclose(found, unit + product, rtol=1e-9, atol=1e-11)
    assert not torch.allclose(product, find_application("linearised").features(mini64, tau, images) - unit, atol=1e-3)


@pytest.mark.parametrize("most", [0, 3, None])
def test_products_of_a_merge_are_those_of_the_application(most, mini64):
    application = find_application("linearised-normalised")
    v, images = random_like(mini64.theta0, 1, 0.02), random_images(5)
    products = KeptProducts(mini64.encoder, mini64.theta0, images, most, application.from_encoder)
    zero = {name: torch.zeros_like(value) for name, value in v.items()}
    moved = application.features(mini64, v, images) - application.features(mini64, zero, images)
    assert torch.allclose(products.forward(v), moved, rtol=1e-9, atol=1e-11)
    u = torch.randn(moved.shape, dtype=moved.dtype, generator=torch.Generator().manual_seed(0))
    transposed = products.transpose(u)
    assert sum((transposed[n] * v[n]).sum() for n in v).item() == pytest.approx((u * moved).sum().item(), rel=1e-9)


def test_vectors_of_normalised_features_merge():
    clip, application = foreign.tiny_clip(), find_application("linearised-normalised")
    images = {f"t{k}": random_images(12, k)[..., :8, :8] for k in (1, 2)}
    vectors = [TaskVector(random_like(clip.theta0, k, 0.05), clip.fingerprint, f"t{k}", "tak") for k in (1, 2)]
    found = merge(vectors, clip, images, rounds=2)
    assert found.distances.merged.sum() < 0.9 * found.distances["sum"].sum()
    for row, vector, own in zip(found.distances.itertuples(), vectors, images.values(), strict=True):
        held = own[[7]]  # of twelve images the eighth
        away = application.features(clip, found.vector.tau, held) - application.features(clip, vector.tau, held)
        assert row.merged == pytest.approx(away.square().sum(-1).mean().item(), rel=1e-3, abs=1e-6)


def test_a_rate_that_is_not_said_is_that_of_the_nearest_method():
    rates = {"standard": 1.0, "linear": 2.0}
    assert [peak_lr(rates, methods.find_method(name)) for name in ("tak", "linear-normalised", "talos")] == [
        2.0,
        2.0,
        1.0,
    ]
    assert peak_lr(rates | {"linear-normalised": 3.0}, methods.find_method("tak")) == 3.0
    with pytest.raises(ValueError, match="peak_lr of the recipe is not said for tak, only for standard"):
        peak_lr({"standard": 1.0}, methods.find_method("tak"))


def test_a_third_application_trains_evaluates_and_adds(mean, mini, tmp_path):
    clip, suite, few = tiny_clip(mini), suite_with_a_rate(), {"steps": 4, "batch_size": 8}
    runs = train(clip, run_configs(suite, ["uci", "signs"], ["plain-mean"], **few), tmp_path)
    assert all(run.config.peak_lr == 1e-3 and run.vector.application is mean for run in runs)
    vectors = [run.vector for run in runs]
    head = zero_shot_head(clip, suite.task("uci").classes, suite.task("uci").templates)
    images, labels = load_split(suite.task("uci"), "validation").tensors
    found = accuracy(mean.features(clip, vectors[0].tau, images), head, labels)
    assert runs[0].record["metrics"]["validation_accuracy"] == found

    addition = measure_addition(clip, suite, runs)
    assert addition.per_task.empty  # no gradient by the coefficients, for it is not affine
    assert len(summary_table(addition)) == 1
    curve = addition.curves.query("task == 'uci' and split == 'validation'").set_index("coefficient").accuracy
    for alpha in (0.0, 0.35, 1.0):
        tau = {name: alpha * sum(vector.tau[name] for vector in vectors) for name in clip.theta0}
        # Predictions of equal logits may go either way: one image.
        expected = accuracy(mean.features(clip, tau, images), head, labels)
        assert curve[alpha] == pytest.approx(expected, abs=1.01 / len(labels))
    assert len(measure_negation(clip, suite, runs, images=5).test) == 6
    joint = train_jointly([run.config for run in runs], tmp_path, clip)
    assert joint.method == "plain-mean" and not joint.is_zero()


@pytest.mark.parametrize("name", ["encoder", "linearised", "linearised-normalised", "mean"])
def test_residuals_of_a_merge_are_what_the_features_lack(name, mean):
    clip, application = foreign.tiny_clip(), find_application(name)
    images = [random_images(4, k)[..., :8, :8] for k in (1, 2)]
    experts, tau = [random_like(clip.theta0, k, 0.05) for k in (1, 2)], random_like(clip.theta0, 3, 0.05)
    found = Matching(clip, application, experts, images).residuals(tau).residuals
    pairs = zip(experts, images, strict=True)
    lacking = [application.features(clip, e, own) - application.features(clip, tau, own) for e, own in pairs]
    assert torch.allclose(found, torch.cat(lacking), atol=1e-5)


def test_a_third_application_merges_and_is_no_checkpoint(mean, tmp_path):
    clip = foreign.tiny_clip()
    images = {f"t{k}": random_images(12, k)[..., :8, :8] for k in (1, 2)}
    vectors = [TaskVector(random_like(clip.theta0, k, 0.05), clip.fingerprint, f"t{k}", "plain-mean") for k in (1, 2)]
    found = merge_to(tmp_path / "merged.safetensors", vectors, clip, images, rounds=2)
    assert found.distances.merged.sum() < found.distances["sum"].sum()
    held = [images[vector.task][[7]] for vector in vectors]  # of twelve images the eighth
    for row, vector, own in zip(found.distances.itertuples(), vectors, held, strict=True):
        away = mean.features(clip, found.vector.tau, own) - mean.features(clip, vector.tau, own)
        assert row.merged == pytest.approx(away.square().sum(-1).mean().item(), rel=1e-4)
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        merge_to(tmp_path / "folder", vectors, clip, images)
    heads = [torch.randn(6, 3, generator=torch.Generator().manual_seed(0))] * 2
    evidence = Evidence(clip, mean, list(images.values()), heads)
    with pytest.raises(ValueError, match="FeatCal is defined for the encoder, not for mean vectors"):
        find_rival("FeatCal").merged([vector.tau for vector in vectors], evidence)
    with pytest.raises(ValueError, match="there is an application mean already"):
        register(mean)
    with pytest.raises(
        ValueError,
        match="unknown application 'sideways': accepted are encoder, linearised, linearised-normalised, mean",
    ):
        find_application("sideways")
