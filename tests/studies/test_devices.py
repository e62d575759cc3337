"""Every study where θ₀ lies on a GPU, by a stand-in for one: nothing that was made on the CPU meets θ₀.

Small vectors on few images: what is measured is tested elsewhere. Here `accelerator` refuses what CUDA refuses.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerator import DEVICE, Elsewhere, accelerator
from conftest import random_images, random_like, tiny_clip, tiny_for
from open_clip.transformer import VisionTransformer
from torch.func import jvp, vmap

import analysis.addition.measure
import analysis.calibration.merged
import analysis.continual.sequences
import analysis.negation.measure
from analysis.addition.measure import measure_addition
from analysis.analogy.quadruples import Quadruple, measure_analogies
from analysis.calibration.calibrate import calibrate
from analysis.calibration.merged import measure_calibration
from analysis.causal.arms import dose_and_scale, edits, onset
from analysis.causal.study import onset_configs
from analysis.coefficients import disentanglement_map
from analysis.continual.sequences import measure_arrivals, sequence_configs, train_sequence, zero_shot_arrivals
from analysis.explore.gather import explore
from analysis.explore.pack import packed
from analysis.interference import reduce_tau_jp
from analysis.invariant_vectors import coloured, measure, trained
from analysis.merging import arena as arena_module
from analysis.merging import merge as merging
from analysis.merging.arena import Setting, compete, is_defined, measure_merge, merged_by, merges, over_images
from analysis.merging.expectation import accuracies, disagreement, heads_of
from analysis.merging.merge import merge
from analysis.merging.output import merge_to
from analysis.merging.rivals import RIVALS, adamerging, wudi
from analysis.negation.measure import measure_negation
from analysis.products import pair_sources
from analysis.published.checkpoints import compare_sets, continue_with_penalty, pair_points, publish
from analysis.tau_jp import tau_jp
from analysis.tau_jp_reduction import measure_reduction
from analysis.trainings import run_configs, train
from taujp_core.checkpoints import load_checkpoints
from taujp_core.methods import METHODS
from taujp_core.models import Clip, ImageEncoder, fingerprint, zero_shot_head
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector, total
from taujp_core.training.config import run_config
from taujp_core.training.joint import train_jointly
from taujp_core.training.run_store import Run

SUITE, DOMAINS = load_suite("mini"), load_suite("mini-domains")
TASKS = ["uci", "signs"]
SHORT = {"steps": 2, "batch_size": 4, "penalty_batch_size": 4, "warmup_steps": 0}
FEW = 4  # images
WAYS = ["standard", "linear"]


@pytest.fixture
def gpu():
    with accelerator() as gpu:
        yield gpu


@pytest.fixture
def clip(gpu, mini) -> Clip:
    return gpu.clip(tiny_clip(mini))


@pytest.fixture(autouse=True)
def few_coefficients(monkeypatch):
    for study in (analysis.addition.measure, analysis.negation.measure, analysis.calibration.merged):
        monkeypatch.setattr(study, "COEFFICIENTS", (0.0, 1.0))


def vectors_of(clip, method="linear", tasks=TASKS, size=0.05) -> list[TaskVector]:
    made = [
        TaskVector(random_like(clip.theta0, k, size), clip.fingerprint, task, method) for k, task in enumerate(tasks)
    ]
    return [vector.like(clip.theta0) for vector in made]


def runs_of(clip, method="linear", tasks=TASKS, suite=SUITE) -> list[Run]:
    return [
        Run(Path(), run_config(suite, vector.task, method), {}, vector) for vector in vectors_of(clip, method, tasks)
    ]


@pytest.mark.parametrize("method", WAYS)
def test_addition(method, clip):
    found = measure_addition(clip, SUITE, runs_of(clip, method), FEW)
    assert found.curves.accuracy.notna().all()


@pytest.mark.parametrize("method", WAYS)
def test_negation(method, clip):
    assert measure_negation(clip, SUITE, runs_of(clip, method), FEW).test.target.notna().all()


@pytest.mark.parametrize("method", WAYS)
def test_analogies(method, clip):
    quadruple = Quadruple("mnist-inverted", "fashion-inverted", "mnist", "fashion")
    runs = runs_of(clip, method, list(quadruple.tasks()), DOMAINS)
    assert measure_analogies(clip, DOMAINS, [quadruple], runs, FEW).test.accuracy.notna().all()


@pytest.mark.parametrize("method", WAYS)
def test_calibration(method, clip):
    assert measure_calibration(clip, SUITE, runs_of(clip, method), FEW).tempered.loss.notna().all()
    assert calibrate(clip, SUITE, total(vectors_of(clip, method)), TASKS, 0.5, FEW).ece_after.notna().all()


@pytest.mark.parametrize("method", WAYS)
def test_pairs_and_maps(method, clip):
    sources, heads = pair_sources(clip, SUITE, vectors_of(clip, method), FEW)
    assert disentanglement_map(sources, heads, [0.0, 1.0]).error.notna().all()


def test_tau_jp_reduction_and_edits(clip, gpu):
    vectors, images = vectors_of(clip), random_images(FEW)
    assert tau_jp(clip, vectors, [SUITE.task(task) for task in TASKS], FEW).notna().all(axis=None)
    reduced = reduce_tau_jp(vectors[0], clip, images, [images, images], iterations=2)
    assert all(map(gpu.holds, reduced.tau.values()))
    table, _ = measure_reduction(clip, SUITE, {"standard": vectors_of(clip, "standard")}, FEW, 2, FEW)
    assert table.one_shot.notna().all()


def test_the_arms_of_the_causal_probe(clip, tmp_path):
    ours = runs_of(clip)
    assert dose_and_scale(clip, SUITE, {0.0: ours, 0.5: ours}, FEW).tau_jp.notna().all()
    assert edits(clip, SUITE, ours, FEW, FEW, 2).tau_jp.notna().all()
    starts = train(clip, onset_configs(SUITE, TASKS[:1], [0], TASKS, [1, 2], [2], **SHORT), tmp_path, [2])
    untreated = train(clip, run_configs(SUITE, TASKS, ["linear"], **SHORT), tmp_path)
    assert onset(clip, SUITE, untreated, starts, [2], FEW).tau_jp.notna().all()


@pytest.mark.parametrize("method", METHODS)
def test_trainings_and_what_is_loaded_of_them(method, mini, gpu, tmp_path):
    clip = gpu.clip(tiny_for(method, mini))
    over = METHODS[METHODS[method].vector_of or method].others == "environments"
    suite, tasks = (DOMAINS, ["mnist", "mnist-inverted"]) if over else (SUITE, TASKS)
    for _ in range(2):  # trained, then loaded
        (run,) = train(clip, run_configs(suite, tasks[:1], [method], known=tasks, **SHORT), tmp_path)
        assert all(map(gpu.holds, run.vector.tau.values()))
        assert list(run.vector.tau) == list(clip.theta0)


@pytest.mark.parametrize("method", WAYS)
def test_joint_training(method, clip, gpu, tmp_path):
    configs = run_configs(SUITE, TASKS, [method], [0], **SHORT)
    for _ in range(2):
        assert all(map(gpu.holds, train_jointly(configs, tmp_path, clip).tau.values()))


@pytest.mark.parametrize("method", ["sequential", "taujp-memory", "standard"])
def test_continual(method, clip, tmp_path, monkeypatch):
    everything = analysis.continual.sequences.load_split
    few = lambda task, split: everything(task, split).first(FEW)  # noqa: E731
    configs = sequence_configs(SUITE, TASKS, method, 8, 0, **SHORT)
    runs = train_sequence(clip, method, configs, tmp_path)
    monkeypatch.setattr(analysis.continual.sequences, "load_split", few)
    assert measure_arrivals(clip, SUITE, [run.vector for run in runs]).accuracy.notna().all()
    assert zero_shot_arrivals(clip, SUITE, {0: TASKS}).accuracy.notna().all()


def test_explorer(clip, tmp_path):
    explorer = explore(
        clip, SUITE, run_configs(SUITE, TASKS, ["linear"], **SHORT), tmp_path, FEW, dict.fromkeys(TASKS, "red")
    )
    texts, numbers = packed(explorer)
    assert [method["name"] for method in texts["methods"]] == ["linear"]
    assert len(numbers) > 0


def test_invariant_vectors(clip, gpu, tmp_path):
    """62, which died at vectors that were loaded to the CPU: ERM's, stopped early."""
    suite = coloured.coloured_suite(SUITE, ["mnist"], [0.9, 0.8])
    configs = trained.plan(suite, ["mnist"], ["uci"], ["irmv1", "irmv1-linear"], [0], 2, **SHORT)
    found = trained.train(clip, configs, tmp_path)
    assert any(one.stopped for one in found)
    assert all(gpu.holds(value) for one in found for stop in one.stopped for value in stop.tau.values())
    partners = {
        (way, 0): vectors_of(clip, method, ["uci"])
        for way, method in (("encoder", "standard"), ("linearised", "linear"))
    }
    measured = measure.measure(clip, SUITE, found, partners, [0.9, 0.8], 8)
    assert measured.effects.tau_jp.notna().all()


