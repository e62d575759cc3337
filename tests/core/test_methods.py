"""Methods: each is one file; a new one needs nothing else; how it is applied is its own property."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import random_images, random_like, tiny_clip

import taujp_core
from analysis.addition.measure import measure_addition, summary_table
from analysis.trainings import run_configs, train
from taujp_core.applications import find_application
from taujp_core.datasets import load_split
from taujp_core.evaluation import cross_entropy, features, linearised_features
from taujp_core.methods import METHODS, Batch, Method, Parameter, find_method, register
from taujp_core.products.jacobian import linearised_gradient
from taujp_core.suites import load_suite
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune
from taujp_core.training.run_store import run_folder

SUITE = load_suite("mini")
LINEARISED = find_application("linearised")
SHORT = {"steps": 3, "batch_size": 8, "penalty_batch_size": 4}


def test_each_method_is_a_file():
    folder = Path(taujp_core.__file__).parent / "methods"
    # Others hold what several methods share.
    files = {path.stem for path in folder.glob("*.py") if re.search("^METHOD = ", path.read_text(), re.MULTILINE)}
    assert files == {name.replace("-", "_") for name in METHODS}


def test_nobody_else_compares_a_methods_name():
    """Names stand in tables of colours, of published rows and of a study's own methods, never in a condition."""
    root = Path(taujp_core.__file__).parents[1]
    name = "|".join(re.escape(name) for name in METHODS)
    condition = re.compile(rf"(==|!=|\bin\b) *[\[(]?\"({name})\"|\"({name})\" *(==|!=|in\b)|startswith\(\"taujp")
    found = [
        f"{path.name}: {line.strip()}"
        for folder in ("taujp_core", "analysis")
        for path in (root / folder).rglob("*.py")
        if path.parent.name != "methods"
        for line in path.read_text().splitlines()
        if condition.search(line)
    ]
    assert found == []


@pytest.fixture
def biased():
    """A method with a parameter of its own that moves the biases alone, and draws every τ towards zero."""

    def gradient(clip, head, tau, batch: Batch, prepared, pull: float):
        def objective(f0, products):
            loss = cross_entropy(f0 + products, head, batch.labels)
            return loss, loss.detach()

        found, loss = linearised_gradient(clip.encoder, clip.theta0, tau, batch.images, objective)
        penalty = sum(value.square().sum() for value in tau.values()) / 2
        return {name: value + pull * tau[name] for name, value in found.items()}, loss, penalty

    method = Method(
        "bias-only", LINEARISED, gradient, moves=lambda name: name.endswith("bias"),
        parameters={"pull": Parameter(0.5, least=0.1)},
    )  # fmt: skip
    register(method)
    yield method
    del METHODS[method.name]


def test_a_method_that_is_registered_works_everywhere(biased, mini, tmp_path):
    clip = tiny_clip(mini)
    changes = {"steps": 3, "batch_size": 8, "pull": 0.2}
    runs = train(clip, run_configs("mini", ["uci", "mnist"], ["bias-only"], **changes), tmp_path)
    for run in runs:
        moved = {name for name, value in run.vector.tau.items() if value.any()}
        assert moved == {name for name in clip.theta0 if name.endswith("bias")}
        assert run.record["config"]["options"] == {"pull": 0.2}
        assert run.config.peak_lr == SUITE.recipe["peak_lr"]["linear"]
    (summary,) = summary_table(measure_addition(clip, SUITE, runs)).to_dict("records")
    assert summary["method"] == "bias-only"
    folders = {run_folder(tmp_path, run_config("mini", "uci", "bias-only", pull=pull), "x") for pull in (0.2, 0.3)}
    assert len(folders) == 2
    with pytest.raises(ValueError, match=r"pull must be at least 0.1, not 0.05"):
        run_config("mini", "uci", "bias-only", pull=0.05)
    # Methods of one batch share its parameters; what a method does not have is nothing to it.
    assert run_config("mini", "uci", "linear", pull=0.2) == run_config("mini", "uci", "linear")
    both = train(clip, run_configs("mini", ["uci"], ["linear", "bias-only"], **changes), tmp_path)
    assert [run.config.options for run in both] == [{}, {"pull": 0.2}]
    with pytest.raises(ValueError, match="there is a method bias-only already"):
        register(biased)


