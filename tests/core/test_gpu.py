"""The same results on a GPU as on the CPU. Skipped where there is none."""

import pytest
import torch
from conftest import random_images, random_like

from taujp_core.methods import METHODS, Batch
from taujp_core.pretrained import load_clip
from taujp_core.products.jacobian import gauss_newton_product, jacobian_products
from taujp_core.products.precision import precision
from taujp_core.task_vectors import edited
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")


@pytest.mark.parametrize(("name", "error"), [("float32", 1e-5), ("tf32", 3e-3), ("bf16", 3e-2)])
def test_products_and_gradients(name, error, mini):
    gpu = load_clip("mini", device="cuda")
    images, tau = random_images(20), random_like(mini.theta0, 1, 0.002)
    labels, head = torch.arange(12) % 10, torch.randn(128, 10, generator=torch.Generator().manual_seed(0))

    def everything(clip, device):
        vector = {key: value.to(device) for key, value in tau.items()}
        part, rest = images[:12].to(device), images[12:].to(device)
        batch = Batch(part, labels.to(device), rest)
        gradient, _, _ = METHODS["taujp-strict"].gradient(clip, head.to(device), vector, batch, penalty_weight=0.1)
        return (
            jacobian_products(clip.encoder, clip.theta0, [vector, vector], images)[1],  # images are moved in chunks
            torch.cat([value.flatten() for value in gradient.values()]),
            torch.cat([value.flatten() for value in gauss_newton_product(clip.encoder, clip.theta0, vector, images).values()]),
        )  # fmt: skip

    expected = everything(mini, torch.device("cpu"))
    with precision(name, torch.device("cuda")):
        found = everything(gpu, torch.device("cuda"))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.float32
        assert ((ours.cpu() - theirs).norm() / theirs.norm()).item() < error


def test_a_run_comes_back_to_the_gpu_and_goes_on_there(tmp_path):
    gpu = load_clip("mini", device="cuda")
    config = run_config("mini", "uci", "linear", tasks=["uci", "mnist"], steps=1)
    trained, loaded = finetune(config, tmp_path, gpu), finetune(config, tmp_path, gpu)
    for vector in (trained.vector, loaded.vector):
        assert all(value.is_cuda for value in edited(gpu.theta0, [vector], [1.0]).values())
    digest = loaded.vector.digest()
    again = run_config("mini", "uci", "taujp-efficient", tasks=["uci", "mnist"], steps=1, start=digest)
    assert finetune(again, tmp_path, gpu, start=loaded.vector).vector.digest() != digest
