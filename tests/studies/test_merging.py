"""Merging: equal to dense least squares in float64, never worse on its own images, killed and continued, refused in a sentence."""

import copy
import itertools
import runpy
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import random_images, random_like
from foreign import finetuned, tiny_clip
from kill_merges import Report, kill_merges
from kills import dies_at
from PIL import Image

import analysis.merging.merge as merging
import analysis.merging.preconditioner as preconditioner
import analysis.merging.solve as solving
from analysis.merging.expectation import accuracies, disagreement, heads_of, sentence
from analysis.merging.kept_products import KeptProducts
from analysis.merging.matching import Matching, held_out
from analysis.merging.merge import merge
from analysis.merging.merge_figures import disagreement_bars
from analysis.merging.merge_images import pictures_of, set_apart
from analysis.merging.output import merge_to, only_process
from analysis.merging.preconditioner import DAMPING, measure_preconditioner
from analysis.merging.solve import Residuals, solve
from taujp_core.applications import find_application
from taujp_core.checkpoints import load_checkpoint, load_checkpoints, save_hugging_face, save_open_clip
from taujp_core.datasets import load_split
from taujp_core.evaluation import accuracy, features
from taujp_core.models import Clip, fingerprint, zero_shot_head
from taujp_core.parameters import flat, named
from taujp_core.products.jacobian import jacobian_products, transpose_product
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector, total

ROOT = Path(__file__).parents[2]
TASKS = ("uci", "signs", "street")


