"""Images that are no bytes of the Clip's size are answered at every public function that takes a Clip and images."""

import pytest
import torch
from conftest import random_images, random_like

from analysis.interference import reduce_tau_jp
from analysis.merging.expectation import disagreement
from analysis.merging.merge import merge
from analysis.merging.output import merge_to
from analysis.products import edited_source, measure_products
from taujp_core.applications import APPLICATIONS
from taujp_core.checks import check_images
from taujp_core.datasets import Split
from taujp_core.evaluation import features
from taujp_core.task_vectors import TaskVector

BYTES = random_images(6)
WRONG = {
    "floats from 0 to 255": (BYTES.float(), TypeError, "uint8, 0 to 255.* not torch.float32: leave out ToTensor"),
    "floats from 0 to 1": (BYTES.double() / 255, TypeError, "uint8, 0 to 255.* not torch.float64: leave out ToTensor"),
    "whole numbers": (BYTES.int(), TypeError, r"must be bytes \(uint8, 0 to 255\), not torch.int32$"),
    "channels last": (BYTES.permute(0, 2, 3, 1), ValueError, r"\[n, 3, 32, 32\], not \[6, 32, 32, 3\]: channels come"),
    "another size": (BYTES[..., :24, :24], ValueError, r"must have the shape \[n, 3, 32, 32\], not \[6, 3, 24, 24\]$"),
    "one image": (BYTES[0], ValueError, r"must have the shape \[n, 3, 32, 32\], not \[3, 32, 32\]$"),
    "grey": (BYTES[:, :1], ValueError, r"must have the shape \[n, 3, 32, 32\], not \[6, 1, 32, 32\]$"),
}


def split_of(images):
    return Split(images, torch.zeros(len(images), dtype=torch.long))


def vectors_of(clip, method="linear"):
    return [TaskVector(random_like(clip.theta0, k), clip.fingerprint, f"t{k}", method) for k in (1, 2)]


DOORS = {
    "measure_products": lambda clip, images, folder: measure_products(clip, vectors_of(clip), split_of(images)),
    "edited_source": lambda clip, images, folder: edited_source(clip, vectors_of(clip, "erm"), split_of(images)),
    "reduce_tau_jp": lambda clip, images, folder: reduce_tau_jp(vectors_of(clip)[0], clip, images, [BYTES]),
    "reduce_tau_jp, others": lambda clip, images, folder: reduce_tau_jp(
        vectors_of(clip)[0], clip, BYTES, [BYTES, images]
    ),
    "merge": lambda clip, images, folder: merge(vectors_of(clip), clip, {"t1": BYTES, "t2": images}),
    "merge, control": lambda clip, images, folder: merge(
        vectors_of(clip, "standard"), clip, {"t1": BYTES, "t2": BYTES}, images
    ),
    "merge_to": lambda clip, images, folder: merge_to(
        folder / "m.safetensors", vectors_of(clip), clip, {"t1": images, "t2": BYTES}
    ),
    "disagreement": lambda clip, images, folder: disagreement(clip, vectors_of(clip), {"t1": BYTES, "t2": images}, {}),
    **{
        f"features, {name}": lambda clip, images, folder, how=application: how.features(
            clip, vectors_of(clip)[0].tau, images
        )
        for name, application in APPLICATIONS.items()
    },
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", WRONG)
def test_images_that_are_no_bytes_of_the_clips_size_are_refused(door, kind, tiny, tmp_path):
    images, error, sentence = WRONG[kind]
    with pytest.raises(error, match=sentence) as caught:
        DOORS[door](tiny, images, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_clips_encoder_takes_bytes_alone(mini):
    with pytest.raises(TypeError, match=r"images must be bytes .* not torch.float32: leave out ToTensor and Normalize"):
        features(mini.encoder, mini.theta0, BYTES / 255)


def test_what_is_no_tensor_is_named():
    with pytest.raises(TypeError, match=r"^pictures of cats must be a tensor of bytes \[n, 3, 8, 8\], not ndarray$"):
        check_images("pictures of cats", BYTES.numpy(), 8)
    check_images("pictures of cats", BYTES[:0], 32)
