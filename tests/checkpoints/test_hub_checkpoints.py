"""Checkpoints of the hub by their addresses, from a hub that the test serves."""

import errno
import json
import re
import shutil
import tempfile
from functools import partial
from pathlib import Path

import huggingface_hub
import pytest
import torch
from fake_hub import FakeHub
from foreign import finetuned, hugging_face_state, safetensors_file, sharded, tiny_clip, whole_state
from written import COMMIT

from taujp_core.checkpoints import load_checkpoint, load_checkpoints
from taujp_core.checkpoints.hub import local

CLIP = tiny_clip()
THETA = finetuned(CLIP)
CARS, DTD = "someone/tiny_cars", "someone/tiny_dtd"


def bytes_of(write, *arguments, name: str = "model.safetensors") -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(*arguments, Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def several() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        sharded(whole_state(CLIP, THETA), Path(folder), "model.safetensors", safetensors_file)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


WHOLE = bytes_of(lambda path: safetensors_file(whole_state(CLIP, THETA), path))
PICKLED = bytes_of(lambda path: torch.save(whole_state(CLIP, THETA), path), name="finetuned.pt")


@pytest.fixture
def served(tmp_path, monkeypatch):
    fake = FakeHub({})
    beside = {"README.md": b"---\n", ".gitattributes": b"", "events.out.tfevents.1": b"not asked for"}
    fake.repos = {
        CARS: {"model.safetensors": WHOLE, **beside},
        DTD: {"pytorch_model.bin": PICKLED, "config.json": b"{}", "optimizer.pt": b"not asked for", **beside},
        "someone/shards": {**several(), **beside},
        "someone/all": {f"single/{task}/finetuned.pt": PICKLED for task in ("CarsVal", "DTDVal")} | beside,
        "someone/adapter": {"adapter_model.safetensors": b"", **beside},
        "someone/text": beside,
    }
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub, "HfApi", fake.api)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    yield fake
    fake.stop()


def is_theta(vector) -> bool:
    return all(torch.equal(value, THETA[name] - CLIP.theta0[name]) for name, value in vector.tau.items())


def test_a_repository_is_its_weights_and_its_name_is_the_tasks(served, tmp_path):
    vector = load_checkpoint(f"hub:{CARS}", CLIP)
    assert is_theta(vector)
    assert vector.task == "tiny_cars"
    assert served.sent == ["model.safetensors"]
    assert (tmp_path / "cache/checkpoints/someone/main/tiny_cars/model.safetensors").is_file()


def test_a_copy_is_read_again_without_the_hub(served):
    load_checkpoint(f"hub:{CARS}", CLIP)
    served.status = 503, {}
    assert is_theta(load_checkpoint(f"hub:{CARS}", CLIP, task="cars"))


def test_lists_may_hold_addresses_and_paths(served, tmp_path):
    (tmp_path / "mine.safetensors").write_bytes(WHOLE)
    vectors = load_checkpoints([f"hub:{CARS}", tmp_path / "mine.safetensors", f"hub:{DTD}@main"], CLIP)
    assert [vector.task for vector in vectors] == ["tiny_cars", "mine", "tiny_dtd"]
    assert all(map(is_theta, vectors))
    assert [vector.task for vector in load_checkpoints(f"hub:{CARS}", CLIP)] == ["tiny_cars"]


def test_the_weights_are_fetched_with_their_configuration_and_nothing_else(served):
    local(f"hub:{DTD}")
    assert sorted(served.sent) == ["config.json", "pytorch_model.bin"]


def test_a_model_in_several_files_comes_whole(served):
    assert is_theta(load_checkpoint("hub:someone/shards", CLIP))
    assert sorted(served.sent) == sorted(several())
    served.sent.clear()
    assert is_theta(load_checkpoint("hub:someone/shards/model.safetensors.index.json", CLIP))
    assert served.sent == []


@pytest.mark.parametrize("file", ["single/CarsVal/finetuned.pt", "single/CarsVal", "single/CarsVal/"])
def test_a_file_or_a_folder_of_a_repository_is_named_behind_it(served, file):
    vector = load_checkpoint(f"hub:someone/all/{file}", CLIP)
    assert is_theta(vector)
    assert vector.task == "CarsVal"
    assert served.sent == ["single/CarsVal/finetuned.pt"]
    load_checkpoint("hub:someone/all/single/DTDVal", CLIP)
    assert served.sent == ["single/CarsVal/finetuned.pt", "single/DTDVal/finetuned.pt"]


def test_a_base_may_be_on_the_hub(served):
    served.repos["someone/base"] = {
        "model.safetensors": bytes_of(lambda path: safetensors_file(whole_state(CLIP, CLIP.theta0), path))
    }
    assert is_theta(load_checkpoint(f"hub:{CARS}", CLIP, base="hub:someone/base"))
    assert [vector.task for vector in load_checkpoints([f"hub:{CARS}"], CLIP, "hub:someone/base")] == ["tiny_cars"]


@pytest.mark.parametrize("revision", [COMMIT, COMMIT[:7]])
def test_a_commit_is_that_commit_whatever_main_is_now(served, revision):
    served.sha = "f" * 40
    path = local(f"hub:{CARS}@{revision}")
    assert json.loads((path.parent / "tiny_cars.json").read_text())["commit"] == COMMIT
    main = local(f"hub:{CARS}")
    assert json.loads((main.parent / "tiny_cars.json").read_text())["commit"] == "f" * 40