def pictures(count: int, seed: int) -> torch.Tensor:
    """Mixtures of three patterns, so that some say something about the others."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randint(0, 256, (3, 3, 8, 8), generator=generator).double()
    shares = torch.rand(count, 3, generator=generator, dtype=torch.float64)
    shares /= shares.sum(1, keepdim=True)
    return torch.einsum("nk,kchw->nchw", shares, patterns).to(torch.uint8)


def noise(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture(scope="module")
def tiny() -> Clip:
    """A vision transformer of two blocks in float64."""
    clip = tiny_clip()
    encoder = copy.deepcopy(clip.encoder).double()
    theta0 = {name: value.double() for name, value in clip.theta0.items()}
    return Clip("tiny", clip.model, None, encoder, theta0, fingerprint(theta0), 8, clip.logit_scale)


def vectors_of(clip: Clip, method: str = "standard", size: float = 0.05) -> list[TaskVector]:
    return [
        TaskVector(random_like(clip.theta0, seed, size), clip.fingerprint, task, method)
        for seed, task in enumerate(TASKS)
    ]


def images_of(count: int) -> dict[str, torch.Tensor]:
    return {task: pictures(count, seed) for seed, task in enumerate(TASKS)}


@pytest.fixture(scope="module")
def products(tiny) -> KeptProducts:
    return KeptProducts(tiny.encoder, tiny.theta0, noise(9))


@pytest.fixture(scope="module")
def jacobian(products) -> torch.Tensor:
    """[n·d, p], a row after the other."""
    n, d = products.features.shape
    rows = torch.eye(n * d, dtype=torch.float64)
    return torch.stack([flat(products.transpose(row.view(n, d))) for row in rows])


def test_kept_graphs_give_the_products_of_forward_mode(tiny, products, jacobian):
    tau = random_like(tiny.theta0, 5)
    primal, expected = jacobian_products(tiny.encoder, tiny.theta0, [tau], noise(9))
    some = KeptProducts(tiny.encoder, tiny.theta0, noise(9), most=4)  # the rest from nothing
    assert sum(len(graph[0]) for graph in some.graphs) == 4
    for found in (products, some):
        assert torch.allclose(found.features, primal, rtol=1e-12, atol=1e-12)
        assert torch.allclose(found.forward(tau), expected[0], rtol=1e-10, atol=1e-12)
    assert torch.allclose((jacobian @ flat(tau)).view_as(primal), expected[0], rtol=1e-10, atol=1e-12)
    cotangent = torch.randn(primal.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for found in (products, some):
        assert torch.allclose(flat(found.transpose(cotangent)), jacobian.T @ cotangent.flatten(), atol=1e-12)


@pytest.mark.parametrize(("samples", "of"), [(8, [2, 2, 2, 2, 1]), (2, [6, 3]), (1, [9])])
def test_the_metric_is_the_kronecker_product_of_the_second_moments_of_gradients(tiny, monkeypatch, samples, of):
    """Five parts of at most two images, grouped into so many samples."""
    monkeypatch.setattr(preconditioner, "SAMPLES", samples)
    products = KeptProducts(tiny.encoder, tiny.theta0, noise(9), most=0)
    products.chunk = 2
    weights = torch.linspace(0.5, 1.5, 9, dtype=torch.float64)
    metric = measure_preconditioner(products, weights, 3)
    u = torch.randn(9, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * weights.sqrt()[:, None]
    groups = zip(noise(9).split(of), u.split(of), strict=True)
    gradients = [transpose_product(tiny.encoder, tiny.theta0, part, images) for images, part in groups]
    gradient = random_like(tiny.theta0, 1)
    for name in ("visual.transformer.resblocks.0.attn.in_proj_weight", "visual.proj", "visual.conv1.weight"):
        matrices = [value[name].flatten(1) for value in gradients]
        left, right = sum(m @ m.T for m in matrices), sum(m.T @ m for m in matrices)
        left, right = (
            factor + DAMPING * factor.trace() / len(factor) * torch.eye(len(factor), dtype=torch.float64)
            for factor in (left, right / left.trace())
        )
        expected = torch.linalg.solve(torch.kron(left, right), gradient[name].flatten())
        assert torch.allclose(metric.solve(gradient)[name].flatten(), expected, rtol=1e-8)


@pytest.mark.parametrize("rho", [0.0, 0.03, 1.0])
def test_conjugate_gradients_solve_the_dense_least_squares_problem(tiny, products, jacobian, rho, monkeypatch):
    monkeypatch.setattr(solving, "LEAST", 0.0)
    weights = torch.linspace(0.5, 1.5, 9, dtype=torch.float64)
    wanted = torch.randn(9, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    problem, metric = Residuals(products, wanted, weights), measure_preconditioner(products, weights, 0)
    found = flat(solve(problem, problem, metric, 150, rhos=(rho,), patience=150).delta)
    rows = torch.eye(jacobian.shape[1], dtype=torch.float64)
    inverse = torch.stack([flat(metric.solve(named(row, tiny.theta0))) for row in rows])
    # δ = M⁻¹Jᵀ(JM⁻¹Jᵀ + ρW⁻¹)⁻¹r: the minimum of Σ w‖Jδ − r‖² + ρ‖δ‖²_M, for ρ → 0 the one of least ‖δ‖_M.
    kernel = jacobian @ inverse @ jacobian.T + rho * torch.diag(weights.repeat_interleave(6).reciprocal())
    expected = inverse @ jacobian.T @ torch.linalg.solve(kernel, wanted.flatten())
    assert (found - expected).norm() < 1e-6 * expected.norm()


@pytest.mark.parametrize("method", ["standard", "linear"])
def test_a_merge_comes_close_to_every_expert_and_its_objective_never_rises(method, tiny, monkeypatch):
    monkeypatch.setattr(merging, "ITERATIONS", 6)
    vectors, control = vectors_of(tiny, method), pictures(16, 9)
    found = merge(vectors, tiny, images_of(16), control, rounds=3)
    assert found.vector.task == "+".join(TASKS) and found.vector.method == method
    rounds = found.history.iloc[1:]
    assert (rounds.after <= rounds.before).all()
    assert rounds.after.iloc[-1] < 0.2 * rounds.before.iloc[0]
    assert found.distances.set.tolist() == [*TASKS, "control"]
    assert found.distances.merged.sum() == pytest.approx(found.history.held.min())
    assert found.distances.merged.sum() < found.distances["sum"].sum()

    # Against features and a linearisation that are computed here, on the held-out images.
    def shown(tau, images):
        if method == "linear":
            return jacobian_products(tiny.encoder, tiny.theta0, [tau], images)[1][0]
        return features(tiny.encoder, {name: value + tau[name] for name, value in tiny.theta0.items()}, images)

    for row, vector in zip(found.distances.itertuples(), vectors, strict=False):
        images = images_of(16)[vector.task][[7, 15]]
        expected = (shown(found.vector.tau, images) - shown(vector.tau, images)).square().sum(1).mean()
        assert row.merged == pytest.approx(expected.item(), rel=1e-8)
        away = (shown(total(vectors).tau, images) - shown(vector.tau, images)).square().sum(1).mean()
        assert row.sum == pytest.approx(away.item(), rel=1e-8)


def test_a_step_that_would_raise_the_objective_is_shortened_or_not_taken(tiny):
    vectors = vectors_of(tiny)
    part = Matching(tiny, find_application("encoder"), [vector.tau for vector in vectors], list(images_of(4).values()))
    tau = {name: torch.zeros_like(value) for name, value in tiny.theta0.items()}
    towards = {name: value / 3 for name, value in total(vectors).tau.items()}
    before = part.objective(tau)
    _, length, after = merging.line_search(part, tau, {name: 3.5 * value for name, value in towards.items()}, before)
    assert length < 1 and after < before
    away = {name: -value for name, value in towards.items()}
    assert merging.line_search(part, tau, away, before) == (tau, 0.0, before)


def test_every_image_takes_part_and_those_held_out_never_do():
    images = [pictures(20, 0), pictures(3, 1)]
    solved, held = held_out(images, 8, 16)
    assert [len(own) for own in solved + held] == [18, 3, 2, 3]  # three are too few: they judge themselves
    rest = {image.numpy().tobytes() for image in solved[0]}
    assert rest.isdisjoint(image.numpy().tobytes() for image in held[0]) and len(rest) == 18
    assert len(held_out(images, 8, 1)[1][0]) == 1
    sets = Matching(None, find_application("encoder"), [], solved)
    seen = [image.numpy().tobytes() for number in range(3) for image in sets.part(number, 6).images[0]]
    assert set(seen) == rest
    assert [len(own) for own in sets.part(0, 6).images] == [6, 3]
    assert sets.part(0, 18) is sets


def test_after_a_round_that_brings_nothing_the_next_has_twice_as_many_images(tiny, monkeypatch):
    monkeypatch.setattr(merging, "ITERATIONS", 2)
    counts, part = [], Matching.part
    monkeypatch.setattr(Matching, "part", lambda self, number, count: counts.append(count) or part(self, number, count))
    arguments = (vectors_of(tiny), tiny, images_of(24))
    assert merge(*arguments, rounds=2, round_images=5).history.images.tolist() == [0, 5, 5]
    monkeypatch.setattr(merging, "LEAST", 1.0)  # no round brings so much
    assert merge(*arguments, rounds=9, round_images=5).history.images.tolist() == [0, 5, 10]
    assert counts == [5, 5, 5, 10]


def test_a_killed_merge_goes_on_bit_for_bit(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(merging, "ITERATIONS", 2)
    monkeypatch.setattr(merging, "LEAST", 1.0)  # so that every round has twice the images of the one before
    monkeypatch.setattr(merging, "PATIENCE", 9)
    arguments = (vectors_of(tiny), tiny, images_of(12))
    whole = merge(*arguments, rounds=3, round_images=2)
    assert whole.history.images.tolist() == [0, 2, 4, 8]
    state, one_round = tmp_path / "state.safetensors", merging.one_round

    class Killed(BaseException):
        pass

    for _ in range(3):  # each life does one round, and dies in the next
        rounds = []

        def once(*arguments, rounds=rounds):
            if rounds:
                raise Killed
            rounds.append(1)
            return one_round(*arguments)

        monkeypatch.setattr(merging, "one_round", once)
        try:
            found = merge(*arguments, state=state, rounds=3, round_images=2)
        except Killed:
            continue
    assert found.vector.digest() == whole.vector.digest()
    assert found.history.equals(whole.history) and found.distances.equals(whole.distances)
    with pytest.raises(ValueError, match="is the state of another merge"):
        merge(vectors_of(tiny, size=0.04), *arguments[1:], state=state, rounds=3, round_images=2)
    state.write_bytes(state.read_bytes()[:-8])
    with pytest.raises(ValueError, match="is truncated or not a safetensors file"):
        merge(*arguments, state=state, rounds=3, round_images=2)


def nan_in(vector: TaskVector) -> TaskVector:
    tau = {name: value.clone() for name, value in vector.tau.items()}
    tau["visual.proj"][0, 0] = float("nan")
    return replace(vector, tau=tau)


def zero(vector: TaskVector) -> TaskVector:
    return replace(vector, tau={name: torch.zeros_like(value) for name, value in vector.tau.items()})


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (lambda v, i: (v[:1], i), ValueError, "a merge takes at least two vectors, not 1"),
        (lambda v, i: ([v[0], replace(v[1], theta0_fingerprint="abcd")], i), ValueError, "belongs to θ₀ abcd"),
        (lambda v, i: ([v[0], replace(v[1], task="uci")], i), ValueError, "one vector a task, and uci has two"),
        (
            lambda v, i: ([v[0], replace(v[1], method="linear")], i),
            ValueError,
            "must have one application: the standard vector of uci is applied as encoder",
        ),
        (lambda v, i: (v, {**i, "signs": i["signs"][:0]}), ValueError, "one image a task, and signs has none"),
        (lambda v, i: (v, {"uci": i["uci"]}), ValueError, "one image a task, and signs has none"),
        (
            lambda v, i: ([v[0], zero(v[1])], i),
            ValueError,
            "the standard vector of signs is zero, so that its model is θ₀",
        ),
        (lambda v, i: ([nan_in(v[0]), v[1]], i), FloatingPointError, "the standard vector of uci holds NaN"),
        (lambda v, i: ([v[0], replace(v[1], method="best")], i), ValueError, "unknown method 'best'"),
    ],
)
def test_what_cannot_be_merged_gets_a_sentence(tiny, change, error, sentence):
    vectors, images = change(vectors_of(tiny), images_of(2))
    with pytest.raises(error, match=sentence):
        merge(vectors, tiny, images)


def test_an_empty_control_is_refused(tiny):
    with pytest.raises(ValueError, match="at least one control image, or None"):
        merge(vectors_of(tiny), tiny, images_of(2), pictures(0, 0))


@pytest.fixture(scope="module")
def tiny32() -> Clip:
    return tiny_clip()


@pytest.mark.parametrize("name", ["merged.safetensors", "merged", "linear.safetensors"])
def test_a_merge_is_written_read_again_and_never_overwrites_another_model(tiny32, tmp_path, name, monkeypatch):
    method = "linear" if name.startswith("linear") else "standard"
    output, vectors, images = tmp_path / "out" / name, vectors_of(tiny32, method), images_of(8)
    merged = merge_to(output, vectors, tiny32, images, rounds=1)
    assert sorted(path.name for path in output.parent.iterdir()) == [f".{name}.lock", name]
    assert load_checkpoint(output, tiny32).digest() == merged.vector.digest()
    found = merge(vectors, tiny32, images, rounds=1)  # what was found is what is written, to a rounding
    assert max((found.vector.tau[key] - value).abs().max() for key, value in merged.vector.tau.items()) < 1e-6
    pd.testing.assert_frame_equal(found.history, merged.history)
    pd.testing.assert_frame_equal(found.distances, merged.distances)

    monkeypatch.setattr(merging, "one_round", None)  # nothing is merged any more
    again = merge_to(output, vectors, tiny32, images, rounds=1)
    assert (again.vector.task, again.vector.method) == ("uci+signs+street", method)
    assert again.vector.digest() == merged.vector.digest()
    pd.testing.assert_frame_equal(again.distances, merged.distances)
    pd.testing.assert_frame_equal(again.history, merged.history)
    renamed = [replace(vectors[0], task="usps"), *vectors[1:]]
    others = [
        (vectors[:2], images, 1),
        (vectors, images_of(9), 1),
        (vectors, images, 2),
        (renamed, {**images, "usps": images["uci"]}, 1),
    ]
    for other in others:
        with pytest.raises(ValueError, match="exists and is another model: choose another output"):
            merge_to(output, other[0], tiny32, other[1], rounds=other[2])


def test_vectors_that_are_applied_otherwise_are_another_merge(tiny32, tmp_path):
    """Post-hoc linearised and standard vectors have the same numbers, and their merges have not."""
    vectors, images = vectors_of(tiny32), images_of(8)
    merge_to(tmp_path / "merged.safetensors", vectors, tiny32, images, rounds=1)
    linearised = [replace(vector, method="post-hoc-linearised") for vector in vectors]
    with pytest.raises(ValueError, match="exists and is another model"):
        merge_to(tmp_path / "merged.safetensors", linearised, tiny32, images, rounds=1)
    merge(linearised, tiny32, images, state=tmp_path / "state.safetensors", rounds=1)
    with pytest.raises(ValueError, match="is the state of another merge"):
        merge(vectors, tiny32, images, state=tmp_path / "state.safetensors", rounds=1)


def test_somebody_elses_model_is_left_alone_and_so_is_a_state_beside_it(tiny32, tmp_path):
    vectors, images, state = vectors_of(tiny32), images_of(8), tmp_path / ".merged.merging" / "state.safetensors"
    state.parent.mkdir()
    merge(vectors, tiny32, images, state=state, rounds=1)
    save_hugging_face(tiny32, {name: 1.1 * value for name, value in tiny32.theta0.items()}, tmp_path / "merged")
    for name in ("merged", "notes.safetensors"):
        (tmp_path / "notes.safetensors").write_text("not a model")
        with pytest.raises(ValueError, match=f"{name} exists and is another model"):
            merge_to(tmp_path / name, vectors, tiny32, images, rounds=1)
    assert state.exists()


def test_a_merge_of_linearised_vectors_is_written_as_a_task_vector(tiny32, tmp_path):
    vectors, images = vectors_of(tiny32, "linear"), images_of(8)
    with pytest.raises(ValueError, match="the merge of linear vectors is a task vector file"):
        merge_to(tmp_path / "merged", vectors, tiny32, images)
    merged = merge_to(tmp_path / "merged.safetensors", vectors, tiny32, images, rounds=1)
    assert TaskVector.load(tmp_path / "merged.safetensors", tiny32).digest() == merged.vector.digest()


def test_a_merge_beside_its_checkpoints_is_none_of_them(tiny32, tmp_path):
    """Unfinished or finished, in every layout, and under a name of its own; so is a state that somebody keeps there."""
    for seed, task in enumerate(TASKS):
        theta = {name: value + 0.05 * value.std() for name, value in finetuned(tiny32, seed).items()}
        save_open_clip(tiny32, theta, tmp_path / f"{task}.safetensors")
    vectors, images = load_checkpoints(tmp_path, tiny32), images_of(8)
    for output in ("all.safetensors", "all", "both.safetensors"):
        chosen = [replace(v, method="post-hoc-linearised") for v in vectors] if output.startswith("both") else vectors
        (tmp_path / f".{output}.merging").mkdir()
        merge(chosen, tiny32, images, state=tmp_path / f".{output}.merging" / "state.safetensors", rounds=1)
        assert len(load_checkpoints(tmp_path, tiny32)) == 3
        merge_to(tmp_path / output, chosen, tiny32, images, rounds=1)
        (tmp_path / output).rename(tmp_path / f"a-{output}")
    merge(vectors, tiny32, images, state=tmp_path / "mine.safetensors", rounds=1)
    with pytest.warns(UserWarning, match=r"a-all \(written by a merge.*mine\.safetensors \(the saved state"):
        assert [vector.task for vector in load_checkpoints(tmp_path, tiny32)] == sorted(TASKS)


def quickly(vectors, clip, images, control, state, rounds, round_images) -> merging.Merged:
    """In place of `merge`: saves a state twice, and goes on from the one that is there."""
    tau, table = total(vectors).tau, pd.DataFrame([merging.row(1.0)] * 3).astype(float)
    for count in range(len(merging.resumed(state, "this", clip.theta0).history) if state.exists() else 1, 3):
        merging.save(merging.Going(tau, tau, tau, 1.0, 0, 4, [merging.row(1.0)] * count), state, "this")
    this = merging.identity(vectors, clip, images, control, rounds, round_images)
    distances = pd.DataFrame({"set": list(images), "merged": 0.1})
    return merging.Merged(total(vectors), table, distances, clip, tuple(images), this, rounds)


@pytest.mark.parametrize("name", ["merged.safetensors", "merged", "linear.safetensors"])
def test_a_merge_killed_at_any_write_is_finished_by_the_next_call(tiny32, tmp_path, name, monkeypatch):
    """A reader sees nothing or all of it; of several deaths in a row nothing is left behind."""
    monkeypatch.setattr("analysis.merging.output.merge", quickly)
    vectors, images = vectors_of(tiny32, "linear" if name.startswith("linear") else "standard"), images_of(2)
    whole = merge_to(tmp_path / name, vectors, tiny32, images, rounds=2)
    for moment in itertools.count():
        output = tmp_path / str(moment) / name
        output.parent.mkdir()

        def again(output=output):
            return merge_to(output, vectors, tiny32, images, rounds=2)

        if not dies_at(moment, output.parent, again):
            break
        if moment % 4 == 0:
            dies_at(moment // 2, output.parent, again)
        if output.exists():
            assert load_checkpoint(output, tiny32).digest() == whole.vector.digest()
        with pytest.raises(ValueError, match="holds no checkpoint"):
            load_checkpoints(output.parent, tiny32)
        found = again()
        assert found.vector.digest() == whole.vector.digest()
        pd.testing.assert_frame_equal(found.distances, whole.distances)
        assert sorted(path.name for path in output.parent.iterdir()) == [f".{name}.lock", name]
    assert moment > 15, "too few writes were met"


def test_merges_killed_with_9_end_as_if_they_had_not_been(tmp_path):
    report = Report()
    kill_merges(6, tmp_path, seed=0, report=report)
    assert sum(report.kills.values()) == 6
    assert not report.wrong


def test_two_merges_to_one_output_wait_for_each_other(tiny32, tmp_path, monkeypatch):
    output, vectors, images, rounds = tmp_path / "merged", vectors_of(tiny32), images_of(8), []
    one_round = merging.one_round

    def slowly(*arguments):
        rounds.append(1)
        started.set()
        return one_round(*arguments)

    monkeypatch.setattr(merging, "one_round", slowly)
    started = threading.Event()
    with ThreadPoolExecutor(2) as pool, only_process(output):
        both = [pool.submit(merge_to, output, vectors, tiny32, images, rounds=1) for _ in range(2)]
        assert not started.wait(0.2)  # another process holds the lock
    assert both[0].result().vector.digest() == both[1].result().vector.digest()
    assert rounds == [1]


def test_disagreement_is_measured_against_each_expert(tiny):
    vectors, images = vectors_of(tiny, size=0.2), images_of(6)
    head = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expert = replace(vectors[1], task="merged")
    table = disagreement(tiny, vectors, images, {"uci": head, "signs": head}, expert).set_index(["model", "task"])
    assert (table.distance["pre-trained"] == 1).all()
    assert table.distance["merged", "signs"] == 0 and table.changed["merged", "signs"] == 0  # it is that expert

    def shown(tau):
        return features(tiny.encoder, {name: value + tau[name] for name, value in tiny.theta0.items()}, images["uci"])

    own, added = shown(vectors[0].tau), shown(total(vectors).tau)
    size = (features(tiny.encoder, tiny.theta0, images["uci"]) - own).square().sum(1).mean()
    assert table.distance["sum", "uci"] == pytest.approx(((added - own).square().sum(1).mean() / size).item())
    changed = ((added @ head).argmax(1) != (own @ head).argmax(1)).double().mean()
    assert table.changed["sum", "uci"] == changed.item()
    assert pd.isna(table.changed["sum", "street"])


def test_an_expert_that_moves_no_feature_is_no_measure_of_distance(tiny):
    vectors, images = vectors_of(tiny), images_of(4)
    with pytest.raises(ValueError, match="the standard vector of uci is zero"):
        disagreement(tiny, [zero(vectors[0]), vectors[1]], images, {})
    small = replace(vectors[0], tau={name: 1e-30 * value for name, value in vectors[0].tau.items()})
    with pytest.raises(ValueError, match="of uci's expert are those of the pre-trained model on all its 4 images"):
        disagreement(tiny, [small, vectors[1]], images, {})
    large = replace(vectors[0], tau={name: 1e300 * value for name, value in vectors[0].tau.items()})
    with pytest.raises(FloatingPointError, match="the expert model's feature of an image of uci holds NaN or infinity"):
        disagreement(tiny, [large, vectors[1]], images, {})


def test_what_is_not_finite_in_a_merges_tables_is_missing_in_its_record(tiny32, tmp_path, monkeypatch):
    def infinite(vectors, clip, images, control, state, rounds, round_images):
        distances = pd.DataFrame({"set": list(TASKS), "sum": [1.0, float("inf"), float("nan")]})
        history = pd.DataFrame([merging.row(1.0)]).astype(float)
        this = merging.identity(vectors, clip, images, control, rounds, round_images)
        return merging.Merged(total(vectors), history, distances, clip, tuple(images), this, rounds)

    monkeypatch.setattr("analysis.merging.output.merge", infinite)
    for name in ("merged", "merged.safetensors"):
        found = merge_to(tmp_path / name, vectors_of(tiny32), tiny32, images_of(2))
        assert found.distances["sum"].isna().tolist() == [False, True, True]


def test_the_sentence_follows_the_table():
    rows = [("uci", "sum", 0.5, 0.2), ("signs", "sum", 1.5, 0.4), ("uci", "merged", 0.1, 0.1)]
    table = pd.DataFrame(rows, columns=["task", "model", "distance", "changed"])
    assert sentence(table, "sum") == (
        "The sum model answers otherwise than the expert on 30% of the images (most on signs: 40%)."
    )
    table.loc[0, "changed"] = float("nan")
    assert sentence(table, "sum") == (
        "The sum model's features are 1.00 of the pre-trained model's distance from the experts' (most on signs: 1.50)."
    )
    both = pd.concat([table, table.assign(model="merged")])
    figure = disagreement_bars(both, "distance")
    assert [trace.name for trace in figure.data] == ["sum", "merged"]
    assert list(figure.data[0].x) == [0.5, 1.5]


def write_pictures(folder: Path, count: int, seed: int) -> None:
    folder.mkdir(parents=True)
    for number, image in enumerate(random_images(count, seed)):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number}.png")


def test_pictures_are_ones_own_or_the_suites(mini, tmp_path):
    suite = load_suite("mini")
    found, control = pictures_of(None, suite, mini, ["mnist"], 5)
    assert torch.equal(found["mnist"], load_split(suite.task("mnist"), "train")[:5][0])
    assert torch.equal(control, load_split(suite.control, "train")[:5][0])
    with pytest.raises(ValueError, match="unknown task without a folder of images 'cars'"):
        pictures_of(None, suite, mini, ["cars"], 5)
    write_pictures(tmp_path / "cars", 3, 0)
    found, control = pictures_of(tmp_path, suite, mini, ["cars"], 2)
    assert found["cars"].shape == (2, 3, 32, 32) and control is None
    write_pictures(tmp_path / "control", 3, 0)
    assert len(pictures_of(tmp_path, suite, mini, ["cars"], 2)[1]) == 2
    solved, judged = set_apart({"cars": pictures(5, 0), "signs": pictures(1, 0)}, 8)
    assert [len(solved["cars"]), len(judged["cars"]), len(solved["signs"]), len(judged["signs"])] == [3, 2, 1, 1]
    assert torch.equal(torch.cat([solved["cars"], judged["cars"]]), pictures(5, 0))
    with pytest.raises(ValueError, match="the checkpoint boats has no pictures: there are cars"):
        pictures_of(tmp_path, suite, mini, ["cars", "boats"], 2)
    write_pictures(tmp_path / "Boats", 1, 0)
    with pytest.raises(ValueError, match="there are pictures of Boats and no checkpoint of that name, but of cars"):
        pictures_of(tmp_path, suite, mini, ["cars"], 2)
    with pytest.raises(ValueError, match="a checkpoint is called control"):
        pictures_of(tmp_path, suite, mini, ["cars", "control"], 2)


def test_accuracies_are_those_of_every_model(mini):
    suite = load_suite("mini")
    pair = [
        TaskVector(random_like(mini.theta0, k, 0.01), mini.fingerprint, task, "standard")
        for k, task in enumerate(("uci", "elsewhere"))
    ]
    table = accuracies(mini, suite, pair, pair[1], 40)
    assert table.index.tolist() == ["uci", "shapes"]  # nothing is known of the other task's classes
    assert list(heads_of(mini, suite, pair)) == ["uci"]
    images, labels = load_split(suite.task("uci"), "test")[:40]
    theta = {name: value + pair[0].tau[name] for name, value in mini.theta0.items()}
    head = zero_shot_head(mini, suite.task("uci").classes, suite.task("uci").templates)
    assert table.expert["uci"] == pytest.approx(accuracy(features(mini.encoder, theta, images), head, labels))
    assert table.expert.isna()["shapes"]
    assert accuracies(mini, suite, pair[1:], pair[1], 40).empty


def test_the_race_has_every_solver_on_the_same_problem(mini, capsys):
    """Preconditioned and plain conjugate gradients and Adam, all from the same start and on the same objective."""
    benchmark = runpy.run_path(str(ROOT / "benchmarks/merging.py"))
    vectors = [
        TaskVector(random_like(mini.theta0, k, 0.004), mini.fingerprint, task, "standard")
        for k, task in enumerate(("uci", "signs"))
    ]
    table = benchmark["race"](mini, load_suite("mini"), vectors, 8, 0.01, 10, 0.0)
    starts = table[table.seconds == 0]
    assert len(starts) == 5 and starts.solved.nunique() == 1 and starts.held.nunique() == 1
    last = table.groupby("solver").solved.last()
    assert (last.drop(["Adam, 0.0001", "Adam, 0.0003"]) < starts.solved.iloc[0]).all()
