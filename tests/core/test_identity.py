"""Identities: every field that decides is in them, at its default or not, and nothing else is."""

import ast
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import random_images, random_like, tiny_clip

from analysis.merging import arena
from analysis.merging import merge as merging
from analysis.merging.arena import Setting
from taujp_core import optimisation
from taujp_core.cache import cache_folder
from taujp_core.datasets import load, pictures, task_identity
from taujp_core.datasets.sources import SOURCES, rendered
from taujp_core.datasets.sources.class_folders import ClassFolders
from taujp_core.datasets.sources.dead_leaves import DeadLeaves
from taujp_core.datasets.sources.hub import Hub
from taujp_core.datasets.sources.in_memory import InMemory
from taujp_core.datasets.sources.published import Published
from taujp_core.datasets.sources.rendered import Package
from taujp_core.datasets.sources.tables import Table
from taujp_core.identity import bytes_digest, digest, fields_of, fingerprint, plain
from taujp_core.methods import METHODS
from taujp_core.suites import Suite, load_suite, own_suite, own_task
from taujp_core.suites.recipe import RECIPE
from taujp_core.task_vectors import TaskVector
from taujp_core.tasks import Place, Source, Task
from taujp_core.training import config as configuration
from taujp_core.training import joint, run_store
from taujp_core.training.config import RunConfig, run_config
from taujp_core.training.joint import joint_folder, on_the_union
from taujp_core.training.run_store import identity, run_folder

ROOT = Path(__file__).parents[2]
SUITE = load_suite("mini")


# Records and digests


def test_a_record_is_what_json_gives_back_and_equal_values_have_one():
    @dataclass
    class Thing:
        a: tuple
        b: float = 2.0

    given = {"x": Thing((1, None)), 3: [True, 0.1, "ü"]}
    assert plain(given) == {"x": {"a": [1, None], "b": 2}, "3": [True, 0.1, "ü"]}
    assert plain(json.loads(json.dumps(plain(given)))) == plain(given)
    assert digest({"a": 1, "b": [0.5]}) == digest({"b": (0.5,), "a": 1.0}) != digest({"a": 1, "b": [0.25]})
    assert digest({"a": 1}) != digest({"a": True}) and digest("1") != digest(1)
    assert digest(1e-300) != digest(0.0) and digest([1, [2]]) != digest([[1], 2])
    with pytest.raises(TypeError, match="cannot be recorded"):
        digest({"a": torch.zeros(1)})
    with pytest.raises(TypeError, match="cannot be recorded"):
        digest({"a": {1, 2}})  # whose order is another in each process


def test_digests_stay_what_they_are():
    """For what is stored bears them. A failure here means that every run, merge and cache is made anew."""
    sha = hashlib.sha256(b'{"a": "\\u00e9", "b": [1, 2.5, null]}').hexdigest()[:16]
    assert (
        digest({"b": [1, 2.5, None], "a": "é"}) == bytes_digest([b'{"a": "\\u00e9"', b', "b": [1, 2.5, null]}']) == sha
    )
    assert fingerprint({"b": torch.ones(2), "a": torch.zeros(1, 2, dtype=torch.int64)}) == bytes_digest(
        [b"a torch.int64 (1, 2);", bytes(16), b"b torch.float32 (2,);", np.ones(2, np.float32).tobytes()]
    )


def test_only_one_place_makes_digests():
    """But for checksums that others publish, pictures that are compared, and a data set that is read while it is hashed."""
    others = {"files.py", "hub.py", "check.py", "in_memory.py", "identity.py"}
    found = {
        path.name
        for package in ("taujp_core", "analysis")
        for path in (ROOT / package).rglob("*.py")
        if "import hashlib" in path.read_text(encoding="utf-8") or "sort_keys" in path.read_text(encoding="utf-8")
    }
    assert found == others


def test_no_identity_reads_source_text():
    """A comment changes nothing: only the worker, which must run the driver's code to the letter, looks at code."""
    for package in ("taujp_core", "analysis"):
        for path in (ROOT / package).rglob("*.py"):
            names = {node.attr for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Attribute)}  # fmt: skip
            assert "getsource" not in names, path
            of_code = '"*.py"' in path.read_text(encoding="utf-8")
            assert not of_code or path.name == "worker.py", path


# What decides a run


OTHER = {  # for each field another value, which must be another run
    "task": "mnist", "method": "taujp-strict", "seed": 1, "steps": 81, "batch_size": 32, "peak_lr": 2e-3, "weight_decay": 0.2,
    "warmup_steps": 9, "clip_norm": 2.0, "penalty_weight": 0.3, "penalty_batch_size": 8, "penalty_start": 1,
    "penalty_tasks": ("mnist",), "accumulation": 2, "precision": "bf16", "least_crop": 0.5, "penalty_reservoir": 10,
    "start": "0123", "options": {"pull": 0.1}, "suite": replace(SUITE, name="other"),
}  # fmt: skip


