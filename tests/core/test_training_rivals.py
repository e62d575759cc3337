"""Training-time rivals of the τJp penalty: their regularisers against brute force, and what they must leave alone."""

from dataclasses import replace

import pytest
import torch
from conftest import random_images, random_like, tiny_clip, tiny_for, tiny_tower
from torch.func import functional_call

import taujp_core.methods.talos as talos
from taujp_core.datasets import Split, load_split
from taujp_core.methods import Batch, Sight, find_method
from taujp_core.methods.orthoreg import orthogonality
from taujp_core.methods.talos import entries_kept, scored_names, scores
from taujp_core.models import Clip, logits, zero_shot_head
from taujp_core.parameters import leaves
from taujp_core.suites import load_suite
from taujp_core.suites.recipe import check_recipe
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune
from taujp_core.training.joint import train_jointly
from taujp_core.training.run_store import run_folder

SHORT = {"steps": 3, "batch_size": 8}


def config(method: str, **changes):
    return run_config("mini", "uci", method, tasks=["uci", "mnist"], **SHORT | changes)


def double(clip: Clip) -> Clip:
    encoder = clip.encoder.double()
    return replace(clip, encoder=encoder, theta0=dict(encoder.named_parameters()))


def test_attention_only_moves_two_weights_of_each_block(mini, tmp_path):
    moves = find_method("attention-only").moves
    ends = [name.split("resblocks.")[1] for name in mini.theta0 if moves(name)]
    assert ends == [f"{block}.attn.{one}" for block in range(6) for one in ("in_proj_weight", "out_proj.weight")]
    clip = tiny_for("attention-only", mini)
    tau = finetune(config("attention-only", weight_decay=0.5), tmp_path, clip).vector.tau
    assert {name for name, value in tau.items() if value.any()} == {name for name in tau if moves(name)}


@pytest.mark.parametrize("train", [finetune, lambda one, store, clip: train_jointly([one], store, clip)])
def test_a_model_without_attention_is_refused_in_one_sentence(train, mini, tmp_path):
    with pytest.raises(
        ValueError, match=r"^attention-only moves no tensor of tiny, which has convolution.bias, .*vision transf"
    ):
        train(config("attention-only"), tmp_path, tiny_clip(mini))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["code", "paper"])
@pytest.mark.parametrize(("method", "wide"), [("orthoreg", False), ("orthoreg-linear", True)])
def test_orthoregs_value_and_gradient_equal_brute_force(method, wide, mini, form):
    """By singular values, and by central differences along a random direction, in float64."""
    clip = double(tiny_tower(mini))
    chosen, weight = find_method(method), 0.7
    tau, direction = random_like(clip.theta0, 1, 0.3), random_like(clip.theta0, 2)
    batch = Batch(random_images(3), torch.tensor([0, 1, 2]), random_images(3)[:0])
    head = torch.randn(128, 3, dtype=torch.float64)
    matrices = [name for name, value in tau.items() if value.ndim == 2 and chosen.moves(name)]
    assert ("visual.positional_embedding" in matrices) == wide == ("visual.proj" in matrices)

    def value(along: float) -> float:
        total = 0.0
        for name in matrices:
            matrix = tau[name] + along * direction[name]
            sizes, (rows, columns) = torch.linalg.svdvals(matrix), matrix.shape
            missing = max(0, columns - rows) if form == "paper" else 0  # directions that a wide matrix does not have
            squares = ((sizes**2 - 1) ** 2).sum() + missing
            total += (squares if form == "paper" else squares.sqrt()).item()
        return total

    with_it, loss, penalty = chosen.gradient(clip, head, tau, batch, None, penalty_weight=weight, form=form)
    without, same_loss, _ = chosen.gradient(clip, head, tau, batch, None, penalty_weight=0.0, form=form)
    assert penalty.item() == pytest.approx(value(0.0), rel=1e-12)
    slope = sum(((with_it[name] - without[name]) * direction[name]).sum().item() for name in tau)
    assert slope == pytest.approx(weight * (value(1e-5) - value(-1e-5)) / 2e-5, rel=1e-6)
    assert all(torch.equal(with_it[name], without[name]) for name in tau if name not in matrices)
    base = find_method("attention-only" if method == "orthoreg" else "linear")
    plain, plain_loss, _ = base.gradient(clip, head, tau, batch)
    assert loss == same_loss == plain_loss and all(torch.equal(without[name], plain[name]) for name in plain)


def test_orthonormal_matrices_are_orthoregs_minimum_and_its_code_takes_the_smaller_side():
    tall = torch.linalg.qr(torch.randn(7, 3, dtype=torch.float64))[0]
    assert orthogonality({"tall": tall}, "code").item() < 1e-14 > orthogonality({"wide": tall.T}, "code").item()
    assert orthogonality({"tall": tall}, "paper").item() < 1e-14
    assert orthogonality({"wide": tall.T}, "paper").item() == pytest.approx(4)  # n - m
    zero = torch.zeros(3, 7, dtype=torch.float64, requires_grad=True)
    assert [orthogonality({"zero": zero}, form).item() for form in ("code", "paper")] == [3**0.5, 7]
    for form in ("code", "paper"):
        (slope,) = torch.autograd.grad(orthogonality({"zero": zero}, form), zero)
        assert not slope.any()
    exact = torch.eye(3, dtype=torch.float64, requires_grad=True)  # the root has no slope here
    (slope,) = torch.autograd.grad(orthogonality({"exact": exact}, "code"), exact)
    assert not slope.any()


