"""A new source of pictures is one file: what is written here into a package of sources trains, is measured and refused."""

import sys

import pytest
import torch
from conftest import tiny_clip
from test_own_data import root, write_suite  # noqa: F401

import taujp_core.datasets.sources as sources
from analysis.products import measure_products
from taujp_core.datasets import load_split
from taujp_core.datasets.__main__ import main
from taujp_core.suites import load_suite, own_suite, own_task
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune

STRIPES = '''"""How are stripes made? A source that nobody knew: lines of numbers, `LABEL GREY`, in a text file."""

from dataclasses import dataclass

import torch

from taujp_core.checks import text
from taujp_core.datasets.folders import below_data, existing
from taujp_core.tasks import Place, Source


@dataclass(frozen=True)
class Stripes(Source):
    path: str
    keys = ("stripes",)

    @classmethod
    def from_entry(cls, what, entry):
        return cls(text(f"stripes of {what}", entry["stripes"]))

    def locate(self, task):
        file = existing(below_data(self.path), f"the file of stripes of {task.name}")
        rows = [[int(word) for word in line.split()] for line in file.read_text().splitlines()]
        grey = torch.tensor([grey for _, grey in rows], dtype=torch.uint8)[:, None, None, None]
        images = grey.expand(-1, 3, 8, 8).contiguous()
        return Place(str(file), ("train",), lambda part: (images, [label for label, _ in rows]))

    def identity(self, task, place):
        return {"rows": below_data(self.path).read_text()}


SOURCE = Stripes
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The package of sources has a folder more."""
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path / "more")])
    known = [*sources.SOURCES]
    (tmp_path / "more").mkdir()
    yield tmp_path / "more"
    sources.SOURCES[:] = known
    for name in ("stripes", "taken"):
        sys.modules.pop(f"{sources.__name__}.{name}", None)
        vars(sources).pop(name, None)


@pytest.fixture
def stripes(folder):
    (folder / "stripes.py").write_text(STRIPES)
    sources.discover()


def test_a_new_source_is_one_file(stripes, root, mini, tmp_path, capsys):  # noqa: F811
    lines = [f"{k // 30} {k}" for k in range(60)]  # in the order of their classes
    (root / "lines.txt").write_text("\n".join(lines))
    entry = {"stripes": "lines.txt", "classes": ["dark", "bright"]}
    write_suite(root, tasks={"lines": entry}, recipe={"steps": 2, "batch_size": 4})
    suite = load_suite("mine")
    found = load_split(suite.task("lines"), "validation").first(2)
    assert found.images.shape == (2, 3, 32, 32) and len(found.labels) == 2
    clip = tiny_clip(mini)
    run = finetune(run_config("mine", "lines", "linear"), tmp_path / "runs", clip)
    tau_jp = measure_products(clip, [run.vector], load_split(suite.task("lines"), "test")).tau_jp()
    assert torch.isfinite(tau_jp).all() and tau_jp > 0
    assert main(["check", "--suite", "mine"]) == 0
    assert "no test images: a fifth of train" in capsys.readouterr().out
    in_python = own_suite("mini", [own_task("lines", ["dark", "bright"], stripes="lines.txt")], suite.control)
    assert torch.equal(
        load_split(in_python.task("lines"), "train").images, load_split(suite.task("lines"), "train").images
    )
    # Other rows are another run.
    (root / "lines.txt").write_text("\n".join([*lines[1:], "1 200"]))
    finetune(run_config("mine", "lines", "linear"), tmp_path / "runs", clip)
    assert len([*(tmp_path / "runs").rglob("record.json")]) == 2


def test_what_is_wrong_with_it_is_said_like_of_any_other(stripes, root, capsys):  # noqa: F811
    for entry, kind, sentence in (
        ({"stripes": "lines.txt", "classes": ["a", "b"]}, FileNotFoundError, "the file of stripes of lines does not exist"),
        ({"stripes": "lines.txt"}, ValueError, "the task lines is without classes"),
        ({"stripes": 3, "classes": ["a"]}, TypeError, "stripes of the task lines must be a text, not 3"),
        ({"stripes": "lines.txt", "folder": "x"}, ValueError, "the task lines has folder and stripes: give one of folder, hub, dataset, stripes"),
        ({"stripes": "lines.txt", "classes": {"a": "b"}}, ValueError, "classes of the task lines must be a list"),
    ):  # fmt: skip
        write_suite(root, tasks={"lines": entry})
        with pytest.raises(kind, match=sentence):
            load_suite("mine")
    write_suite(root, tasks={"lines": {"stripes": "lines.txt", "classes": ["a", "b"]}})
    assert main(["download", "--suite", "mine", "--tasks", "lines"]) == 0
    assert "the file of stripes of lines does not exist" in capsys.readouterr().out


def test_a_key_belongs_to_one_source(folder):
    (folder / "taken.py").write_text(STRIPES.replace('"stripes",', '"folder",'))
    with pytest.raises(ValueError, match=r"Stripes needs a key of its own for suite files, not \('folder',\)"):
        sources.discover()