def test_a_copy_of_main_stays_until_it_is_deleted(served):
    path = local(f"hub:{CARS}")
    served.sha = "f" * 40
    for commit in (COMMIT, "f" * 40):
        assert json.loads((local(f"hub:{CARS}").parent / "tiny_cars.json").read_text())["commit"] == commit
        shutil.rmtree(path)


def test_a_download_that_was_cut_off_goes_on_where_it_was(served, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    served.cut = {"model.safetensors"}
    with pytest.raises(ConnectionError, match=f"the checkpoint hub:{CARS} needs {CARS} from http"):
        load_checkpoint(f"hub:{CARS}", CLIP)
    served.cut, served.status = set(), None
    served.sha = "f" * 40
    assert is_theta(load_checkpoint(f"hub:{CARS}", CLIP))
    assert served.starts == [len(WHOLE) // 2 // 1000 * 1000]
    record = tmp_path / "cache/checkpoints/someone/main/tiny_cars.json"
    assert json.loads(record.read_text())["commit"] == COMMIT  # though main has moved


def test_a_file_with_another_checksum_does_not_count(served, tmp_path):
    served.damaged = {"model.safetensors"}
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"model\.safetensors of {CARS} came damaged .* call the download again"):
            load_checkpoint(f"hub:{CARS}", CLIP)
        assert not list(tmp_path.rglob("model.safetensors"))
    served.damaged = set()
    assert is_theta(load_checkpoint(f"hub:{CARS}", CLIP))


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("someone/gone", r"someone/gone at revision main is not to be had from http://.*: 404"),
        (f"{CARS}@v9", rf"{CARS} at revision v9 is not to be had from http://.*: 404"),
        (f"{CARS}@abcdef0", rf"{CARS} at revision abcdef0 is not to be had from http://.*: 404"),
        (
            f"{CARS}/other.pt",
            rf"hub:{CARS}/other\.pt: the repository has no file other\.pt, but README\.md, events.*, model\.safetensors",
        ),
        ("someone/all", r"hub:someone/all holds none of model\.safetensors, .*: name a FILE, hub:OWNER/REPO/FILE"),
        ("someone/text", "hub:someone/text holds none of "),
        ("someone/adapter", r"hub:someone/adapter holds an adapter \(adapter_model\.safetensors\)"),
        ("someone", "hub:someone is no address on the hub: accepted are hub:OWNER/REPO, with @REVISION and /FILE"),
        ("../..", r"hub:\.\./\.\. is no address"),
        (f"{CARS}@..", r"hub:.* is no address"),
    ],
)
def test_what_the_hub_does_not_have_is_one_sentence(served, tmp_path, address, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}") as caught:
        load_checkpoint(f"hub:{address}", CLIP)
    assert "\n" not in str(caught.value)
    assert served.sent == []


def test_a_name_that_leaves_the_folder_is_no_file_of_the_repository(served):
    served.repos[CARS]["../../up.safetensors"] = WHOLE
    with pytest.raises(ValueError, match=r"has no file \.\./\.\./up\.safetensors, but README"):
        local(f"hub:{CARS}/../../up.safetensors")


def test_a_repository_that_wants_consent_and_one_that_nobody_reaches(served, monkeypatch):
    served.refused = {"model.safetensors"}
    with pytest.raises(PermissionError, match=rf"{CARS} wants consent: accept its terms at http://[^ ]*:\d+/{CARS}, "):
        local(f"hub:{CARS}")
    monkeypatch.setattr(huggingface_hub, "HfApi", partial(huggingface_hub.HfApi, endpoint="http://127.0.0.1:9"))
    sentence = (
        rf"^the checkpoint hub:{DTD} needs {DTD} from http://127\.0\.0\.1:9, which cannot be reached \(.*\): connect to "
        "the network, or download its files elsewhere and give their path$"
    )
    with pytest.raises(ConnectionError, match=sentence):
        local(f"hub:{DTD}")


def test_a_full_disk_is_said_with_what_to_do(served, tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("taujp_core.checkpoints.hub.http_get", lambda *_, **__: (_ for _ in ()).throw(full))
    folder = re.escape(str(tmp_path / "cache/checkpoints/someone/main/tiny_cars"))
    with pytest.raises(
        OSError, match=rf"^{folder} cannot be written: .*; make room there, or set TAUJP_CACHE to another"
    ):
        local(f"hub:{CARS}")


def test_nothing_of_a_file_from_the_hub_is_executed(served, tmp_path):
    touched = tmp_path / "touched"
    program = f"cos\nsystem\n(S'touch {touched}'\ntR.".encode()
    served.repos["someone/evil"] = {"finetuned.pt": program}
    with pytest.raises(ValueError, match=r"finetuned\.pt .* forbidden global os\.system;.*nothing was executed"):
        load_checkpoint("hub:someone/evil", CLIP)
    assert not touched.exists()


def test_hugging_faces_own_layout_is_read_from_the_hub(served):
    state = hugging_face_state(CLIP, THETA)
    served.repos[CARS] = {"model.safetensors": bytes_of(lambda path: safetensors_file(state, path))}
    assert is_theta(load_checkpoint(f"hub:{CARS}", CLIP))
