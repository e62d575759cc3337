"""Large vectors lie on the disk: the same numbers, no second copy in memory, and nothing left behind."""

import gc
import sys
from collections import namedtuple

import psutil
import pytest
import torch
from conftest import random_like
from foreign import image_state

from taujp_core import mapped as mapping
from taujp_core.checkpoints import load_checkpoint
from taujp_core.mapped import mapped
from taujp_core.task_vectors import TaskVector


@pytest.fixture
def little_memory(monkeypatch, tmp_path):
    """So little that every vector is a large one."""
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mapping, "total_memory", lambda device: 1)
    return tmp_path / "cache" / "mapped"


def test_it_is_the_same_vector_and_its_file_has_no_name(mini, little_memory):
    tau = random_like(mini.theta0, 0)
    tau["visual.proj"] = tau["visual.proj"].T.contiguous().T  # as a checkpoint of transformers has it
    found = mapped(tau)
    assert list(found) == list(tau) and all(torch.equal(found[name], value) for name, value in tau.items())
    assert found["visual.proj"].is_contiguous()
    # Sums over memory that starts anywhere round otherwise.
    assert all(value.data_ptr() % 64 == 0 for value in found.values())
    assert list(little_memory.iterdir()) == []
    found["visual.proj"].add_(1.0)  # changes this process's copy
    assert torch.equal(mapped(tau)["visual.proj"], tau["visual.proj"])


def test_small_vectors_stay_in_memory(mini, tmp_path, monkeypatch):
    monkeypatch.setenv("TAUJP_CACHE", str(tmp_path / "cache"))
    tau = random_like(mini.theta0, 0)
    assert mapped(tau) is tau and not (tmp_path / "cache").exists()
    monkeypatch.setattr(mapping, "device_of", lambda tau: torch.device("cuda"))
    monkeypatch.setattr(mapping, "total_memory", lambda device: 1)
    assert mapped(tau) is tau


def test_checkpoints_and_stored_vectors_are_mapped_when_they_are_read(mini, tmp_path, little_memory, monkeypatch):
    asked = []
    monkeypatch.setattr(mapping, "total_memory", lambda device: asked.append(device) or 1)
    tau = random_like(mini.theta0, 0)
    theta = {name: value + tau[name] for name, value in mini.theta0.items()}
    torch.save(image_state(theta), tmp_path / "cars.pt")
    vector = load_checkpoint(tmp_path / "cars.pt", mini)
    vector.save(tmp_path / "cars.safetensors")
    again = TaskVector.load(tmp_path / "cars.safetensors", mini)
    assert len(asked) == 2 and again.digest() == vector.digest()
    assert list(again.tau) == list(mini.theta0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells anonymous memory apart")
def test_it_takes_no_memory_of_its_own(little_memory):
    def own() -> int:
        gc.collect()
        found = psutil.Process().memory_info()
        return found.rss - found.shared

    size, before = 2**26, own()
    found = mapped({"a.weight": torch.ones(size)})
    assert found["a.weight"].sum() == size
    assert own() - before < size  # a quarter of its bytes


def test_a_full_disk_is_said_in_a_sentence(mini, little_memory, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(mapping.shutil, "disk_usage", lambda folder: usage(10, 9, 1))
    with pytest.raises(OSError, match=r"mapped cannot be written: .* set TAUJP_CACHE to another folder"):
        mapped(random_like(mini.theta0, 0))
    assert list(little_memory.iterdir()) == []