def test_wrong_methods_are_refused():
    with pytest.raises(ValueError, match="unknown method 'lora': accepted are "):
        find_method("lora")
    with pytest.raises(
        ValueError,
        match="application of odd must be an object like ENCODER, LINEARISED, LINEARISED-NORMALISED, not 'encoder'",
    ):
        register(Method("odd", "encoder", None))
    with pytest.raises(
        ValueError, match="unknown kind of other images of odd 'some': accepted are none, in turn, all, env"
    ):
        register(Method("odd", LINEARISED, None, others="some"))
    assert "odd" not in METHODS


def test_application_decides_how_a_vector_is_evaluated(mini):
    tau, images = random_like(mini.theta0, 1), random_images(4)
    theta = {name: value + tau[name] for name, value in mini.theta0.items()}
    assert torch.equal(
        find_method("standard").application.features(mini, tau, images), features(mini.encoder, theta, images)
    )
    assert torch.equal(
        find_method("post-hoc-linearised").application.features(mini, tau, images),
        linearised_features(mini.encoder, mini.theta0, tau, images),
    )


def test_post_hoc_linearised_is_the_standard_vector_applied_otherwise(mini, tmp_path):
    clip = tiny_clip(mini)
    configs = run_configs("mini", ["uci"], ["standard", "post-hoc-linearised"], steps=12, batch_size=32)
    standard, linearised = train(clip, configs, tmp_path)
    assert linearised.folder == standard.folder  # nothing is trained
    assert all(torch.equal(linearised.vector.tau[name], value) for name, value in standard.vector.tau.items())
    assert [run.vector.method for run in (standard, linearised)] == ["standard", "post-hoc-linearised"]
    addition = measure_addition(clip, SUITE, [standard, linearised])
    assert sorted(addition.per_task.method.unique()) == ["post-hoc-linearised"]
    assert len(summary_table(addition)) == 2
    found = [run.record["metrics"]["validation_accuracy"] for run in (standard, linearised)]
    single = addition.single[addition.single.split == "validation"].set_index("method").accuracy
    # Predictions of equal logits may go either way: one image of 258.
    assert found == pytest.approx([single["standard"], single["post-hoc-linearised"]], abs=0.004)


def test_factors_computed_beforehand_reach_the_gradient(mini, tmp_path):
    seen = []

    def gradient(clip, head, tau, batch, prepared, own):
        seen.append(prepared)
        return METHODS["linear"].gradient(clip, head, tau, batch)

    method = Method(
        "prepared", LINEARISED, gradient, others="all", parameters={"own": Parameter(0.5)},
        prepare=lambda sight: [*map(len, (sight.train, sight.validation, *sight.others)), sight.seed, sight.parameters],
    )  # fmt: skip
    register(method)
    try:
        config = run_config("mini", "uci", "prepared", seed=4, tasks=["uci", "mnist"], **SHORT)
        finetune(config, tmp_path, mini)
    finally:
        del METHODS[method.name]
    splits = [("uci", "train"), ("uci", "validation"), ("mnist", "train"), ("shapes", "train")]
    sizes = [len(load_split(SUITE.task(name), which)) for name, which in splits]
    assert seen == [[*sizes, 4, {"own": 0.5}]] * 3


def test_a_rate_of_zero_and_a_penalty_of_ones_own_count():
    """Not another method's rate, and not the λ that the suite means for τJp."""
    mini = load_suite("mini")
    rates = {**mini.recipe["peak_lr"], "taujp-strict": 0}
    still = replace(mini, recipe={**mini.recipe, "peak_lr": rates})
    assert run_config(still, "mnist", "taujp-strict").peak_lr == 0
    assert run_config(still, "mnist", "taujp-efficient").peak_lr == mini.recipe["peak_lr"]["taujp-efficient"]
    domains = load_suite("mini-domains")
    task, *_ = environments = [
        name for name, one in domains.tasks.items() if one.classes == domains.task("mnist").classes
    ]
    own = METHODS["irmv1"].parameters["penalty_weight"].default
    assert domains.recipe["penalty_weight"] != own
    assert run_config(domains, task, "irmv1", tasks=environments).penalty_weight == own
    assert run_config(domains, task, "irmv1", tasks=environments, penalty_weight=3).penalty_weight == 3
    assert run_config(mini, "mnist", "taujp-strict").penalty_weight == mini.recipe["penalty_weight"]