def test_words_of_a_method_are_checked_and_decide_the_run(tmp_path):
    with pytest.raises(ValueError, match="unknown form 'squared': accepted are code, paper"):
        config("orthoreg", form="squared")
    assert config("orthoreg").method_parameters() == {"penalty_weight": 1.0, "form": "code"}
    suite = load_suite("mini")
    said = replace(suite, recipe={**suite.recipe, "form": "paper"})
    assert run_config(said, "uci", "orthoreg").options == {"form": "paper"}
    assert len({run_folder(tmp_path, config("orthoreg", form=form), "x") for form in ("code", "paper")}) == 2
    with pytest.raises(ValueError, match="unknown form of the recipe 7: accepted are code, paper"):
        check_recipe({**suite.recipe, "form": 7})
    with pytest.raises(ValueError, match="joint training takes a method that sees nothing but its task, not talos"):
        train_jointly([config("talos")], tmp_path, None)


def sight(clip, parameters: dict, others=(), seed=0) -> Sight:
    own = Split(random_images(9, 5), torch.arange(9) % 3)
    head = torch.randn(128, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return Sight(clip, head, own, own, others, seed, parameters)


@pytest.mark.parametrize("make", [tiny_clip, lambda mini: tiny_tower(mini)])
def test_talos_scores_are_the_squared_gradients_of_each_image(make, mini):
    """By autograd, image after image, of the logits of the classes that the same generator draws."""
    clip = double(make(mini))
    ours = sight(clip, {})
    names, images = scored_names(clip.encoder), ours.validation.images
    found = scores(clip, clip.theta0, names, ours.head, images, torch.Generator().manual_seed(1))
    theta = leaves(clip.theta0)
    answers = logits(functional_call(clip.encoder, theta, (images,)), ours.head)
    drawn = torch.multinomial(answers.detach().softmax(-1), 1, generator=torch.Generator().manual_seed(1))[:, 0]
    expected = {name: torch.zeros_like(theta[name]) for name in names}
    for row, label in enumerate(drawn):
        slopes = torch.autograd.grad(answers[row, label], [theta[n] for n in names], retain_graph=True)
        for name, slope in zip(names, slopes, strict=True):
            expected[name] += slope**2
    for name in names:
        assert torch.allclose(found[name], expected[name], rtol=1e-9, atol=1e-14), name
    unscored = set(clip.theta0) - set(names)
    assert unscored == (
        {"visual.class_embedding", "visual.positional_embedding", "visual.proj"} if clip.name == "tower" else set()
    )


def test_talos_keeps_a_tenth_in_rounds_that_lie_in_one_another(mini, monkeypatch):
    clip, seen = double(tiny_clip(mini)), []
    ordinary = talos.lowest

    def noted(found, kept, share):
        seen.append(({name: value.clone() for name, value in kept.items()}, share, ordinary(found, kept, share), found))
        return seen[-1][2]

    monkeypatch.setattr(talos, "lowest", noted)
    kept = entries_kept(sight(clip, {"density": 0.1}))
    assert [share for _, share, _, _ in seen] == pytest.approx([0.562, 0.316, 0.178, 0.1], abs=1e-3)
    total = sum(value.numel() for value in clip.theta0.values())
    rounds = [before for before, _, _, _ in seen[1:]] + [kept]
    for (before, share, threshold, found), after in zip(seen, rounds, strict=True):
        assert abs(sum(value.sum().item() for value in after.values()) - share * total) <= 1
        for name in after:
            assert not (after[name] & ~before[name]).any()
            assert torch.equal(after[name], before[name] & (found[name] <= threshold))


@pytest.mark.parametrize("started", [False, True])
def test_what_talos_masks_stays_whatever_the_weight_decay(started, mini, tmp_path):
    clip = tiny_clip(mini)
    start = TaskVector(random_like(clip.theta0, 1), clip.fingerprint, "uci", "talos") if started else None
    given = {"weight_decay": 100.0, "start": start.digest() if start else ""}
    tau = finetune(config("talos", **given), tmp_path, clip, start=start).vector.tau
    suite = load_suite("mini")
    task = suite.task("uci")
    head, held_out = zero_shot_head(clip, task.classes, task.templates), load_split(task, "validation")
    kept = entries_kept(Sight(clip, head, held_out, held_out, [], 0, {"density": 0.1}))
    for name, value in tau.items():
        before = start.tau[name] if start else torch.zeros_like(value)
        assert torch.equal(value[~kept[name]], before[~kept[name]])
        assert (value[kept[name]] != before[kept[name]]).all()


def test_talos_without_layers_to_score_is_refused(mini):
    clip = replace(tiny_clip(mini), encoder=torch.nn.Identity())
    with pytest.raises(
        ValueError, match=r"^talos finds nothing to score in tiny: a model with linear, convolution, att"
    ):
        entries_kept(sight(clip, {"density": 0.1}))
