"""Training: methods, resumption, accumulation, and what is refused."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import random_images, random_like, tiny_for

import taujp_core.training.descent as descent
import taujp_core.training.loop as loop
from taujp_core.datasets import Split, load_split
from taujp_core.files import read_tensors
from taujp_core.methods import METHODS, Batch, Sight
from taujp_core.models import zero_shot_head
from taujp_core.products.jacobian import jacobian_products
from taujp_core.products.precision import precision
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector
from taujp_core.training.config import run_config
from taujp_core.training.descent import mean_gradient
from taujp_core.training.finetune import finetune
from taujp_core.training.run_store import Run, open_run, read_finished, run_folder
from taujp_core.training.step_images import parts_of, step_batches

# Those over environments: test_over_environments.py.
TRAINED = [name for name, method in METHODS.items() if not method.vector_of and method.others != "environments"]
SHORT = {"steps": 6, "batch_size": 8, "penalty_batch_size": 4}


def config(method="taujp-efficient", task="uci", **changes):
    return run_config("mini", task, method, tasks=["uci", "mnist"], **{**SHORT, **changes})


@pytest.mark.parametrize("method", TRAINED)
def test_a_run_lowers_the_loss_and_leaves_a_full_record(method, mini, tmp_path):
    tiny = tiny_for(method, mini)
    run = finetune(config(method, steps=12, batch_size=32), tmp_path, tiny)
    losses = [row["loss"] for row in run.record["history"]]
    assert len(losses) == 12
    assert sum(losses[-3:]) < sum(losses[:3])
    assert (max(row["penalty"] for row in run.record["history"]) > 0) == (
        "penalty_weight" in METHODS[method].parameters
    )
    assert run.record["theta0"] == tiny.fingerprint == run.vector.theta0_fingerprint
    assert [row["step"] for row in run.record["curve"]] == [0, 6, 12]
    assert run.record["seconds"] > 0
    others = {"in turn": 4, "all": 2 * 4}.get(METHODS[method].others, 0)
    assert run.record["images_per_second"] == pytest.approx(12 * (32 + others) / run.record["seconds"])
    assert run.record["peak_memory_mib"] > 50
    assert set(run.record["versions"]) >= {"python", "torch", "open_clip_torch"}
    left = sorted(path.name for path in run.folder.iterdir() if path.name != ".lock")
    assert left == ["config.json", "record.json", "vector.safetensors"]
    assert run.record["resumed_at"] == []
    again = Run(run.folder, run.config, *read_finished(run.folder, tiny))
    assert all(torch.equal(again.vector.tau[name], value) for name, value in run.vector.tau.items())


def test_a_finished_run_is_loaded_not_trained_again(tiny, tmp_path, monkeypatch):
    first = finetune(config(), tmp_path, tiny)
    monkeypatch.setattr(descent, "mean_gradient", lambda *arguments: pytest.fail("trained again"))
    assert finetune(config(), tmp_path, tiny).record == first.record


@pytest.mark.parametrize("method", TRAINED)
def test_accumulated_parts_give_the_gradient_of_the_whole_batch(method, mini64):
    suite = load_suite("mini")
    task = suite.task("uci")
    head = zero_shot_head(mini64, task.classes, task.templates)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (8,), generator=generator)
    others = (
        [(images.flip(0)[:4], labels[:4]), (images.roll(1, 2)[:4], labels[:4])] if METHODS[method].penalised else []
    )
    tau = METHODS[method].trained({name: 0.01 * torch.randn_like(value) for name, value in mini64.theta0.items()})

    parameters, split = config(method).method_parameters(), Split(images, labels)
    prepare = METHODS[method].prepare
    prepared = prepare(Sight(mini64, head, split, split, [split], 0, parameters, 4)) if prepare else None

    def gradient(batch):
        return METHODS[method].gradient(mini64, head, tau, batch, prepared, **parameters)

    whole, parts = (
        mean_gradient(gradient, parts_of(images, labels, others, config(method, accumulation=n), 0)) for n in (1, 4)
    )
    assert [value.item() for value in parts[1:]] == pytest.approx([value.item() for value in whole[1:]], rel=1e-10)
    for name, value in whole[0].items():
        assert torch.allclose(parts[0][name], value, rtol=1e-8, atol=1e-10 * value.abs().max().item() + 1e-14), name


def numbered(number: int) -> Split:
    """Its images are its number."""
    return Split(torch.full((40, 3, 1, 1), number, dtype=torch.uint8), torch.zeros(40, dtype=torch.long))


def test_efficient_takes_the_other_data_sets_in_turn_and_strict_all_of_them():
    train, *others = (numbered(k) for k in (9, 0, 1, 2))
    efficient, strict = config("taujp-efficient", penalty_start=1), config("taujp-strict")
    images, _, none = step_batches(efficient, train, others, 0)
    assert (images[0, 0, 0, 0].item(), none) == (9, [])  # before its start
    seen = [step_batches(efficient, train, others, step)[2] for step in range(1, 7)]
    assert [[batch[0, 0, 0, 0].item() for batch, _ in batches] for batches in seen] == [[1], [2], [0], [1], [2], [0]]
    penalised = step_batches(strict, train, others, 5)[2]
    assert [batch[0, 0, 0, 0].item() for batch, _ in penalised] == [0, 1, 2]
    assert all(len(batch) == 4 for batch, _ in penalised)


def test_of_every_third_step_the_penalty_sees_images_and_misses_none():
    """The batches of a penalty at every step, later."""
    train, *others = (load_split(load_suite("mini").task(name), "train") for name in ("uci", "mnist", "shapes"))
    for method in ("taujp-efficient", "taujp-strict"):
        always, third = config(method), config(method, penalty_every=3)
        for step in range(12):
            found = step_batches(third, train, others, step)[2]
            expected = step_batches(always, train, others, step // 3)[2] if step % 3 == 0 else []
            assert len(found) == len(expected)
            assert all(torch.equal(ours[0], theirs[0]) for ours, theirs in zip(found, expected, strict=True))
    late = config(penalty_every=2, penalty_start=3)
    assert [len(step_batches(late, train, others, step)[2]) for step in range(6)] == [0] * 4 + [1, 0]


def test_a_penalty_at_every_third_step_weighs_three_times_as_much(mini64):
    """And squared it is the mean of squares. By autograd through products that are written out."""
    tau = random_like(mini64.theta0, 3, 0.01)
    head = zero_shot_head(mini64, ["a", "b"], ["{}"])
    batch = Batch(random_images(3), torch.tensor([0, 1, 0]), random_images(4, seed=1))
    of = METHODS["taujp-strict"].gradient
    plain, loss, penalty = of(mini64, head, tau, batch, penalty_weight=0.75)
    third, *same = of(mini64, head, tau, batch, penalty_weight=0.25, penalty_every=3)
    assert [loss, penalty] == same
    for name, value in plain.items():
        torch.testing.assert_close(third[name], value, rtol=1e-12, atol=1e-15)
    _, products = jacobian_products(mini64.encoder, mini64.theta0, [tau], batch.others)
    squared, _, value = of(mini64, head, tau, batch, penalty_weight=0.75, penalty_form="squared")
    torch.testing.assert_close(value, products[0].square().sum(-1).mean(), rtol=1e-12, atol=0)
    # Jτ is linear in τ: along τ the slope of the mean of squares is twice itself, that of the mean norm is itself.
    along = {
        kind: sum((slopes[name] * tau[name]).sum() for name in tau)
        for kind, slopes in (("norm", plain), ("squared", squared))
    }
    task, *_ = of(mini64, head, tau, replace(batch, others=batch.others[:0]))
    own = sum((task[name] * tau[name]).sum() for name in tau)
    torch.testing.assert_close(along["norm"] - own, 0.75 * penalty, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(along["squared"] - own, 0.75 * 2 * value, rtol=1e-9, atol=1e-12)


def test_the_penalty_sees_the_other_tasks_and_the_control():
    assert config().penalty_tasks == ("mnist", "shapes")
    assert len(run_config("mini", "uci", "taujp-strict").penalty_tasks) == 8
    assert run_config("mini", "shapes", "taujp-strict").penalty_tasks == tuple(load_suite("mini").tasks)


def test_nan_between_two_looks_at_the_loss_ends_the_training(mini, tmp_path, monkeypatch):
    ordinary, calls = descent.mean_gradient, []

    def nan_at_the_last_step(*arguments):
        calls.append(1)
        gradient, loss, penalty = ordinary(*arguments)
        return gradient, loss, penalty * torch.tensor(float("nan") if len(calls) == 6 else 1.0)

    monkeypatch.setattr(descent, "mean_gradient", nan_at_the_last_step)
    monkeypatch.setattr(loop, "is_due", lambda since, cost: False)
    with pytest.raises(FloatingPointError, match="is nan at step 5; no state was saved yet"):
        finetune(config(), tmp_path, mini)
    assert not (run_folder(tmp_path, config(), mini.fingerprint) / "record.json").exists()


@pytest.mark.parametrize("method", ["standard", "taujp-strict"])
def test_bf16_steps_follow_those_in_float32(method, mini):
    """Losses stay float32; bfloat16 has 8 bits, so gradients agree to about one per cent."""
    suite = load_suite("mini")
    task = suite.task("uci")
    head = zero_shot_head(mini, task.classes, task.templates)
    images, labels = load_split(task, "train")[:16]
    others = [(images.flip(0)[:4], labels[:4])] if method == "taujp-strict" else []
    tau = random_like(mini.theta0, 1, 0.002)
    results = []
    for name in ("float32", "bf16"):
        with precision(name, torch.device("cpu")):
            (batch,) = parts_of(images, labels, others, config(method), 0)
            parameters = config(method).method_parameters()
            results.append(METHODS[method].gradient(mini, head, tau, batch, None, **parameters))
    (exact, loss, penalty), (ours, our_loss, our_penalty) = results
    assert our_loss.dtype == torch.float32
    assert our_loss.item() == pytest.approx(loss.item(), rel=0.02)
    assert our_penalty.item() == pytest.approx(penalty.item(), rel=0.02)
    difference = sum((ours[name] - exact[name]).square().sum() for name in exact).sqrt()
    size = sum(value.square().sum() for value in exact.values()).sqrt()
    assert 1e-5 < (difference / size).item() < 0.03
    assert all(value.dtype == torch.float32 for value in ours.values())


def test_precision_is_checked_and_restored():
    before = torch.get_float32_matmul_precision()
    with (
        pytest.raises(ValueError, match="precision tf32 needs an NVIDIA GPU, not cpu"),
        precision("tf32", torch.device("cpu")),
    ):
        pass
    with pytest.raises(ValueError, match="unknown precision 'fp8': accepted are float32, tf32, bf16"):
        config(precision="fp8")
    assert torch.get_float32_matmul_precision() == before


def test_a_precision_that_the_device_lacks_leaves_nothing_behind(mini, tmp_path):
    with pytest.raises(ValueError, match="precision tf32 needs an NVIDIA GPU, not cpu"):
        finetune(config(precision="tf32"), tmp_path, mini)
    assert not list(tmp_path.iterdir())


def test_nan_in_the_loss_keeps_the_last_good_state(mini, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "is_due", lambda since, cost: True)
    ordinary, calls = descent.mean_gradient, []

    def nan_at_step_3(*arguments):
        calls.append(1)
        gradient, loss, penalty = ordinary(*arguments)
        return gradient, torch.tensor(float("nan")) if len(calls) == 4 else loss, penalty

    monkeypatch.setattr(descent, "mean_gradient", nan_at_step_3)
    with pytest.raises(
        FloatingPointError,
        match="loss of uci by taujp-efficient, seed 0 is nan at step 3; the last good state is kept in ",
    ):
        finetune(config(), tmp_path, mini)
    folder = run_folder(tmp_path, config(), mini.fingerprint)
    tensors, state = read_tensors(folder / "state.safetensors")
    assert state["progress"]["step"] == 3
    assert all(torch.isfinite(value).all() for value in tensors.values())
    assert not (folder / "record.json").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (dict(suite="maxi"), "unknown suite 'maxi': accepted are "),
        (dict(task="mnits"), "unknown task 'mnits': accepted are mnist, fashion"),
        (dict(method="lora"), "unknown method 'lora': accepted are attention-only, bayesian-irm, "),
        (dict(tasks=["mnist", "cars"]), "unknown task 'cars'"),
        (dict(penalty_weight=-0.1), "penalty_weight must be finite and not negative, not -0.1"),
        (dict(penalty_weight=float("nan")), "penalty_weight must be finite"),
        (dict(penalty_weight="0.1"), "penalty_weight must be a number, not '0.1'"),
        (dict(steps=0), "steps must be at least 1, not 0"),
        (dict(seed=-1), "seed must be at least 0, not -1"),
        (dict(steps=2.5), "steps must be an integer, not 2.5"),
        (dict(start=5), "start must be the digest of a vector, not 5"),
        (dict(penalty_every=81), "penalty_every must be at most 80, the number of steps, not 81"),
        (dict(penalty_every=0), "penalty_every must be at least 1, not 0"),
        (dict(penalty_form="cubed"), "unknown penalty_form 'cubed': accepted are norm, squared"),
        (dict(accumulation=3), "accumulation 3 does not divide the batch of 64 images"),
        (dict(lambda_=1.0), "unknown run parameter lambda_"),
        (dict(options={"a": 1}), "unknown run parameter options"),
        (dict(penalty_tasks=5), "penalty_tasks must be a list of data sets, not 5"),
        (dict(penalty_tasks=["uci"]), "penalty_tasks of uci must be other data sets, each once, not uci"),
        (dict(penalty_tasks=["mnist", "mnist"]), "must be other data sets, each once, not mnist, mnist"),
        (dict(method="taujp-strict", penalty_tasks=()), "needs at least one other data set"),
    ],
)
def test_wrong_parameters_get_a_sentence(arguments, sentence):
    arguments = {"suite": "mini", "task": "uci", "method": "taujp-efficient", **arguments}
    with pytest.raises((ValueError, TypeError), match=re.escape(sentence)) as caught:
        run_config(**arguments)
    assert "\n" not in str(caught.value)


def test_a_folder_of_other_parameters_is_refused(tmp_path):
    folder = open_run(tmp_path, config(), "0123")
    stored = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**stored, "penalty_weight": 9.0, "seed": 5}))
    with pytest.raises(ValueError, match="belongs to a run with other penalty_weight, seed"):
        open_run(tmp_path, config(), "0123")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    folder = run_folder(tmp_path, config(), "0123")
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds files but no config\.json"):
        open_run(tmp_path, config(), "0123")


def test_a_damaged_state_is_named(mini, tmp_path):
    folder = open_run(tmp_path, config(), mini.fingerprint)
    Path(folder / "state.safetensors").write_bytes(b"123")
    with pytest.raises(ValueError, match=r"state\.safetensors is truncated"):
        finetune(config(), tmp_path, mini)


def test_every_parameter_and_theta0_are_in_the_folder_name(tmp_path):
    folders = {run_folder(tmp_path, config(), "a"), run_folder(tmp_path, config(), "b")}
    folders |= {run_folder(tmp_path, config(penalty_weight=0.4), "a"), run_folder(tmp_path, config(seed=1), "a")}
    assert len(folders) == 4
    assert config("linear", penalty_weight=0.4) == config("linear")  # λ does not matter without a penalty


def test_a_finished_vector_is_continued(mini, tmp_path):
    first = finetune(config("standard"), tmp_path, mini).vector
    changes = {"steps": 1, "peak_lr": 1e-4, "weight_decay": 0.0}
    again = config("taujp-efficient", start=first.digest(), **changes)
    run = finetune(again, tmp_path, mini, start=first)
    # Adam's first step is lr·sign(gradient), so that nothing is farther away from the start than that.
    distance = max((run.vector.tau[name] - value).abs().max().item() for name, value in first.tau.items())
    assert 0 < distance <= again.peak_lr * 1.01
    assert max(value.abs().max().item() for value in first.tau.values()) > 1e-3
    assert run.record["metrics"]["zero_shot_validation_accuracy"] != run.record["curve"][0]["validation_accuracy"]
    assert run.folder != run_folder(tmp_path, config("taujp-efficient", **changes), mini.fingerprint)


def test_a_start_that_the_configuration_does_not_name_is_refused(mini, tmp_path):
    vector = TaskVector(random_like(mini.theta0, 0), mini.fingerprint, "uci", "standard")
    with pytest.raises(ValueError, match=rf"starts from zero, but vector {vector.digest()} was given"):
        finetune(config(), tmp_path, mini, start=vector)
    with pytest.raises(ValueError, match="starts from vector 0123, but no vector was given"):
        finetune(config(start="0123"), tmp_path, mini)
    foreign = replace(vector, theta0_fingerprint="other")
    with pytest.raises(ValueError, match="belongs to θ₀ other"):
        finetune(config(start=foreign.digest()), tmp_path, mini, start=foreign)
    assert list(tmp_path.iterdir()) == []
