"""Encoders of several libraries, and second ways to compute what tests compare with."""

import runpy
from pathlib import Path

import open_clip
import timm
import torch
import torchvision
from conftest import SmallNetwork
from torch import nn
from torch.func import functional_call, jvp

from taujp_core.evaluation import features

BENCHMARK = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "jacobian.py"))
peak_bytes, pytorch_rules = BENCHMARK["peak_bytes"], BENCHMARK["pytorch_rules"]


def open_clip_tower(**changes) -> nn.Module:
    sizes = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "heads": 2, "mlp_ratio": 4.0, "output_dim": 9}
    return open_clip.transformer.VisionTransformer(**sizes | changes)


TOWERS = {
    "linear and convolution": SmallNetwork,
    "open_clip ViT": open_clip_tower,
    "open_clip ViT, QuickGELU": lambda: open_clip_tower(act_layer=open_clip.transformer.QuickGELU),
    "open_clip ViT, attentional pool": lambda: open_clip_tower(attentional_pool=True, output_dim=8),
    "open_clip ResNet": lambda: open_clip.modified_resnet.ModifiedResNet((1, 1, 1, 1), 9, 4, 32, 8),
    "timm ViT": lambda: timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2, num_classes=9),
    "torchvision ResNet": lambda: torchvision.models.resnet18(num_classes=9),
}


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


def central_difference(encoder, theta0, tau, images, step: float) -> torch.Tensor:
    """(f(θ₀ + hτ) − f(θ₀ − hτ)) / 2h with one Richardson step, error O(h⁴)."""

    def difference(h):
        plus, minus = ({name: theta0[name] + sign * h * tau[name] for name in theta0} for sign in (1, -1))
        return (features(encoder, plus, images) - features(encoder, minus, images)) / (2 * h)

    return (4 * difference(step) - difference(2 * step)) / 3


def inner(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    return sum((a[name] * b[name]).sum() for name in a).item()


def brute_force(encoder, theta0, tau, images, loss) -> dict[str, torch.Tensor]:
    """Autograd through torch.func.jvp: the slow way."""
    tau = {name: value.clone().requires_grad_() for name, value in tau.items()}
    with pytorch_rules():
        f0, products = jvp(lambda theta: functional_call(encoder, theta, (images,)), (theta0,), (tau,))
        gradients = torch.autograd.grad(loss(f0, products), list(tau.values()), materialize_grads=True)
    return dict(zip(tau, gradients, strict=True))