@pytest.mark.parametrize("method", WAYS)
def test_merging(method, clip, gpu, tmp_path, monkeypatch):
    vectors = vectors_of(clip, method)
    images = {task: random_images(9, k) for k, task in enumerate(TASKS)}
    merged, one_round = merge(vectors, clip, images, random_images(9, 5), rounds=2).vector, merging.one_round

    def killed(going, *rest):
        if going.rounds == 1:
            raise KeyboardInterrupt
        return one_round(going, *rest)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(merging, "one_round", killed)
        merge(vectors, clip, images, random_images(9, 5), tmp_path / "state.safetensors", rounds=3)
    resumed = merge(vectors, clip, images, random_images(9, 5), tmp_path / "state.safetensors", rounds=3).vector
    assert all(gpu.holds(value) for vector in (merged, resumed) for value in vector.tau.values())
    for _ in range(2):  # written, then read
        path = tmp_path / "merged.safetensors"
        if method == "linear":
            assert all(map(gpu.holds, merge_to(path, vectors, clip, images, rounds=1).vector.tau.values()))
    heads = heads_of(clip, SUITE, vectors)
    assert disagreement(clip, vectors, images, heads, merged).distance.notna().all()
    assert accuracies(clip, SUITE, vectors, merged, FEW).merged.notna().all()


