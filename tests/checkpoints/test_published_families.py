"""Published families: the table says only what can be used, and a family is loaded whole, in part, or not at all."""

import re
import warnings

import huggingface_hub
import open_clip
import pytest
import torch
import yaml
from fake_hub import FakeHub
from foreign import finetuned, tiny_clip, whole_state
from written import COMMIT

from taujp_core.checkpoints import families, load_family, published
from taujp_core.checkpoints.hub import ADDRESS
from taujp_core.checkpoints.published import TABLE, Family
from taujp_core.suites import load_suite

CLIP = tiny_clip()
THETA = finetuned(CLIP)
OPENAI = {
    "ViT-B-32-quickgelu": "base-patch32", "ViT-B-16-quickgelu": "base-patch16", "ViT-L-14-quickgelu": "large-patch14",
}  # fmt: skip
SAID = {"source": "https://somewhere", "split": "train", "licence": "MIT", "known": "nothing"}


def test_every_line_of_the_table_can_be_used():
    suite = load_suite("clip20-b32")
    for name, family in families().items():
        assert family.model in OPENAI
        assert open_clip.get_model_config(family.model)["quick_gelu"]
        assert set(family.tasks) - set(suite.tasks) <= {"emnist-letters"}
        assert len(set(family.tasks.values())) == len(family.tasks) in (8, 20)
        assert set(family.revisions) | set(family.wrong) <= set(family.tasks)
        assert all(re.fullmatch("[0-9a-f]{7}|[0-9a-f]{40}", commit) for commit in family.revisions.values())
        assert all(
            isinstance(text, str) and text for text in (family.source, family.split, family.licence, family.known)
        )
        for task in family.tasks:
            place = family.place(task, "root")
            assert ADDRESS.fullmatch(place) if family.on_the_hub else place.startswith("root/ViT-")
        if name.startswith("fusion-bench"):
            assert OPENAI[family.model] in family.address
    raw = yaml.safe_load(TABLE.read_text())
    assert all(len({*said["tasks"]}) == len(said["tasks"]) for said in raw.values())


def test_places_are_those_that_are_published():
    known = families()
    assert (
        known["fusion-bench-b32"].place("cars").startswith("hub:tanganke/clip-vit-base-patch32_stanford-cars@0fa3456c")
    )
    assert known["fusion-bench-b32"].place("stl10") == "hub:tanganke/clip-vit-base-patch32_stl10"  # commit not known
    assert known["tall-masks-b16"].place("dtd") == "hub:nik-dim/tall_masks@c8d352f/single_task/VIT-B-16/DTDVal"
    assert known["task-vectors-b32"].place("cars", "/r") == "/r/ViT-B-32/Cars/finetuned.pt"
    assert known["task-singular-vectors-l14"].place("dtd", "/r") == "/r/ViT-L-14/DTDVal/nonlinear_finetuned.pt"
    assert "test images" in known["task-singular-vectors-b32"].wrong["dtd"]
    assert "dtd" not in known["tall-masks-b32"].wrong  # corrected there


@pytest.fixture
def served(tmp_path, monkeypatch):
    fake = FakeHub({})
    torch.save(whole_state(CLIP, THETA), tmp_path / "finetuned.pt")
    pickled = (tmp_path / "finetuned.pt").read_bytes()
    fake.repos = {f"someone/tiny_{name}": {"finetuned.pt": pickled} for name in ("Cars", "DTD", "MNIST")}
    tasks = {"cars": "Cars", "dtd": "DTD", "mnist": "MNIST"}
    there = Family(
        "tiny", "hub:someone/tiny_{}", tasks=tasks, revisions={"dtd": COMMIT[:7]}, wrong={"dtd": "a leak"}, **SAID
    )
    below = Family("tiny", "tiny/{}/finetuned.pt", tasks=tasks, **SAID)
    monkeypatch.setattr(published, "families", lambda: {"there": there, "below": below})
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub, "HfApi", fake.api)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    yield fake
    fake.stop()


def test_a_family_is_loaded_by_the_suites_names_and_says_what_is_wrong(served):
    with pytest.warns(UserWarning, match="^known of there: dtd: a leak$"):
        vectors = load_family("there", CLIP)
    assert [vector.task for vector in vectors] == ["cars", "dtd", "mnist"]
    for vector in vectors:
        assert all(torch.equal(value, THETA[name] - CLIP.theta0[name]) for name, value in vector.tau.items())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [vector.task for vector in load_family("there", CLIP, ["mnist", "cars"])] == ["mnist", "cars"]


@pytest.mark.filterwarnings("ignore:known of there")
def test_what_is_gone_is_refused_before_anything_is_downloaded(served):
    del served.repos["someone/tiny_MNIST"]
    served.repos["someone/tiny_Cars"] = {"README.md": b""}
    sentence = (
        r"^2 of 3 checkpoints of there are gone: cars \(hub:someone/tiny_Cars holds none of .*\); mnist "
        r"\(someone/tiny_MNIST at revision main is not to be had from .*\); `without_gone=True` loads the others$"
    )
    with pytest.raises(ValueError, match=sentence):
        load_family("there", CLIP)
    assert served.sent == []
    with pytest.warns(UserWarning, match="^2 of 3 checkpoints of there are gone: cars .*; mnist "):
        vectors = load_family("there", CLIP, without_gone=True)
    assert [vector.task for vector in vectors] == ["dtd"]
    with pytest.raises(ValueError, match=r"^1 of 1 checkpoints of there are gone: mnist \(.*\)$"):
        load_family("there", CLIP, ["mnist"], without_gone=True)


def test_a_hub_that_does_not_answer_makes_nothing_gone(served, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    served.status = 503, {}
    with pytest.raises(ConnectionError, match=r"needs someone/tiny_Cars from .*, which is not available \(503\)"):
        load_family("there", CLIP, without_gone=True)


def test_a_family_in_a_folder_is_loaded_from_its_layout(served, tmp_path):
    for name in ("Cars", "MNIST"):
        path = tmp_path / "root/tiny" / name / "finetuned.pt"
        path.parent.mkdir(parents=True)
        torch.save(whole_state(CLIP, THETA), path)
    with pytest.raises(
        ValueError, match=r"^1 of 3 checkpoints of below are gone: dtd \(.*tiny/DTD/finetuned.pt does not"
    ):
        load_family("below", CLIP, root=tmp_path / "root")
    with pytest.warns(UserWarning, match="1 of 3 checkpoints of below are gone: dtd"):
        vectors = load_family("below", CLIP, root=tmp_path / "root", without_gone=True)
    assert [vector.task for vector in vectors] == ["cars", "mnist"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "their"}, "unknown family 'their'"),
        ({"tasks": ["dog"]}, "unknown task of there 'dog': accepted are cars, dtd, mnist"),
        ({"root": "folder"}, r"there is on the hub \(hub:someone/tiny_\{\}\): leave out `root`"),
        ({"name": "below"}, r"below is not on the hub \(https://somewhere\): give `root`"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(served, arguments, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        load_family(**{"name": "there", "clip": CLIP} | arguments)
    assert served.sent == []


def test_another_model_is_refused(monkeypatch):
    with pytest.raises(
        ValueError, match=r"^task-vectors-b32 is fine-tuned from ViT-B-32-quickgelu, and this Clip is tiny$"
    ):
        load_family("task-vectors-b32", CLIP, root="folder")
