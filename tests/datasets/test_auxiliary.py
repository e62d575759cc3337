"""Pictures of no task: a penalty sees them where it is told to, and nothing else changes; dead leaves are what they say."""

import math

import numpy as np
import pytest
import torch
from conftest import random_images, tiny_clip
from test_own_data import root, write_suite  # noqa: F401
from torchvision.transforms.functional import to_pil_image

from taujp_core.datasets import load_split
from taujp_core.datasets.__main__ import main
from taujp_core.datasets.sources import dead_leaves
from taujp_core.datasets.sources.dead_leaves import DeadLeaves
from taujp_core.mini.canvas import Random
from taujp_core.suites import load_suite, own_suite
from taujp_core.tasks import Task
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune
from taujp_core.training.one_task import train
from taujp_core.training.step_images import penalised_splits, step_batches

SUITE = load_suite("mini")
SMALL = {"steps": 3, "batch_size": 8, "penalty_batch_size": 4, "peak_lr": 1e-3}


@pytest.fixture
def few(monkeypatch):
    """Leaves in a moment."""
    monkeypatch.setattr(dead_leaves, "LEAVES", 3)


def written_pictures(folder, count: int):
    folder.mkdir(parents=True)
    for number, image in enumerate(random_images(count, 3)):
        to_pil_image(image).save(folder / f"{number}.png")
    return folder


def test_a_penalty_sees_auxiliary_pictures_only_where_it_is_told_to():
    assert "dead-leaves" in SUITE.auxiliary and "dead-leaves" not in SUITE.datasets()
    by_default = run_config(SUITE, "uci", "taujp-strict")
    assert by_default.penalty_tasks == tuple(name for name in SUITE.datasets() if name != "uci")
    config = run_config(SUITE, "uci", "taujp-efficient", penalty_tasks=["dead-leaves"], penalty_reservoir=5)
    leaves = {image.numpy().tobytes() for image in load_split(SUITE.task("dead-leaves"), "train").images}
    others, ours = penalised_splits(config), load_split(SUITE.task("uci"), "train").first(20)
    assert len(others[0]) > 5  # a reservoir is of tasks
    for step in range(3):
        ((seen, _),) = step_batches(config, ours, others, step)[2]
        assert len(seen) == 16 and {image.numpy().tobytes() for image in seen} <= leaves


def test_a_leaf_is_drawn_as_its_formula_says(monkeypatch):
    """Pixel by pixel, in plain Python, from the same random numbers."""
    monkeypatch.setattr(dead_leaves, "LEAVES", 6)
    size, n = 12, 3
    found, rng = dead_leaves.render(Random(n, 5), size), Random(n, 5)
    colour = rng.uniform(shape=(3, 1, 1)).reshape(n, 3).numpy()
    expected = np.repeat(np.repeat(colour[:, :, None, None], size, 2), size, 3)
    for _ in range(6):
        chance, x0, y0, angle, flat, round_ = (rng.uniform().flatten().tolist() for _ in range(6))
        colour = rng.uniform(shape=(3, 1, 1)).reshape(n, 3).numpy()
        for k in range(n):
            # The share of radii up to r is ∫ s⁻³ ds from 0.08 to r over that to 1: inverted by bisection.
            low, high = 0.08, 1.0
            for _ in range(60):
                middle = (low + high) / 2
                share = (0.08**-2 - middle**-2) / (0.08**-2 - 1)
                low, high = (middle, high) if share < chance[k] else (low, middle)
            turn = math.pi * angle[k]
            for row in range(size):
                for column in range(size):
                    dx = (column + 0.5) * 2 / size - 1 - (2 * x0[k] - 1)
                    dy = (row + 0.5) * 2 / size - 1 - (2 * y0[k] - 1)
                    u, v = dx * math.cos(turn) + dy * math.sin(turn), dy * math.cos(turn) - dx * math.sin(turn)
                    rectangle = max(abs(u) - low, abs(v) - low * (0.3 + 0.7 * flat[k]))
                    outside = math.hypot(u, v) - low if round_[k] < 0.5 else rectangle
                    covered = min(1.0, max(0.0, 0.5 - outside * size / 2))
                    expected[k, :, row, column] += covered * (colour[k] - expected[k, :, row, column])
    assert found.dtype == torch.uint8 and found.shape == (n, 3, size, size)
    assert np.abs(found.numpy() - expected * 255).max() <= 0.5 + 1e-6
    assert len({image.numpy().tobytes() for image in found}) == n


