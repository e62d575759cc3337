"""Pre-training: the loss that knows shared captions, captions that fit pictures, resumption."""

import shutil
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import taujp_core.mini.pretrain as pretraining
from taujp_core.files import Damaged
from taujp_core.mini.captions import KINDS, caption_batch
from taujp_core.mini.pretrain import PretrainConfig, contrastive_loss, load_pretrained, pretrain


def test_without_shared_captions_it_is_clips_loss():
    image, text = torch.randn(6, 8), torch.randn(6, 8)
    similarity = 5 * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
    target = torch.arange(6)
    clip_loss = 0.5 * (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target))
    assert torch.allclose(contrastive_loss(image, text, target, torch.tensor(5.0)), clip_loss, atol=1e-6)


def test_images_that_share_a_caption_are_not_pushed_apart():
    """With two images a caption, perfect features reach the least possible loss: log 2 / 2 for the captions' half."""
    text = torch.eye(3)
    caption = torch.tensor([0, 0, 1, 1, 2, 2])
    loss = contrastive_loss(text[caption], text, caption, torch.tensor(100.0))
    assert loss.item() == pytest.approx(0.5 * torch.log(torch.tensor(2.0)).item(), abs=1e-4)


def test_captions_fit_their_pictures_and_are_distinct():
    images, captions, caption = caption_batch(100, 0, 0)
    assert images.shape == (100, 3, 32, 32)
    assert len(set(captions)) == len(captions)
    assert set(caption.tolist()) == set(range(len(captions)))
    # Images come in the order of the kinds; a caption has its kind's words and one of its names.
    kinds = [kind for kind in KINDS for _ in range(round(kind.share * 100))]
    for kind, text in zip(kinds, (captions[k] for k in caption), strict=True):
        assert any(text == template.format(name) for template in kind.templates for name in kind.classes), text


def test_batches_differ_by_step_and_seed_and_repeat():
    first = caption_batch(20, 0, 0)
    assert torch.equal(first[0], caption_batch(20, 0, 0)[0])
    assert not torch.equal(first[0], caption_batch(20, 0, 1)[0])
    assert not torch.equal(first[0], caption_batch(20, 1, 0)[0])


def test_a_folder_that_is_deleted_while_it_pretrains_is_made_again(tmp_path, monkeypatch):
    config = PretrainConfig(steps=2, batch_size=8, peak_lr=1e-3, seed=0, warmup_steps=1)
    pretrain(config, tmp_path / "whole")
    ordinary, seen = pretraining.caption_batch, []

    def deleting(size, seed, step):
        seen.append(step)
        if len(seen) == 2:
            shutil.rmtree(tmp_path / "deleted")
        return ordinary(size, seed, step)

    monkeypatch.setattr(pretraining, "caption_batch", deleting)
    history = pretrain(config, tmp_path / "deleted")
    assert seen == [0, 1, 0, 1] and [row["step"] for row in history] == [2]
    names = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("whole", "deleted")]
    assert names[0] == names[1]
    assert load_pretrained(tmp_path / "whole").fingerprint == load_pretrained(tmp_path / "deleted").fingerprint


def test_weights_that_are_altered_and_a_folder_of_other_parameters_are_refused(tmp_path):
    config = PretrainConfig(steps=2, batch_size=8, peak_lr=1e-3, seed=0, warmup_steps=1)
    pretrain(config, tmp_path)
    weights = tmp_path / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(Damaged, match=r"open_clip_model\.safetensors is altered"):
        load_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a pre-training with other parameters"):
        pretrain(replace(config, steps=3), tmp_path)


def test_a_loss_that_is_not_finite_ends_it(tmp_path):
    config = PretrainConfig(steps=4, batch_size=8, peak_lr=1e30, seed=0, warmup_steps=1)
    with pytest.raises(FloatingPointError, match="the loss of pre-training is nan at step 1; no state was saved yet"):
        pretrain(config, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