ARENA = [(name, "standard") for name in merges()] + [
    (name, "linear") for name in RIVALS if is_defined(name, "linear") and RIVALS[name].images
]


@pytest.mark.parametrize(("name", "method"), ARENA)
def test_every_merge_of_the_arena(name, method, gpu, mini, monkeypatch):
    """Of a small transformer: rivals look into its blocks. Without images a merge is the same for all vectors."""
    monkeypatch.setattr(adamerging, "STEPS", 2)
    monkeypatch.setattr(wudi, "STEPS", 2)
    monkeypatch.setattr(merging, "SUMS", (1.0,))
    monkeypatch.setattr(merging, "ITERATIONS", 2)
    clip = gpu.clip(transformer(mini))
    merged = merged_by(name, Setting(clip, SUITE, 6, FEW, FEW, rounds=1), vectors_of(clip, method))
    assert all(map(gpu.holds, merged.tau.values()))
    assert all(value.isfinite().all() for value in merged.tau.values())


@pytest.mark.parametrize("method", WAYS)
def test_the_arenas_measurements(method, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(arena_module, "ALPHAS", (0.5, 1.0))
    monkeypatch.setattr(merging, "SUMS", (1.0,))
    monkeypatch.setattr(merging, "ITERATIONS", 2)
    setting = Setting(clip, SUITE, FEW, FEW, FEW, rounds=1)
    arena = compete(setting, runs_of(clip, method), ["task arithmetic"], ["ours"], tmp_path)
    assert arena.accuracy.accuracy.notna().all()
    assert over_images(setting, vectors_of(clip, method), ["ours"], [FEW, 0], tmp_path).accuracy.notna().all()
    assert measure_merge(setting, total(vectors_of(clip, method)), vectors_of(clip, method)).accuracy.notna().all()


def test_published_checkpoints(gpu, mini, clip, tmp_path):
    vectors = vectors_of(clip, "standard")
    assert pair_points(clip, SUITE, vectors, FEW).tau_jp.notna().all()
    assert compare_sets(clip, SUITE, {"some": vectors}, FEW).best.notna().all()
    config = run_config(SUITE, vectors[0].task, "taujp-efficient", tasks=list(TASKS), **SHORT)
    further = continue_with_penalty(clip, vectors[0], config, tmp_path)
    assert all(map(gpu.holds, further.vector.tau.values()))
    whole = gpu.clip(mini)
    publish(whole, vectors_of(whole, "standard", ["uci", "signs", "street"], 0.001), tmp_path / "published")
    found = load_checkpoints(tmp_path / "published", whole)
    assert len(found) == 3
    assert all(gpu.holds(value) for vector in found for value in vector.tau.values())


def test_heads_are_made_where_theta0_lies(gpu, mini, tmp_path, monkeypatch):
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path))
    clip = gpu.clip(mini)
    for _ in range(2):  # built, then read
        assert gpu.holds(zero_shot_head(clip, ("ring", "disc"), ("a {}", "a photo of a {}")))


