"""The lines that a newcomer writes first, on folders that transformers wrote: small models, and ones of ViT-B/32's size."""

import plotly.graph_objects as go
import pytest
import torch
from transformers import CLIPConfig, CLIPForImageClassification, CLIPModel, CLIPVisionModelWithProjection
from written import write_class_folders, write_picture

import taujp

BASE = "openai/clip-vit-base-patch32"  # a folder of this name is read in place of the hub's weights
KINDS = {"cars": CLIPModel, "dtd": CLIPForImageClassification, "pets": CLIPVisionModelWithProjection}
TOWER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "projection_dim": 16,
}
SMALL = {
    "vision_config": {**TOWER, "image_size": 32, "patch_size": 16},
    "text_config": {**TOWER, "bos_token_id": 49406, "eos_token_id": 49407},
    "projection_dim": 16,
}


def write_models(config: CLIPConfig) -> None:
    """A pre-trained model, and three that were fine-tuned: one of each class of transformers."""
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(BASE)
    for name, kind in KINDS.items():
        model = kind.from_pretrained(BASE)
        for parameter in model.vision_model.parameters():
            parameter.data += 0.002 * torch.randn_like(parameter)
        model.save_pretrained(f"models/{name}")


@pytest.mark.filterwarnings("ignore:.*holds a classifier on the mean")
@pytest.mark.parametrize(
    ("config", "rounds"),
    [
        pytest.param(SMALL, {}, id="small"),
        # One round, for each takes minutes.
        pytest.param({}, {"rounds": 1}, id="ViT-B-32", marks=pytest.mark.clip8),
    ],
)
def test_the_first_lines_on_folders_of_transformers(config, rounds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAUJP_HOME", str(tmp_path))
    write_models(CLIPConfig(**config))
    for number in range(4):
        write_picture(tmp_path / f"pictures/cars/{number}.png", number)
    write_class_folders(tmp_path / "cars", {"train": 8, "test": 4}, ["old", "new"])
    write_class_folders(tmp_path / "pets", {"test": 4}, ["cat", "dog"])
    tensor = torch.randint(0, 256, (4, 3, 40, 30), dtype=torch.uint8)

    clip = taujp.load_clip(BASE, device="cpu")
    pets = taujp.load_checkpoint("models/pets/", clip)
    vectors = taujp.load_checkpoints(["models/cars/", "models/dtd/"], clip)
    assert [vector.task for vector in (*vectors, pets)] == ["cars", "dtd", "pets"]
    table = taujp.tau_jp(clip, vectors, {"cars": "pictures/cars", "dtd": tensor})
    assert table.shape == (2, 2) and (table > 0).all(axis=None)
    pictures = {"cars": "pictures/cars", "dtd": tensor}
    merged = taujp.merge(clip, vectors, images=pictures, control=None, **rounds)
    merged.save("merged/")
    assert taujp.load_checkpoint("merged/", clip).norm() > 0
    theirs = CLIPModel.from_pretrained("merged")
    assert theirs.config.vision_config.num_hidden_layers == CLIPConfig(**config).vision_config.num_hidden_layers
    assert taujp.evaluate(clip, merged, "pets/test").images.tolist() == [8]
    figure = taujp.plot_coefficients(clip, vectors, tests={"cars": "cars/test"})
    assert isinstance(figure, go.Figure) and "cars" in [trace.name for trace in figure.data]
    run = taujp.train(
        clip, "cars/", others={"dtd": tensor}, method="taujp-efficient", steps=2, batch_size=4, penalty_batch_size=2
    )
    assert run.vector.task == "cars" and run.vector.norm() > 0
    both = 0.4 * vectors[0] + vectors[1]
    for name, value in both.tau.items():
        assert torch.allclose(value, 0.4 * vectors[0].tau[name] + vectors[1].tau[name], atol=1e-6), name