def test_every_field_of_a_configuration_is_in_the_identity():
    """A new field without another value here fails, and so does one that the identity leaves out."""
    config = run_config(SUITE, "uci", "taujp-efficient")
    assert OTHER.keys() == {f.name for f in fields(RunConfig)}
    made = [identity(replace(config, **{name: value}), "θ₀") for name, value in OTHER.items()]
    assert len({digest(one) for one in [identity(config, "θ₀"), identity(config, "θ₁"), *made]}) == len(OTHER) + 2
    assert {f.name for f in fields(RunConfig)} <= identity(config, "θ₀").keys()


@pytest.mark.parametrize("change", [{"model": "ViT-B-32"}, {"pretrained": "openai"}])
def test_another_model_of_the_suite_is_another_run(change):
    """The text tower makes the head, and θ₀ says nothing of it."""
    config = run_config(SUITE, "uci", "linear")
    assert identity(replace(config, suite=replace(SUITE, **change)), "θ₀") != identity(config, "θ₀")


def test_no_default_finds_old_runs(monkeypatch):
    """Every default of the recipe, of a method's own parameters and of RunConfig, one after the other."""
    before = {name: identity(config_of(name), "θ₀") for name in ("taujp-efficient", "irmv1")}
    for name, number in RECIPE.items():
        if number.default is not None:
            with monkeypatch.context() as patch:
                other = dataclasses.replace(number, default=number.default + 1)
                patch.setitem(RECIPE, name, other)
                batches = {"batch_size": 64, "penalty_batch_size": 16}  # that 2 divides
                assert identity(config_of("taujp-efficient", **batches), "θ₀") != before["taujp-efficient"], name
    for method, own in METHODS.items():
        for name, parameter in own.parameters.items():
            with monkeypatch.context() as patch:
                at_default = identity(without_recipe(method), "θ₀")
                other = (
                    {"default": min(parameter.default + 1, parameter.most)}
                    if not parameter.accepted
                    else {"default": parameter.accepted[-1]}
                )
                patch.setitem(own.parameters, name, replace(parameter, **other))
                assert identity(without_recipe(method), "θ₀") != at_default, (method, name)
    for one in fields(RunConfig):
        if one.default not in (dataclasses.MISSING, ""):
            assert identity(config_of("linear"), "θ₀")[one.name] == one.default


def config_of(method: str, suite: Suite = SUITE, **changes) -> RunConfig:
    over = METHODS[method].others == "environments"
    return run_config(suite, "uci", method, tasks=["uci", "mnist"] if over else None, **changes)


def without_recipe(method: str) -> RunConfig:
    """The suite says λ, which then is no default."""
    recipe = {name: value for name, value in SUITE.recipe.items() if name != "penalty_weight"}
    with pytest.MonkeyPatch.context() as patch:
        defaults = {name: replace(number, default=0.0) if name == "penalty_weight" else number for name, number in RECIPE.items()}  # fmt: skip
        patch.setattr(configuration, "RECIPE", defaults)
        return config_of(method, replace(SUITE, recipe=recipe))


def test_every_version_is_in_the_identity_of_what_it_makes(monkeypatch):
    config = config_of("irmv1")

    def found() -> tuple[str, str]:
        return digest(identity(config, "θ₀")), joint_of().name

    def joint_of() -> Path:
        return joint_folder([on_the_union(config_of("linear"), 1)], "runs", "θ₀")

    seen = [found()]
    assert run_store.VERSION is optimisation.VERSION
    for module in (run_store, load, pictures):
        with monkeypatch.context() as patch:
            patch.setattr(module, "VERSION", 0)
            seen.append(found())
    with monkeypatch.context() as patch:
        patch.setattr(Package, "version", 0)
        seen.append(found())
    assert all(len({one[k] for one in seen}) == len(seen) for k in (0, 1))
    with monkeypatch.context() as patch:
        patch.setitem(METHODS, "irmv1", replace(METHODS["irmv1"], version=2))
        assert found()[0] != seen[0][0] and found()[1] == seen[0][1]
    with monkeypatch.context() as patch:
        patch.setattr(joint, "VERSION", 0)
        assert found()[0] == seen[0][0] and found()[1] != seen[0][1]
    with monkeypatch.context() as patch:
        street = run_config(SUITE, "street", "linear")
        before = identity(street, "θ₀")
        patch.setitem(rendered.VERSIONS, "street", 0)
        assert identity(street, "θ₀") != before and found() == seen[0]  # other pictures keep their runs


