"""Pictures are decoded as open_clip does, the same by any number of processes; batches depend on the seed alone."""

import io
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch import Tensor
from written import encoded, noise, write_picture

from taujp_core.datasets import Split
from taujp_core.datasets.load import held_out, validation_images
from taujp_core.datasets.pictures import Pictures, made_ahead


def photo(seed: int, height: int, width: int) -> Image.Image:
    """Smooth as photographs are, with some noise."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC), dtype=int)
    return Image.fromarray((smooth + np.asarray(noise(seed, height, width)) // 8).clip(0, 255).astype(np.uint8))


def pictures(sources: list, size: int = 16) -> Split:
    return Split(Pictures("a test", sources, size), torch.arange(len(sources)))


@pytest.fixture
def twenty() -> Split:
    return pictures([encoded(noise(k)) for k in range(20)])


def by_open_clip(image: Image.Image, size: int) -> Tensor:
    """Its preprocessing for evaluation, up to and without normalisation, as bytes."""
    preprocess = open_clip.image_transform(size, is_train=False, mean=(0, 0, 0), std=(1, 1, 1))
    return (preprocess(image) * 255).round().to(torch.uint8)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(("height", "width"), [(48, 33), (300, 431), (64, 64), (28, 28), (20, 200)])
def test_decoded_as_open_clip_does(mode, height, width):
    image = photo(0, height, width).convert(mode)
    for kind in ("PNG", "JPEG"):
        data = encoded(image, kind)
        for size in (32, 224):
            with Image.open(io.BytesIO(data)) as opened:
                expected = by_open_clip(opened, size)
            assert torch.equal(pictures([data], size)[[0]][0][0], expected)


def test_palettes_and_transparency_differ_from_open_clip():
    """Here a picture is RGB before it is resized. open_clip resizes first: palettes by the nearest pixel, and colours
    under transparency weighted by it. Opaque RGBA is the same up to rounding."""
    whole = photo(1, 60, 80)
    palette = whole.quantize(64)
    ours = pictures([encoded(palette)], 32)[[0]][0][0]
    assert torch.equal(ours, pictures([encoded(palette.convert("RGB"))], 32)[[0]][0][0])
    assert not torch.equal(ours, by_open_clip(palette, 32))

    opaque = whole.convert("RGBA")
    assert (pictures([encoded(opaque)], 32)[[0]][0][0].int() - by_open_clip(opaque, 32).int()).abs().max() <= 1
    transparent = opaque.copy()
    transparent.putalpha(photo(2, 60, 80).convert("L"))
    ours = pictures([encoded(transparent)], 32)[[0]][0][0]
    assert torch.equal(ours, pictures([encoded(whole)], 32)[[0]][0][0])
    assert not torch.equal(ours, by_open_clip(transparent, 32))


def test_a_path_its_bytes_and_its_pixels_give_the_same(tmp_path):
    path = write_picture(tmp_path / "a.png", 3)
    images, labels = pictures([path, path.read_bytes(), np.asarray(noise(3))])[:]
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[0], images[2])
    assert labels.tolist() == [0, 1, 2]


def test_subsets_keep_pictures_and_labels_together(twenty):
    part = twenty.subset(torch.tensor([7, 3, 11])).subset(torch.tensor([2, 0]))
    assert part.labels.tolist() == [11, 7]
    assert torch.equal(part[:][0], twenty[[11, 7]][0])
    assert part[[]][0].shape == (0, 3, 16, 16)


def test_worker_processes_give_the_same(twenty, monkeypatch):
    monkeypatch.setattr("taujp_core.datasets.pictures.CHUNK", 6)
    images, labels = twenty.tensors
    assert torch.equal(images, twenty[:][0])
    assert [len(part) for part, _ in twenty.batches()] == [6, 6, 6, 2]
    assert torch.equal(labels, torch.arange(20))

    def make(step: int) -> tuple[Tensor, Tensor]:
        return twenty.training_batch([step, step + 1], 0.5, (0, step))

    for step, (images, labels) in enumerate(made_ahead(make, range(9), twenty)):
        expected, expected_labels = make(step)
        assert torch.equal(images, expected)
        assert torch.equal(labels, expected_labels)


@pytest.mark.parametrize("broken", ["truncated", "no picture", "missing", "empty"])
def test_an_error_in_a_worker_arrives_as_one_sentence(tmp_path, broken):
    path = write_picture(tmp_path / "bad.jpg", 0)
    if broken == "missing":
        path.unlink()
    else:
        path.write_bytes({"truncated": path.read_bytes()[:500], "no picture": b"hello", "empty": b""}[broken])
    split = pictures([encoded(noise(0)), path])
    with pytest.raises(ValueError, match=r"bad\.jpg") as caught:
        _ = split.tensors
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
    split = pictures([encoded(noise(0)), b"hello"])
    with pytest.raises(ValueError, match=r"^picture 1 of a test cannot be decoded: "):
        list(made_ahead(lambda k: split[[k]], range(2), split))


def test_random_crops_depend_on_the_seed_alone(twenty):
    def crops(*seed: int) -> Tensor:
        return twenty.training_batch([4, 2, 4], 0.3, seed)[0]

    torch.manual_seed(1)
    first, state = crops(5, 6), torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(first, crops(5, 6))
    assert not torch.equal(first, crops(5, 7))
    assert not torch.equal(first[0], first[2]), "each picture of a batch has its own crop"
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state()), "the state of others is left alone"
    assert torch.equal(twenty.training_batch([4, 2], 1.0, (0,))[0], twenty[[4, 2]][0])


def test_validation_is_a_tenth_at_most_5000_and_apart_from_train():
    for count, validation in ((9, 0), (10, 1), (3760, 376), (50_000, 5000), (73_257, 5000)):
        train, held = held_out(count)
        assert len(held) == validation == validation_images(count)
        assert sorted([*train.tolist(), *held.tolist()]) == list(range(count))
        assert torch.equal(held, held_out(count)[1])


def test_names(tmp_path):
    split = pictures([tmp_path / "a.png", b""])
    assert split.pictures.name(0) == str(tmp_path / "a.png")
    assert split.pictures.name(1) == "picture 1 of a test"
    assert isinstance(split.pictures.sources[0], Path)