def test_leaves_are_of_the_models_size_and_those_that_the_cache_holds(few, tmp_path, monkeypatch):
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path))
    task = Task("leaves", ("picture",), ("{}",), 20, DeadLeaves(120))
    parts = [load_split(task, split).images for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [87, 9, 24] and parts[0].shape[1:] == (3, 20, 20)
    assert len({image.numpy().tobytes() for part in parts for image in part}) == 120
    (file,) = tmp_path.glob("dead-leaves-120-size20-*")
    monkeypatch.setattr(dead_leaves, "render", None)
    assert torch.equal(load_split(task, "train").images, parts[0])
    file.unlink()
    with pytest.raises(TypeError):
        load_split(task, "train")


def test_a_folder_and_a_set_of_another_suite_serve_in_a_suite_file(few, root, mini, tmp_path, capsys):  # noqa: F811
    """A folder of pictures without classes; relative to TAUJP_DATA. Other pictures are another run."""
    written_pictures(root / "streets", 7)
    task = {"uci": {"from": "mini"}}
    sets = {"streets": "streets", "leaves": {"from": "mini/dead-leaves"}}
    write_suite(root, tasks=task, control={"mnist": {"from": "mini"}}, auxiliary=sets)
    suite = load_suite("mine")
    assert [*suite.auxiliary] == ["streets", "leaves"] and len(load_split(suite.task("streets"), "train")) == 7
    assert suite.task("leaves").source == SUITE.task("dead-leaves").source
    clip = tiny_clip(mini)
    config = run_config(suite, "uci", "taujp-efficient", penalty_tasks=["streets"], **SMALL)
    run = finetune(config, tmp_path / "runs", clip)
    assert main(["check", "--suite", "mine"]) == 0
    assert ["streets", "train", "7"] in [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    to_pil_image(random_images(1, 9)[0]).save(root / "streets" / "more.png")
    assert finetune(config, tmp_path / "runs", clip).folder != run.folder


def test_a_suite_in_python_and_a_training_without_a_suite_see_the_same(mini, tmp_path):
    """Bit for bit: `auxiliary` of `own_suite`, and `others` of `train`, which need not be of a task."""
    clip, street, pictures = tiny_clip(mini), SUITE.task("street"), random_images(9, 1)
    suite = own_suite(clip, [street, SUITE.task("signs")], auxiliary={"noise": pictures})
    config = run_config(suite, "street", "taujp-efficient", penalty_tasks=["noise"], **SMALL)
    found = finetune(config, tmp_path / "a", clip).vector
    alone = train(clip, street, {"noise": pictures}, store=tmp_path / "b", **SMALL)
    assert found.digest() == alone.vector.digest()
    on_tasks = finetune(run_config(suite, "street", "taujp-efficient", **SMALL), tmp_path / "a", clip)
    assert on_tasks.config.penalty_tasks == ("signs",) and on_tasks.vector.digest() != found.digest()


@pytest.mark.parametrize(
    ("auxiliary", "kind", "sentence"),
    [
        ({"streets": "nowhere"}, FileNotFoundError, "the folder .*nowhere does not exist"),
        ({"streets": "empty"}, ValueError, "empty has no pictures"),
        ({"streets": 3}, TypeError, "the task streets must be a mapping with keys such as folder and classes, not 3"),
        (["streets"], TypeError, "auxiliary of .* must be a mapping of names to what they are"),
        ({"uci": {"dead_leaves": 20}}, ValueError, "two data sets of the suite mine have the name 'uci'"),
        ({"leaves": {"dead_leaves": 2}}, ValueError, "dead_leaves of the task leaves must be a number of pictures, at least 10, not 2"),
        ({"leaves": {"dead_leaves": True}}, ValueError, "must be a number of pictures, at least 10, not True"),
        ({"leaves": {"dead_leaves": 20, "classes": ["a"]}}, ValueError, "dead leaves have no classes, and leaves is given some"),
        ({"leaves": {"dead_leaves": 20, "severity": 1}}, ValueError, "has the key 'severity', which goes with package"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_suite_is_one_sentence(root, auxiliary, kind, sentence):  # noqa: F811
    (root / "empty").mkdir()
    write_suite(root, tasks={"uci": {"from": "mini"}}, auxiliary=auxiliary)
    with pytest.raises(kind, match=sentence):
        load_suite("mine")


def test_what_cannot_be_trained_or_penalised_is_one_sentence():
    with pytest.raises(ValueError, match="dead-leaves has one class, 'picture'"):
        run_config(SUITE, "dead-leaves", "linear")
    with pytest.raises(ValueError, match=r"unknown task 'leaves': accepted are mnist, .*, shapes, dead-leaves"):
        run_config(SUITE, "uci", "taujp-efficient", penalty_tasks=["leaves"])
    with pytest.raises(TypeError, match="auxiliary must be a mapping of names to data sets"):
        own_suite("mini", [SUITE.task("uci")], auxiliary=[3])