# What decides a data set


def sources(root: Path) -> dict[type, tuple[Source, dict]]:
    """Of each source one, and for each of its fields another value; None where a field only says where the pictures are,
    or is in the digest of another."""
    labels = torch.arange(20) % 2
    memory = own_task("t", ["a", "b"], train=(random_images(20), labels)).source
    other = own_task("t", ["a", "b"], train=(random_images(20, 1), labels)).source
    return {
        ClassFolders: (ClassFolders("pets", ("cat", "dog")), {"path": None, "folders": ("dog", "cat")}),
        Table: (Table("table"), {"path": None, "image": "picture", "label": "class"}),
        Hub: (Hub("someone/pets"), {"repo": "someone/else", "revision": "b", "train": "a*", "test": "b*", "validation": "c*",
                                    "image": "picture", "label": "class"}),
        DeadLeaves: (DeadLeaves(20), {"pictures": 30}),
        Package: (Package("street", 0.4), {"data": "letters", "severity": 0.5}),
        Published: (Published("cars", Hub("someone/cars")), {"data": "dtd", "hub": Hub("someone/cars", test="a*")}),
        InMemory: (memory, {"digest": other.digest, "parts": None}),
    }  # fmt: skip


@pytest.mark.parametrize("kind", [*SOURCES, InMemory])
def test_every_field_of_a_source_is_in_the_identity(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("TAUJP_DATA", str(tmp_path))
    for repo in ("someone/pets", "someone/else"):
        for revision in ("main", "b"):
            record = tmp_path / "hub" / repo / revision / "taujp.json"
            record.parent.mkdir(parents=True)
            record.write_text('{"commit": "0", "complete": true}')
    (tmp_path / "table").mkdir()
    monkeypatch.setattr("taujp_core.datasets.sources.tables.picture_files", lambda folder, image: set())
    source, other = sources(tmp_path)[kind]
    assert other.keys() == {f.name for f in fields(kind)}
    assert isinstance(source, Source) and isinstance(kind.version, int)

    def said(source: Source) -> dict:
        place = Place("here", (), lambda part: ([], []))
        return source.identity(Task("t", ("a", "b"), ("{}",), 32, source), place)

    changed = [digest(said(replace(source, **{name: value}))) for name, value in other.items() if value is not None]
    assert len({digest(said(source)), *changed}) == len(changed) + 1
    assert not said(source).keys() & {name for name, value in other.items() if value is None}


def test_every_field_of_a_task_is_in_the_identity(monkeypatch):
    task = SUITE.task("street")
    other = {
        "name": "other", "classes": ("a",), "templates": ("a {}",), "image_size": 64, "source": Package("letters", 0.4),
        "train_images": 1, "test_images": 1, "validation_images": 1,
    }  # fmt: skip
    assert other.keys() == {f.name for f in fields(Task)}
    changed = [digest(task_identity(replace(task, **{name: value}))) for name, value in other.items()]
    for module in (load, pictures):
        with monkeypatch.context() as patch:
            patch.setattr(module, "VERSION", 0)
            changed.append(digest(task_identity(task)))
    assert len({digest(task_identity(task)), *changed}) == len(changed) + 1


def test_rendered_pictures_are_kept_by_version_and_number_of_classes(tmp_path, monkeypatch):
    """Fewer classes are other pictures, which were once read from the cache of more."""
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path))
    task = SUITE.task("shapes")
    few = replace(task, classes=task.classes[:3])
    labels = [rendered.package_images(one, "test")[1] for one in (task, few)]
    assert labels[0].max() == len(task.classes) - 1 and labels[1].max() == 2
    monkeypatch.setitem(rendered.VERSIONS, "shapes", 2)
    rendered.package_images(few, "test")
    assert sorted(path.name for path in cache_folder().iterdir()) == [
        "shapes-test-3classes-severity0.6-version1.1.safetensors",
        "shapes-test-3classes-severity0.6-version1.2.safetensors",
        "shapes-test-40classes-severity0.6-version1.1.safetensors",
    ]


# Merges and the arena


def vectors(clip, method: str) -> list[TaskVector]:
    return [
        TaskVector(random_like(clip.theta0, seed), clip.fingerprint, task, method)
        for seed, task in enumerate(("uci", "mnist"))
    ]


