"""Shapes and types in annotations are enforced in all tests; fixtures that several files use."""

# Whatever is imported under the hook is compiled anew, these and what they import too: some ten seconds.
import datasets  # noqa: F401
import open_clip
import torchvision.datasets  # noqa: F401
from jaxtyping import install_import_hook

with install_import_hook(["taujp_core", "analysis"], "beartype.beartype"):
    pass

import copy
import os
import signal
import sys

import pytest
import torch
from torch import nn

from taujp_core.models import Clip, ImageEncoder, fingerprint
from taujp_core.pretrained import load_clip

# `make test &` and nohup have Ctrl-C ignored, and the processes that tests interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests run in as many processes as there are cores. Threads that wait for a core cost more than they bring.
torch.set_num_threads(1)


def pytest_xdist_auto_num_workers(config) -> int:
    """One process more than there are cores: one test or other always waits for kernels and workers that it started."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def mini() -> Clip:
    return load_clip("mini", device="cpu")


@pytest.fixture
def mini64(mini) -> Clip:
    """The small CLIP in float64."""
    model = copy.deepcopy(mini.model).double()
    encoder = copy.deepcopy(mini.encoder).double()
    theta0 = {name: value.double() for name, value in mini.theta0.items()}
    return Clip(mini.name, model, mini.tokenizer, encoder, theta0, fingerprint(theta0), 32, mini.logit_scale)


class SmallNetwork(nn.Module):
    """Bytes to features [outputs] through a convolution, layer norm, a tanh and a linear map, in float64."""

    def __init__(self, outputs: int = 5):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.convolution = nn.Conv2d(3, 4, 8, stride=8)
        self.norm = nn.LayerNorm(64)
        self.linear = nn.Linear(64, outputs)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)
        self.double()

    def forward(self, images):
        hidden = self.convolution(images.to(self.linear.weight.dtype) / 255).flatten(1)
        return self.linear(torch.tanh(self.norm(hidden)))


@pytest.fixture
def small() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """A network and its parameters θ₀."""
    network = SmallNetwork().requires_grad_(False)
    return network, dict(network.named_parameters())


def tiny_clip(clip: Clip) -> Clip:
    """A small network in the place of this CLIP's image encoder: everything works, and a step takes no time."""
    network = SmallNetwork(128).float().requires_grad_(False).eval()
    theta0 = dict(network.named_parameters())
    return Clip("tiny", clip.model, clip.tokenizer, network, theta0, fingerprint(theta0), 32, clip.logit_scale)


def tiny_tower(clip: Clip) -> Clip:
    """A vision transformer of one narrow block in that place, for what takes a transformer's tensors."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        visual = open_clip.transformer.VisionTransformer(32, 16, 16, 1, 2, 2.0, output_dim=128)
    encoder = ImageEncoder(visual, (0.5,) * 3, (0.25,) * 3).requires_grad_(False).eval()
    theta0 = dict(encoder.named_parameters())
    return Clip("tower", clip.model, clip.tokenizer, encoder, theta0, fingerprint(theta0), 32, clip.logit_scale)


OF_TRANSFORMERS = ("attention-only", "delta", "orthoreg", "tak")


def tiny_for(method: str, clip: Clip) -> Clip:
    """The smallest network that this method trains."""
    return tiny_tower(clip) if method in OF_TRANSFORMERS else tiny_clip(clip)


@pytest.fixture
def tiny(mini) -> Clip:
    return tiny_clip(mini)


def random_like(theta: dict[str, torch.Tensor], seed: int, size: float = 0.02) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: size * torch.randn(value.shape, generator=generator, dtype=value.dtype) for name, value in theta.items()
    }


def random_images(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)


def replace_everywhere(monkeypatch, function, other) -> None:
    """`other` in the place of a function, in whatever module of the project has imported it."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("taujp_core", "analysis")) and getattr(module, function.__name__, None) is function:
            monkeypatch.setattr(module, function.__name__, other)
