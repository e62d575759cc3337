"""DisTaC's repair of an expert: against the loss and the optimiser written out, and where it must and must not move."""

from dataclasses import replace

import pytest
import torch
from conftest import random_images, random_like, tiny_clip
from torch.func import functional_call, jvp

from analysis.merging import distac
from analysis.merging.distac import Distillation, distilled, divergence, norm_of_others, repaired, shorter, surer
from taujp_core.models import logits
from taujp_core.parameters import added, leaves
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector

SUITE = load_suite("mini")


@pytest.fixture
def clip(mini):
    tiny = tiny_clip(mini)
    encoder = tiny.encoder.double()
    return replace(tiny, encoder=encoder, theta0=dict(encoder.named_parameters()))


@pytest.fixture
def head() -> torch.Tensor:
    return 30 * torch.randn(128, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def expert(clip, method="standard", seed=1, size=0.1) -> TaskVector:
    return TaskVector(random_like(clip.theta0, seed, size), clip.fingerprint, "uci", method)


def answers(clip, vector: TaskVector, tau, images, head) -> torch.Tensor:
    if vector.application.affine:
        features = sum(jvp(lambda theta: functional_call(clip.encoder, theta, (images,)), (clip.theta0,), (tau,)))
    else:
        features = functional_call(clip.encoder, added(clip.theta0, tau), (images,))
    return logits(features, head)


def written_out(clip, vector: TaskVector, images, head, how: Distillation) -> dict[str, torch.Tensor]:
    """All images at every step; Adam (Kingma and Ba 2015, alg. 1) and the anchor as a part of the loss."""
    teacher = (answers(clip, vector, vector.tau, images, head) / how.teacher).softmax(-1).detach()
    tau = {name: how.scale * value for name, value in vector.tau.items()}
    start, first, second = dict(tau), dict.fromkeys(tau, 0.0), dict.fromkeys(tau, 0.0)
    for step in range(1, how.steps + 1):
        variables = leaves(tau)
        student = (answers(clip, vector, variables, images, head) / how.student).softmax(-1)
        loss = how.teacher * how.student * (teacher * (teacher.log() - student.log())).sum(-1).mean()
        loss = loss + 0.1 * sum((variables[name] - start[name]).square().sum() for name in tau)
        slopes = dict(
            zip(tau, torch.autograd.grad(loss, list(variables.values()), materialize_grads=True), strict=True)
        )
        length = torch.stack([slope.square().sum() for slope in slopes.values()]).sum().sqrt()
        for name, slope in slopes.items():
            slope = slope * min(1.0, 1.0 / (length.item() + 1e-6))
            first[name] = 0.9 * first[name] + 0.1 * slope
            second[name] = 0.999 * second[name] + 0.001 * slope**2
            change = (first[name] / (1 - 0.9**step)) / ((second[name] / (1 - 0.999**step)).sqrt() + 1e-8)
            tau[name] = tau[name] - how.peak_lr * step / how.steps * change
    return tau


@pytest.mark.parametrize(("teacher", "student"), [(10.0, 10.0), (1.0, 10.0), (2.0, 0.5)])
def test_the_divergence_and_its_slope_are_those_of_the_formula(teacher, student):
    """The slope by z_s is T_t·(σ(z_s/T_s) − σ(z_t/T_t)) / n."""
    theirs, ours = torch.randn(2, 7, 5, dtype=torch.float64).mul(6)
    ours.requires_grad_()
    aims, how = (theirs / teacher).softmax(-1), Distillation(1.0, teacher, student, 1, 1.0)
    found = divergence(ours, aims, how)
    student_log = (ours / student).log_softmax(-1)
    assert found.item() == pytest.approx(teacher * student * (aims * (aims.log() - student_log)).sum().item() / 7)
    (slope,) = torch.autograd.grad(found, ours)
    assert torch.allclose(slope, teacher * (student_log.exp() - aims) / 7, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("method", ["standard", "linear"])
@pytest.mark.parametrize("how", [Distillation(0.4, 10.0, 10.0, 4, 0.02), Distillation(1.0, 1.0, 10.0, 4, 0.02)])
def test_the_student_is_that_of_the_descent_written_out(method, how, clip, head):
    vector, images = expert(clip, method), random_images(6)
    found, wanted = distilled(clip, vector, images, head, how), written_out(clip, vector, images, head, how)
    assert (found.method, found.task) == (method, "uci")
    for name, value in wanted.items():
        assert torch.allclose(found.tau[name], value, rtol=1e-6, atol=1e-9), name
        assert not torch.equal(found.tau[name], how.scale * vector.tau[name])


def test_each_step_sees_a_batch_and_all_images_come(clip, head, monkeypatch):
    seen, ordinary = [], type(expert(clip).application).gradient

    def noted(self, clip, tau, images, loss):
        seen.append(images)
        return ordinary(self, clip, tau, images, loss)

    monkeypatch.setattr(type(expert(clip).application), "gradient", noted)
    images = random_images(9)
    distilled(clip, expert(clip), images, head, shorter(1.0, 0.5, 3, 1e-3, batch_size=3))
    assert [len(batch) for batch in seen] == [3, 3, 3]
    assert {batch.numpy().tobytes() for batch in torch.cat(seen)} == {one.numpy().tobytes() for one in images}


@pytest.mark.parametrize("method", ["standard", "linear"])
def test_an_expert_that_needs_no_repair_stays_where_it_is(method, clip, head):
    """κ = 1 and equal temperatures: the student is its teacher. (One step: Adam would make steps of rounding.)"""
    vector = expert(clip, method)
    still = distilled(clip, vector, random_images(6), head, shorter(2.0, 2.0, 1, 1e-2))
    moved = distilled(clip, vector, random_images(6), head, surer(1, 1e-2))
    ways = [
        max((one.tau[name] - value).abs().max().item() for name, value in vector.tau.items()) for one in (still, moved)
    ]
    assert ways[0] < 1e-6 and ways[1] == pytest.approx(1e-2, rel=1e-3)  # Adam's first step is the learning rate


def test_a_long_vector_starts_with_the_mean_norm_of_the_others(clip, head):
    vectors = [expert(clip, seed=seed, size=size) for seed, size in enumerate((0.1, 0.7, 0.2))]
    wanted = norm_of_others(vectors, 1)
    assert wanted == pytest.approx((vectors[0].norm() + vectors[2].norm()) / 2)
    start = distilled(clip, vectors[1], random_images(2), head, shorter(vectors[1].norm(), wanted, 0, 1e-3))
    assert start.norm() == pytest.approx(wanted)


def test_what_it_is_for(clip, head):
    """A shortened expert answers more like itself than it did without distillation, an unsure one is surer."""
    vector, images = expert(clip, size=0.3), random_images(16)
    own = answers(clip, vector, vector.tau, images, head)

    def away(tau) -> float:
        return (answers(clip, vector, tau, images, head).softmax(-1) - own.softmax(-1)).abs().sum(-1).mean().item()

    how = shorter(1.0, 0.3, 60, 2e-2)
    short = {name: how.scale * value for name, value in vector.tau.items()}
    assert away(distilled(clip, vector, images, head, how).tau) < 0.8 * away(short)
    faint = head / 20
    before, after = (
        answers(clip, vector, tau, images, faint).softmax(-1).amax(-1).mean()
        for tau in (vector.tau, distilled(clip, vector, images, faint, surer(60, 2e-2)).tau)
    )
    assert after > before + 0.2


def test_no_images_and_what_is_not_finite_are_answered_in_a_sentence(clip, head):
    with pytest.raises(ValueError, match=r"^the repair of uci takes at least one image$"):
        distilled(clip, expert(clip), random_images(0), head, surer(1, 1e-3))
    broken = expert(clip)
    broken.tau["linear.weight"][0] = float("nan")
    with pytest.raises(FloatingPointError, match=r"^the repaired standard vector of uci holds NaN or infinity$"):
        distilled(clip, broken, random_images(2), head, surer(1, 1e-3))


def test_a_repair_is_made_once_and_another_one_is_another(mini, tmp_path, monkeypatch):
    clip = tiny_clip(mini)
    vector, how = expert(clip, "linear-smoothed"), surer(2, 1e-3, batch_size=4)
    made, ordinary = [], distac.distilled
    monkeypatch.setattr(distac, "distilled", lambda *given: made.append(len(given[2])) or ordinary(*given))
    first, again = (repaired(clip, SUITE, vector, 8, how, tmp_path) for _ in range(2))
    assert made == [8] and first.digest() == again.digest() != vector.digest()
    assert (first.method, first.task) == ("linear-smoothed", "uci")
    others = [
        (vector, 6, how),
        (expert(clip, "linear-smoothed", seed=2), 8, how),
        (replace(vector, method="standard"), 8, how),
        *((vector, 8, replace(how, **change)) for change in ({"steps": 3}, {"scale": 0.5}, {"peak_lr": 2e-3})),
        *((vector, 8, replace(how, **change)) for change in ({"teacher": 2.0}, {"student": 2.0}, {"batch_size": 3})),
    ]
    for one, images, other in others:
        repaired(clip, SUITE, one, images, other, tmp_path)
    assert len(made) == 1 + len(others) == len(list(tmp_path.glob("*.safetensors")))
    monkeypatch.setattr(distac, "VERSION", 2)
    repaired(clip, SUITE, vector, 8, how, tmp_path)
    assert len(made) == 2 + len(others)