def test_no_two_merges_share_an_identity(mini, monkeypatch):
    clip, images = tiny_clip(mini), {"uci": random_images(3), "mnist": random_images(3, 1)}
    one = dict(vectors=vectors(clip, "standard"), clip=clip, images=images, control=None, rounds=2, round_images=4)
    others = [
        {"vectors": vectors(clip, "linear")},
        {"vectors": one["vectors"][::-1]},
        {"clip": replace(clip, fingerprint="other")},
        {"images": {**images, "uci": random_images(3, 2)}},
        {"images": {"uci": images["mnist"], "mnist": images["uci"]}},
        {"control": random_images(3, 3)},
        {"control": random_images(3, 4)},
        {"rounds": 3},
        {"round_images": 5},
    ]
    found = [merging.identity(**{**one, **other}) for other in [{}, *others]]
    monkeypatch.setattr(merging, "VERSION", 0)
    assert len({*found, merging.identity(**one)}) == len(others) + 2
    assert merging.identity(**{**one, "vectors": vectors(clip, "standard")}) == merging.identity(**one)


def test_no_two_races_share_an_identity(mini, monkeypatch):
    clip, tasks = tiny_clip(mini), [SUITE.task("uci"), SUITE.task("mnist")]
    suite = own_suite("mini", tasks, SUITE.control)
    setting = Setting(clip, suite, 4, 8, 8)
    renamed = replace(tasks[0], templates=("the {}",))
    swapped = replace(tasks[0], classes=tasks[0].classes[::-1])
    drawn = replace(tasks[0], source=Package("fashion"))
    others = [
        replace(setting, suite=own_suite("mini", [first, tasks[1]], SUITE.control))
        for first in (renamed, swapped, drawn)
    ]
    others += [replace(setting, suite=own_suite("mini", tasks, SUITE.task("signs")))]
    others += [replace(setting, suite=replace(suite, **{name: "other"})) for name in ("name", "model", "pretrained")]
    numbers = ("merge_images", "validation_images", "test_images", "rounds")
    others += [
        replace(setting, clip=replace(clip, fingerprint="other")),
        *(replace(setting, **{n: 3}) for n in numbers),
    ]
    assert {"clip", "suite", *numbers} == {f.name for f in fields(Setting)}
    given = vectors(clip, "standard")
    found = [arena.identity("TIES", one, given) for one in [setting, *others]]
    found += [arena.identity(name, setting, given) for name in arena.merges() if name != "TIES"]
    found += [arena.identity("TIES", setting, vectors(clip, "linear")), arena.identity("TIES", setting, given[:1])]
    for name, value in (("VERSION", 0), ("ALPHAS", (1.0,)), ("ROUND_IMAGES", 1)):
        with monkeypatch.context() as patch:
            patch.setattr(arena, name, value)
            found.append(arena.identity("TIES", setting, given))
    with monkeypatch.context() as patch:
        patch.setitem(arena.RIVALS, "TIES", replace(arena.RIVALS["TIES"], version=2))
        found.append(arena.identity("TIES", setting, given))
    with monkeypatch.context() as patch:
        before = arena.identity("ours", setting, given)
        patch.setattr(arena, "MERGE_VERSION", 0)
        assert arena.identity("ours", setting, given) != before
    assert len(set(found)) == len(found)
    assert arena.identity("TIES", setting, vectors(clip, "standard")) == found[0]


# Other processes, other text


SAY = """
from taujp_core.training.config import run_config
from taujp_core.training.run_store import run_folder
for method in ("standard", "taujp-strict", "irmv1"):
    tasks = ["uci", "mnist"] if method == "irmv1" else None
    print(run_folder("runs", run_config("mini", "uci", method, tasks=tasks), "θ₀"))
"""


def test_an_identity_is_the_same_in_every_process_and_with_comments_in_every_file(tmp_path):
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT / "taujp_core", copy / "taujp_core")
    for path in (copy / "taujp_core").rglob("*.py"):
        path.write_text(path.read_text(encoding="utf-8") + "\n# a comment\n", encoding="utf-8")
    said = set()
    for root, seed in ((ROOT, "1"), (ROOT, "2"), (copy, "3")):
        environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"}
        found = subprocess.run([sys.executable, "-c", SAY], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)  # fmt: skip
        said.add(found.stdout)
    over = {"irmv1": ["uci", "mnist"]}
    here = [run_folder("runs", run_config(SUITE, "uci", method, tasks=over.get(method)), "θ₀") for method in ("standard", "taujp-strict", "irmv1")]  # fmt: skip
    assert said == {"".join(f"{folder}\n" for folder in here)}


def test_a_field_that_is_left_out_is_one_that_exists():
    @dataclass
    class Thing:
        a: int = 1
        b: list = field(default_factory=list)

    assert fields_of(Thing()) == {"a": 1, "b": []} and fields_of(Thing(), "b") == {"a": 1}
    with pytest.raises(ValueError, match="no field c"):
        fields_of(Thing(), "c")