REFUSED = {
    "a sum": lambda there, here: there + here,
    "a sum, the other way": lambda there, here: here + there,
    "a number from there": lambda there, here: here + there.sum(),
    "a product of matrices": lambda there, here: there @ here.T,
    "joined": lambda there, here: torch.cat([there, here]),
    "stacked numbers": lambda there, here: torch.stack([there.sum(), here.sum()]),
    "what is not there indexes nothing here": lambda there, here: here[there.argmax(1)],
    "values of an assignment": lambda there, here: there.index_put_((torch.arange(3),), here[0]),
    "an einsum": lambda there, here: torch.einsum("nd,d->n", there, here[0]),
    "in place": lambda there, here: there.add_(here),
    "random numbers": lambda there, here: torch.randn(3, generator=torch.Generator(), device=there.device),
    "random numbers in place": lambda there, here: there.normal_(generator=torch.Generator()),
    "searched": lambda there, here: torch.bucketize(there, here[0]),
    "backwards": lambda there, here: torch.autograd.grad((there.requires_grad_() ** 2).sum(1), there, here[:, 0]),
    "forwards": lambda there, here: jvp(lambda x: x * here, (there,), (there,)),
    "several at once": lambda there, here: vmap(lambda row: row * here[0])(there),
}


@pytest.mark.parametrize("what", REFUSED)
def test_the_stand_in_refuses_what_cuda_refuses(what, gpu):
    here = torch.rand(3, 3)
    there = torch.rand(3, 3).to(DEVICE)
    with pytest.raises(Elsewhere):
        REFUSED[what](there, here)


def test_the_stand_in_takes_what_cuda_takes(gpu):
    here = torch.rand(3, 3)
    there = here.to(DEVICE)
    assert (there.device, here.device.type, there.is_cuda, here.is_cuda) == (DEVICE, "cpu", True, False)
    assert there.cpu().device.type == "cpu"
    for value in (
        there + here.sum(), there[torch.arange(2)], torch.zeros_like(there), there.new_full((2,), 1.0), here.to(there),
        torch.zeros(2, device=there.device), torch.as_tensor([1.0], device=DEVICE), torch.as_tensor(here, device=DEVICE),
        here.clone().to(DEVICE, torch.float64), here.to(device=DEVICE), there.T.reshape(-1), there.clone().copy_(here),
    ):  # fmt: skip
        assert gpu.holds(value)
        assert value.device == DEVICE
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
        there.numpy()
    # A gradient comes back to where its tensor lies.
    weight = here.clone().requires_grad_()
    (weight.to(DEVICE) * there).sum().backward()
    assert not gpu.holds(weight.grad)
    assert torch.equal(weight.grad, there.cpu())


def transformer(mini) -> Clip:
    """A vision transformer of 2 blocks in the place of the small CLIP's image encoder."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        visual = VisionTransformer(32, 16, 8, 2, 2, 2.0, output_dim=128)
    encoder = ImageEncoder(visual, (0.5,) * 3, (0.25,) * 3).eval().requires_grad_(False)
    theta0 = {name: value.detach().clone() for name, value in encoder.named_parameters()}
    return replace(mini, encoder=encoder, theta0=theta0, fingerprint=fingerprint(theta0))
