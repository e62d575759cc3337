"""Our rules for forward mode against PyTorch's own, with options, keywords, frozen and missing parameters."""

import pytest
import torch
import torch.nn.functional as F
from conftest import random_images, random_like
from torch import nn
from torch.func import functional_call, jvp, vmap
from towers import TOWERS, brute_force, pytorch_rules, relative_error

from taujp_core.evaluation import features
from taujp_core.models import ImageEncoder
from taujp_core.products.forward_mode import RULES, forward_mode
from taujp_core.products.jacobian import jacobian_products, linearised_gradient


@pytest.mark.parametrize(
    ("tower", "expected"),
    [
        ("open_clip ViT", {F.linear, F.layer_norm, F.gelu, F.multi_head_attention_forward}),
        ("timm ViT", {F.linear, F.layer_norm, F.gelu, F.scaled_dot_product_attention}),
    ],
)
def test_the_faster_rules_answer(tower, expected, monkeypatch):
    """PyTorch's own rules are right as well, so that nothing but speed would tell that ours did not."""
    answered = set()

    def spied(func, rule):
        def spy(*args, **kwargs):
            result = rule(*args, **kwargs)
            if result is not NotImplemented:
                answered.add(func)
            return result

        return spy

    for func, rule in RULES.items():
        monkeypatch.setitem(RULES, func, spied(func, rule))
    encoder = ImageEncoder(TOWERS[tower](), (0.5,) * 3, (0.25,) * 3).eval().requires_grad_(False)
    theta0 = dict(encoder.named_parameters())
    jacobian_products(encoder, theta0, [theta0], random_images(2))
    assert answered == expected


class Options(nn.Module):
    """Functions of the rules as encoders may also call them: options, keywords, frozen and missing parameters."""

    def __init__(self, case: str):
        super().__init__()
        torch.manual_seed(0)
        self.case = case
        self.embed = nn.Linear(48, 16, bias="no bias" not in case)
        self.norm = nn.LayerNorm(16, elementwise_affine="no affine" not in case)
        self.attention = nn.MultiheadAttention(16, 2, batch_first="batch first" in case, bias="no bias" not in case)
        self.double().eval()

    def forward(self, images):
        x = images.double().unflatten(2, (8, 4)).flatten(3)[:, :, :, :16].flatten(1, 2).unflatten(2, (-1, 16))[:, :, 0]
        x = F.linear(input=torch.cat([x] * 3, -1) / 255, weight=self.embed.weight, bias=self.embed.bias)
        x = self.norm(x)
        mask = None
        if "mask" in self.case:
            mask = nn.Transformer.generate_square_subsequent_mask(
                x.shape[1 if "batch first" in self.case else 0], dtype=x.dtype
            )
        weights = "weights" in self.case
        x = x + self.attention(x, x, x, need_weights=weights, attn_mask=mask, is_causal=mask is not None)[0]
        heads = F.gelu(input=x, approximate="tanh" if "tanh" in self.case else "none").unflatten(-1, (2, 8))
        q = heads.transpose(1, 2)
        x = F.scaled_dot_product_attention(
            query=q, key=q, value=2 * q, is_causal="causal" in self.case, scale=0.3 if "scale" in self.case else None
        )
        return x.transpose(1, 2).flatten(2).mean(1)


@pytest.mark.parametrize(
    "case",
    ["no bias, no affine", "batch first", "mask", "batch first, mask, weights", "weights", "tanh, causal", "scale",
     "frozen, batch first"],
)  # fmt: skip
def test_options_keywords_and_frozen_parameters(case):
    encoder = Options(case).requires_grad_(False)
    theta0 = {
        name: value
        for name, value in encoder.named_parameters()
        if "frozen" not in case or "norm" in name or "in_proj" in name
    }
    images, taus = random_images(3), [random_like(theta0, seed, 0.3) for seed in (1, 2)]
    f0, products = jacobian_products(encoder, theta0, taus, images)
    for tau, product in zip(taus, products, strict=True):
        with pytorch_rules():
            expected = jvp(lambda theta: functional_call(encoder, theta, (images,)), (theta0,), (tau,))
        assert torch.allclose(f0, expected[0], rtol=1e-10, atol=1e-12)
        assert relative_error(product, expected[1]) < 1e-11

    def loss(f0, products):
        return (f0 + products).square().sum()

    ours, _ = linearised_gradient(encoder, theta0, taus[0], images, lambda f, p: (loss(f, p), None))
    theirs = brute_force(encoder, theta0, taus[0], images, loss)
    assert ours.keys() == theta0.keys()
    for name, value in theirs.items():
        assert (ours[name] - value).norm() <= 1e-10 * max(value.norm().item(), 1e-3), name


def test_features_alone_under_the_rules_have_no_tangent(mini64):
    images = random_images(2)
    with forward_mode():
        plain = functional_call(mini64.encoder, mini64.theta0, (images,))
    assert torch.allclose(plain, features(mini64.encoder, mini64.theta0, images), rtol=0, atol=1e-12)


def test_forward_mode_restores_the_fast_path():
    before = torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(RuntimeError, match="inside"), forward_mode():
        assert not torch.backends.mha.get_fastpath_enabled()
        raise RuntimeError("inside")
    assert torch.backends.mha.get_fastpath_enabled() == before


def test_several_sets_of_parameters_at_once_are_refused():
    """The rules share the primal among the tangents."""
    weights, tangents = torch.randn(3, 5, 4), torch.randn(3, 5, 4)

    def product(weight, tangent):
        return jvp(lambda w: F.linear(torch.ones(2, 4), w), (weight,), (tangent,))[1]

    with forward_mode(), pytest.raises(ValueError, match="the images and parameters must be the same for all"):
        vmap(product)(weights, tangents)
