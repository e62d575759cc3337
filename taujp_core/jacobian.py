"""Products with the encoder's Jacobian J = ∂f(x; θ)/∂θ at θ₀.

f maps a batch of n images to features [n, d]. τ is a dict of tensors like θ₀; Jτ is [n, d].
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.autograd.forward_ad as forward_ad
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.func import functional_call, jvp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from .models import Parameters

Details = TypeVar("Details")


@contextmanager
def forward_mode() -> Iterator[None]:
    """Attention by plain matrix products: the fused kernels have no forward-mode derivative."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


@torch.no_grad()
def jacobian_products(
    encoder: nn.Module,
    theta0: Parameters,
    taus: Sequence[Parameters],
    images: Shaped[Tensor, "n ..."],
    chunk: int = 64,
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "t n d"]]:
    """Features f₀ = f(x; θ₀) and products J(x)·τₜ for all vectors, the primal computed once.

    Forward-mode differentiation, vectorised over the vectors; `chunk` images at a time.
    """
    stacked = {name: torch.stack([tau[name] for tau in taus]) for name in theta0}

    def dual(tau: Parameters, part: Tensor) -> tuple[Tensor, Tensor]:
        return jvp(lambda theta: functional_call(encoder, theta, (part,)), (theta0,), (tau,))

    features, products = [], []
    with forward_mode():
        for part in images.split(chunk):
            primal, tangents = vmap(lambda tau, part=part: dual(tau, part), out_dims=(None, 0))(stacked)
            features.append(primal)
            products.append(tangents)
    return torch.cat(features), torch.cat(products, 1)


def linearised_gradient(
    encoder: nn.Module,
    theta0: Parameters,
    tau: Parameters,
    images: Shaped[Tensor, "n ..."],
    loss: Callable[[Float[Tensor, "n d"], Float[Tensor, "n d"]], tuple[Float[Tensor, ""], Details]],
) -> tuple[Parameters, Details]:
    """Gradient with respect to τ of loss(f₀, Jτ), which is Jᵀ·∂loss/∂(Jτ), and what else `loss` returns.

    One dual-number forward pass gives f₀ and Jτ; the loss's gradient with respect to Jτ is then sent back
    through the graph of f₀ alone. Jτ is linear in τ, so no second derivative is needed: 5/3 of the
    arithmetic of an ordinary training step.
    """
    primal = {name: value.detach().requires_grad_() for name, value in theta0.items()}
    with forward_mode():
        with forward_ad.dual_level():
            dual = {name: forward_ad.make_dual(value, tau[name].detach()) for name, value in primal.items()}
            features, products = forward_ad.unpack_dual(functional_call(encoder, dual, (images,)))
            del dual
            products = products.detach().requires_grad_()  # drops the tangents' graph
        objective, details = loss(features.detach(), products)
        (cotangent,) = torch.autograd.grad(objective, products)
        gradients = torch.autograd.grad(features, list(primal.values()), grad_outputs=cotangent, materialize_grads=True)
    return dict(zip(primal, gradients, strict=True)), details


def product_norms(products: Float[Tensor, "*t n d"]) -> Float[Tensor, "*t n"]:
    """‖J(x)τ‖₂ per image. Its mean over a data set is τJp (Yoshida et al. 2025, the norm not squared)."""
    return torch.linalg.vector_norm(products, dim=-1)
