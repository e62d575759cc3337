"""The three short calls: a folder of checkpoints in, τJp of each with every data set, a merged model out."""

import pytest
import torch
from conftest import random_images
from foreign import FORMATS, finetuned
from torch.utils.data import TensorDataset

from analysis.products import measure_products
from analysis.published import tau_jp_table
from taujp_core.checkpoints import load_checkpoint, load_checkpoints, save_hugging_face, save_open_clip
from taujp_core.datasets import load_split
from taujp_core.suites import load_suite
from taujp_core.task_vectors import TaskVector, edited, total


def test_published_vectors_are_measured_on_every_data_set_and_merged(mini, tmp_path):
    suite, folder = load_suite("mini"), tmp_path / "published"
    folder.mkdir()
    for number, (task, kind) in enumerate([("street", "whole.pt"), ("mnist", "module.pt"), ("signs", "hugging_face")]):
        FORMATS[kind](folder / (task if kind == "hugging_face" else f"{task}.pt"), mini, finetuned(mini, number))
    vectors = load_checkpoints(folder, mini)
    table = tau_jp_table(mini, suite, vectors, images=4)
    assert list(table.index) == ["mnist", "signs", "street"]
    assert list(table.columns) == list(suite.datasets())

    split = TensorDataset(*load_split(suite.task("uci"), "validation")[:4])
    street = load_checkpoint(folder / "street.pt", mini)
    assert table.loc["street", "uci"] == pytest.approx(
        measure_products(mini, [street], split).tau_jp().item(), rel=1e-4
    )

    merged = edited(mini.theta0, [total(vectors)], [1.0])
    save_open_clip(mini, merged, tmp_path / "merged.safetensors")
    save_hugging_face(mini, merged, tmp_path / "merged")
    images = random_images(2)
    with torch.no_grad():
        expected = torch.func.functional_call(mini.encoder, merged, (images,))
        for path in ("merged.safetensors", "merged"):
            theta = edited(mini.theta0, [load_checkpoint(tmp_path / path, mini)], [1.0])
            assert torch.allclose(torch.func.functional_call(mini.encoder, theta, (images,)), expected, atol=1e-5)


def test_vectors_of_another_theta0_are_not_measured(mini):
    vector = TaskVector(finetuned(mini), "abcd", "street", "standard")
    with pytest.raises(ValueError, match="belongs to θ₀ abcd"):
        tau_jp_table(mini, load_suite("mini"), [vector], images=2)
