"""Training-time rivals of the τJp penalty: their regularisers against brute force, and what they must leave alone."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import random_images, random_like, tiny_clip, tiny_for, tiny_tower
from torch.func import functional_call

import taujp_core.methods.tak as tak
import taujp_core.methods.talos as talos
from taujp_core.datasets import Split, load_split
from taujp_core.methods import Batch, Sight, find_method
from taujp_core.methods.orthoreg import orthogonality
from taujp_core.methods.talos import entries_kept, scored_names, scores
from taujp_core.models import Clip, logits, zero_shot_head
from taujp_core.parameters import leaves, zeros_like
from taujp_core.products.jacobian import jacobian_products
from taujp_core.products.kronecker import Factors, kronecker_factors, watched
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
    return Sight(clip, head, own, own, others, seed, parameters, 10)


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
    kept = entries_kept(Sight(clip, head, held_out, held_out, [], 0, {"density": 0.1}, 3))
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


FEATURES = {"normalised": F.normalize, "raw": lambda f: f}


def tower(mini, batch_first: bool = True) -> Clip:
    """In float64, in one layout or the other, with LayerNorms that scale."""
    clip = tiny_tower(mini)
    if not batch_first:
        clip.encoder.visual.transformer.batch_first = False
        for block in clip.encoder.visual.transformer.resblocks:
            block.attn.batch_first = False
    clip = double(clip)
    return replace(clip, theta0={n: v + 0.1 * random_like(clip.theta0, 9, 1.0)[n] for n, v in clip.theta0.items()})


def factors_of(clip: Clip, images, features: str, draws: int = 0, seed: int = 0, **more) -> Factors:
    generator = torch.Generator().manual_seed(seed)
    return kronecker_factors(clip.encoder, clip.theta0, images, FEATURES[features], draws, generator, **more)


def mean_square(clip: Clip, tau, images, features: str) -> float:
    """Mean over images of ‖J τ‖², of the normalised features by the derivative of f/‖f‖."""
    f, (products,) = jacobian_products(clip.encoder, clip.theta0, [tau], images)
    if features == "normalised":
        unit, size = F.normalize(f), f.norm(dim=-1, keepdim=True)
        products = (products - unit * (unit * products).sum(-1, keepdim=True)) / size
    return products.square().sum(-1).mean().item()


def only(clip: Clip, *names: str) -> dict[str, torch.Tensor]:
    return zeros_like(clip.theta0) | {name: random_like(clip.theta0, 4)[name] for name in names}


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("count", [1, 5, 40])
def test_layer_norms_and_the_class_token_have_exact_blocks(count, batch_first, features, mini):
    """Whatever the number of images, five tokens each, and in whatever layout."""
    clip, images = tower(mini, batch_first), random_images(count, 2)
    found = factors_of(clip, images, features)
    assert set(found.vectors) == {name for name in clip.theta0 if "ln_" in name} | {"visual.class_embedding"}
    for name, gram in found.vectors.items():
        tau = only(clip, name)
        assert (tau[name] @ gram @ tau[name] / count).item() == pytest.approx(
            mean_square(clip, tau, images, features), rel=1e-12, abs=1e-25
        ), name


@pytest.mark.parametrize(("features", "count"), [("raw", 5), ("normalised", 1)])
def test_the_projection_has_an_exact_block_where_all_images_have_one_gradient(features, count, mini):
    clip, images = tower(mini), random_images(count, 2)
    tau = only(clip, "visual.proj")
    found = tak.together([factors_of(clip, images, features)], "authors")
    value, _ = tak.penalty_and_slope(tau, found, 10.0, 1.0)
    assert value.item() == pytest.approx(mean_square(clip, tau, images, features), rel=1e-12)


def test_a_linear_layer_on_one_token_has_an_exact_block_bias_included(mini):
    clip, images = double(tiny_clip(mini)), random_images(6, 2)
    tau = only(clip, "linear.weight", "linear.bias")
    found = tak.together([factors_of(clip, images, "raw")], "authors")
    assert found.biases == {"linear.weight": "linear.bias"}
    value, _ = tak.penalty_and_slope(tau, found, 10.0, 1.0)
    assert value.item() == pytest.approx(mean_square(clip, tau, images, "raw"), rel=1e-12)


@pytest.mark.parametrize("batch_first", [True, False])
def test_factors_of_matrices_are_means_over_tokens_of_what_goes_in_and_what_comes_back(batch_first, mini):
    """Module hooks see an MLP's layers; and for every matrix, fused attention too, Σ γãᵀ is autograd's gradient."""
    clip, images, tokens = tower(mini, batch_first), random_images(6, 2), 5
    found, seen = factors_of(clip, images, "raw"), {}
    layer = clip.encoder.visual.transformer.resblocks[0].mlp.c_fc
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.update(x=inputs[0], y=output))
    theta = leaves(clip.theta0)
    f = functional_call(clip.encoder, theta, (images,))
    hook.remove()
    x = F.pad(seen["x"].detach().reshape(-1, 16), (0, 1), value=1.0)
    gammas = [torch.autograd.grad(f[:, k].sum(), seen["y"], retain_graph=True)[0].reshape(-1, 32) for k in range(128)]
    a, b = found.matrices["visual.transformer.resblocks.0.mlp.c_fc.weight"]
    assert torch.allclose(a, x.T @ x / tokens, rtol=1e-10, atol=1e-12)
    assert torch.allclose(b, sum(g.T @ g for g in gammas) / tokens, rtol=1e-10, atol=1e-12)
    once = factors_of(clip, images, "raw", mean_over_tokens=False)
    for name, (a, b) in found.matrices.items():
        same, larger = once.matrices[name]
        assert torch.equal(same, a)
        assert torch.allclose(larger, b * (1 if name in found.projections else tokens), rtol=1e-10, atol=1e-14)

    layers, g = watched(clip.encoder, clip.theta0, images)
    used = [layer for layer in layers if layer.kind in ("matrix", "projection")]
    cotangent = torch.randn(g.shape, dtype=g.dtype, generator=torch.Generator().manual_seed(0))
    back = torch.autograd.grad(g, [layer.output for layer in used], cotangent)
    exact = dict(zip(theta, torch.autograd.grad(f, list(theta.values()), cotangent), strict=True))
    assert {layer.weight for layer in used} == {n for n in theta if theta[n].ndim == 2 and "positional" not in n}
    for layer, slope in zip(used, back, strict=True):
        outer = slope.reshape(-1, slope.shape[-1]).T @ layer.input.reshape(-1, layer.input.shape[-1])
        whole = exact[layer.weight].T if layer.kind == "projection" else exact[layer.weight]
        assert torch.allclose(outer, whole, rtol=1e-9, atol=1e-12), layer.weight


def test_random_draws_approach_the_exact_factors(mini):
    clip, images = tower(mini), random_images(4, 2)
    exact = factors_of(clip, images, "normalised")

    def error(draws: int) -> float:
        found = factors_of(clip, images, "normalised", draws)
        return max(((found.matrices[n][1] - b).norm() / b.norm()).item() for n, (_, b) in exact.matrices.items())

    few, many = error(5), error(500)  # as 1 to a root of 100
    assert many < 0.2 * few and many < 0.4


def options(**changes) -> dict:
    return {name: one.default for name, one in tak.METHOD.parameters.items()} | changes


@pytest.mark.parametrize("aggregate", ["authors", "mean"])
def test_taks_penalty_and_gradient_equal_brute_force(aggregate, mini):
    """As quadratic forms of whole Kronecker products, their gradient by autograd, over data sets of different size."""
    clip = tower(mini)
    others = [Split(random_images(count, count), torch.zeros(count, dtype=torch.long)) for count in (3, 6)]
    sets = [factors_of(clip, split.images, "normalised") for split in others]
    ours = sight(clip, options(draws=0, aggregate=aggregate), others)
    prepared, tau = tak.curvature(ours), random_like(clip.theta0, 1, 0.1)
    moved = leaves(tau)
    total = torch.zeros((), dtype=torch.float64)
    for name in sets[0].matrices:
        matrix = moved[name].T if name == "visual.proj" else moved[name]
        if bias := sets[0].biases[name]:
            matrix = torch.cat([matrix, moved[bias][:, None]], 1)
        a = (sets[0].matrices[name][0] + sets[1].matrices[name][0]) / 9
        b = sets[0].matrices[name][1] / 3 + sets[1].matrices[name][1] / 6
        flat = matrix.T.flatten()
        form = flat @ torch.kron(a, b / (2 if aggregate == "mean" else 1)) @ flat
        total = total + (0.1 if name == "visual.proj" else 1.0) * form
    for name in sets[0].vectors:
        gram = (sets[0].vectors[name] + sets[1].vectors[name]) / 9
        total = total + 10.0 * moved[name] @ gram @ moved[name]
    slopes = torch.autograd.grad(total, list(moved.values()), materialize_grads=True)
    batch = Batch(random_images(3), torch.tensor([0, 1, 2]), random_images(3)[:0])
    plain, plain_loss, _ = find_method("linear-normalised").gradient(clip, ours.head, tau, batch)
    found, loss, penalty = tak.METHOD.gradient(clip, ours.head, tau, batch, prepared, **ours.parameters)
    assert penalty.item() == pytest.approx(total.item(), rel=1e-12) and loss == plain_loss
    for name, slope in zip(moved, slopes, strict=True):
        assert torch.allclose(found[name], plain[name] + 500.0 * slope, rtol=1e-9, atol=1e-11), name
    still, no_slopes = tak.penalty_and_slope(zeros_like(tau), prepared, 10.0, 0.1)
    assert still == 0 and not any(slope.any() for slope in no_slopes.values())


def test_equal_data_sets_count_once_but_for_the_authors_sum_over_matrices(mini):
    clip = tower(mini)
    one = factors_of(clip, random_images(4, 2), "normalised")
    single, mean, theirs = (tak.together([one] * n, rule) for n, rule in ((1, "authors"), (3, "mean"), (3, "authors")))
    for name, (a, b) in single.matrices.items():
        assert torch.allclose(mean.matrices[name][0], a) and torch.allclose(mean.matrices[name][1], b)
        assert torch.allclose(theirs.matrices[name][0], a) and torch.allclose(theirs.matrices[name][1], 3 * b)
    for name, gram in single.vectors.items():
        assert torch.allclose(mean.vectors[name], gram) and torch.allclose(theirs.vectors[name], gram)


def test_tak_sees_other_images_before_the_training_alone_and_they_are_its_identity(mini, tmp_path):
    assert config("tak").penalty_tasks == ("mnist", "shapes")
    assert config("tak").penalty_batch_size == 0 and config("tak").penalty_weight == 500.0
    known = {
        run_folder(tmp_path, run_config("mini", "uci", "tak", tasks=tasks), "x") for tasks in (["mnist"], ["signs"])
    }
    assert len(known) == 2
    with pytest.raises(ValueError, match="unknown aggregate 'sum': accepted are authors, mean"):
        config("tak", aggregate="sum")
    clip = tiny_tower(mini)
    tau = finetune(config("tak"), tmp_path, clip).vector.tau
    assert {name for name, value in tau.items() if not value.any()} == {
        "visual.conv1.weight",
        "visual.positional_embedding",
    }


def test_a_model_without_factors_for_what_tak_moves_is_refused_in_one_sentence(mini, tmp_path):
    for method in ("tak", "delta"):
        with pytest.raises(
            ValueError, match=rf"^{method} has no factors for convolution.bias of tiny: a model of linear, att"
        ):
            finetune(config(method), tmp_path, tiny_clip(mini))
