"""The README's Python runs as it stands, from top to bottom in one session."""

import re
from pathlib import Path

import torch
from foreign import FORMATS, finetuned

from taujp_core.checkpoints import load_checkpoint

ROOT = Path(__file__).parents[2]


def test_nothing_is_left_to_fill_in():
    assert not re.search(r"\b(TESTTIME|KILLS|TODO)\b", (ROOT / "README.md").read_text(encoding="utf-8"))


def test_the_readmes_examples_run(mini, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "published").mkdir()
    for number, (task, kind) in enumerate([("street", "whole.pt"), ("mnist", "module.pt")]):
        FORMATS[kind](tmp_path / "published" / f"{task}.pt", mini, finetuned(mini, number))
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    source = "\n".join(blocks)
    names: dict = {}
    for long, short in (("steps=50", "steps=2"), ("[:24]", "[:3]")):
        assert source.count(long) == 1
        source = source.replace(long, short)
    exec(source, names)
    assert "street" in capsys.readouterr().out
    merged = load_checkpoint(tmp_path / "merged.safetensors", mini)
    expected = sum(vector.tau["visual.proj"] for vector in names["vectors"])
    assert torch.allclose(merged.tau["visual.proj"], expected, atol=1e-6)
    assert set(names["spared"].tau) == set(mini.theta0)
