"""Suites: the benchmark's recipe gives the paper's numbers of steps, own suites are found, bad ones are named."""

import open_clip
import pytest
import yaml

from taujp_core.suites import load_suite
from taujp_core.training.config import run_config

PUBLISHED = {  # training images, test images, classes, steps
    "cars": (8144, 8041, 196, 2030), "dtd": (3760, 1880, 47, 2052), "eurosat": (21600, 2700, 10, 2028),
    "gtsrb": (26640, 12630, 43, 2068), "mnist": (60000, 10000, 10, 2150), "resisc45": (18900, 6300, 45, 2220),
    "sun397": (19850, 19850, 397, 1960), "svhn": (73257, 26032, 10, 2136),
    # Steps without images that are held out, of TALL masks' epochs; of the three with published validation images with all.
    "stl10": (5000, 8000, 10, 60 * 36), "oxfordiiitpet": (3680, 3669, 37, 82 * 26), "flowers102": (1020, 6149, 102, 147 * 8),
    "cifar100": (50000, 10000, 100, 6 * 352), "pcam": (262144, 32768, 2, 2048), "fer2013": (28709, 7178, 7, 10 * 202),
    "cifar10": (50000, 10000, 10, 6 * 352), "food101": (75750, 25250, 101, 4 * 553),
    "fashionmnist": (60000, 10000, 10, 5 * 430), "renderedsst2": (6920, 1821, 2, 39 * 55),
    "emnist": (240000, 40000, 10, 2 * 1836), "kmnist": (60000, 10000, 10, 5 * 430),
}  # fmt: skip
UNPINNED = ("renderedsst2", "emnist")  # repositories of which no commit is known
VALIDATION = {"eurosat": 2700, "resisc45": 6300, "flowers102": 1020, "pcam": 32768, "renderedsst2": 872}


@pytest.mark.parametrize("name", [f"clip{count}-{model}" for count in (8, 14, 20) for model in ("b32", "b16", "l14")])
def test_the_benchmark_is_as_published(name):
    suite = load_suite(name)
    published = dict(list(PUBLISHED.items())[: int(name[4:].partition("-")[0])])
    assert suite.pretrained == "openai"
    assert open_clip.get_model_config(suite.model)["quick_gelu"]
    assert list(suite.tasks) == list(published)
    for task, (train, test, classes, steps) in published.items():
        entry = suite.task(task)
        assert (entry.train_images, entry.test_images, len(set(entry.classes))) == (train, test, classes)
        assert all(template.count("{}") == 1 for template in entry.templates)
        assert entry.validation_images == VALIDATION.get(task)
        assert (entry.source.hub.revision == "main") if task in UNPINNED else len(entry.source.hub.revision) == 40
        config = run_config(name, task, "taujp-efficient")
        assert config.steps == steps  # with each epoch's short last batch
        assert (config.batch_size, config.penalty_batch_size, config.penalty_weight) == (128, 16, 0.1)
        assert (config.peak_lr, config.weight_decay, config.warmup_steps, config.clip_norm) == (1e-5, 0.1, 500, 1.0)
        assert config.accumulation == (4 if name.endswith("l14") else 1)
        assert config.penalty_tasks == tuple(other for other in [*published, "imagenet"] if other != task)
    assert (len(suite.control.classes), len(suite.control.templates)) == (1000, 80)
    assert suite.control.classes[0] == "tench"
    assert suite.control.templates[0] == "a bad photo of a {}."


def test_the_sizes_share_their_entries_and_a_read_suite_stays_what_it_was():
    eight, fourteen, twenty = (load_suite(f"clip{count}-b32") for count in (8, 14, 20))
    assert [twenty.task(name) for name in fourteen.tasks] == list(fourteen.tasks.values())
    assert [fourteen.task(name) for name in eight.tasks] == list(eight.tasks.values())
    assert load_suite("clip8-b32") == eight  # though the others were read between


def test_a_task_without_epochs_is_named():
    with pytest.raises(ValueError, match="unknown task of the recipe 'imagenet': accepted are cars"):
        run_config("clip8-b32", "imagenet", "linear")


def test_own_suites_are_read_from_their_folder(tmp_path, monkeypatch):
    own = {"like": "clip8", "model": "ViT-B-16", "pretrained": "random", "recipe": {"steps": 40}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(own))
    with pytest.raises(
        ValueError, match=r"unknown suite 'mine': accepted are clip14-b16, .*, clip8-b16, clip8-b32, clip8-l14, mini"
    ):
        load_suite("mine")
    monkeypatch.setenv("TAUJP_SUITES", str(tmp_path))
    suite = load_suite("mine")
    assert (suite.model, suite.recipe["steps"], suite.recipe["batch_size"]) == ("ViT-B-16", 40, 128)
    config = run_config("mine", "dtd", "linear")
    assert (config.steps, config.warmup_steps) == (40, 10)  # not the shared recipe's epochs; its share of warm-up


def test_a_suite_may_be_like_any_of_ours_and_unknown_ones_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TAUJP_SUITES", str(tmp_path))
    (tmp_path / "short.yaml").write_text(yaml.safe_dump({"like": "clip8-l14", "recipe": {"steps": 7}}))
    suite = load_suite("short")
    assert (suite.model, suite.recipe["steps"]) == ("ViT-L-14-quickgelu", 7)
    assert suite.recipe["accumulation"] == 4  # of clip8-l14, which is like clip8
    assert suite.recipe["batch_size"] == 128
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump({"like": "clip9"}))
    with pytest.raises(ValueError, match="unknown suite to be like 'clip9': accepted are clip14-b16, "):
        load_suite("wrong")
