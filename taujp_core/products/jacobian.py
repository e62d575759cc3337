"""What are J·τ, Jᵀ·u and JᵀJ·v, without ever forming the encoder's Jacobian?

Products with the encoder's Jacobian J = ∂f(x; θ)/∂θ at θ₀.

f maps a batch of n images to features [n, d]. τ is a dict of tensors like θ₀; J(x)τ is [d] an image. The encoder
is any `nn.Module` in eval mode with parameters θ₀. At fixed θ₀, Jτ is linear in τ, so nothing here ever
differentiates through a tangent: forward mode gives Jτ, and one reverse pass over the primal gives Jᵀu.

Images may be on the CPU while θ₀ is on a GPU: they are moved in chunks, and results stay with θ₀.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.autograd.forward_ad import dual_level, make_dual, unpack_dual
from torch.func import functional_call, jvp, vmap

from ..parameters import Parameters, bytes_of, device_of, leaves, zeros_like
from ..progress import Progress
from .forward_mode import forward_mode
from .memory import activation_bytes, chunk_size, to_device, within_memory

Details = TypeVar("Details")


@torch.no_grad()
def jacobian_products(
    encoder: nn.Module, theta0: Parameters, vectors: Sequence[Parameters], images: Shaped[Tensor, "n ..."]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "t n d"]]:
    """Features f₀ = f(x; θ₀) and products J(x)·τₜ for all vectors, the primal computed once for all that fit.

    1 + 2T matrix products a layer for T vectors, where T single products take 3T. Vectors and images are taken
    in chunks that fit into memory. Raises ValueError without vectors or images, and for a vector that names
    other parameters than θ₀.
    """
    check_arguments(theta0, vectors, images)
    device = device_of(theta0)
    largest, _ = activation_bytes(encoder, theta0, images)
    theta_bytes = bytes_of(theta0)

    def compute(budget: int) -> tuple[Tensor, Tensor]:
        group = min(len(vectors), max(1, budget // 2 // theta_bytes))
        # A layer's input and output, an activation function's, and the residual, for the primal and each tangent.
        chunk = chunk_size(budget - group * theta_bytes, 4 * (1 + group) * largest, theta0)
        products = []
        groups = [vectors[start : start + group] for start in range(0, len(vectors), group)]
        progress = Progress("Jacobian products", len(images) * len(groups))
        for taus in groups:
            stacked = {name: torch.stack([tau[name] for tau in taus]) for name in theta0}
            parts = []
            for part in images.split(chunk):
                parts.append(products_of(encoder, theta0, stacked, to_device(part, device)))
                progress.advance(len(part))
            features, group_products = (torch.cat(tensors, -2) for tensors in zip(*parts, strict=True))
            products.append(group_products)
        progress.close()
        return features, torch.cat(products)

    return within_memory(compute, device)


def products_of(encoder: nn.Module, theta0: Parameters, stacked: Parameters, images: Tensor) -> tuple[Tensor, Tensor]:
    """f₀ [n, d] and Jτₜ [t, n, d] of one batch, by forward mode vectorised over vectors [t, ...]."""

    def dual(tau: Parameters) -> tuple[Tensor, Tensor]:
        return jvp(lambda theta: functional_call(encoder, theta, (images,)), (theta0,), (tau,))  # type: ignore[return-value]

    with forward_mode():
        features, products = vmap(dual, out_dims=(None, 0))(stacked)  # type: ignore[arg-type]
    dtype = next(iter(theta0.values())).dtype
    return features.to(dtype), products.to(dtype)


def linearised_gradient(
    encoder: nn.Module,
    theta0: Parameters,
    tau: Parameters,
    images: Shaped[Tensor, "n ..."],
    loss: Callable[[Float[Tensor, "n d"], Float[Tensor, "n d"]], tuple[Float[Tensor, ""], Details]],
) -> tuple[Parameters, Details]:
    """Gradient with respect to τ of loss(f₀, Jτ), which is Jᵀ·∂loss/∂(Jτ), and what else `loss` returns.

    One dual-number forward pass gives f₀ and Jτ, and keeps the graph of f₀ alone (what PyTorch's own rules record
    of the tangents goes before the backward pass); the loss's gradient with respect to Jτ is then sent back
    through that graph. An ordinary training step takes 3 matrix products a layer, this one 5. All images are one
    batch.
    """
    primal = leaves(theta0)
    dtype = next(iter(theta0.values())).dtype
    with torch.enable_grad(), forward_mode(), dual_level():
        dual = {name: make_dual(value, tau[name].detach()) for name, value in primal.items()}
        features, products = unpack_dual(functional_call(encoder, dual, (images,)))
        del dual
    features = features.to(dtype)
    # Detached, for a rule of PyTorch's own may have recorded a graph of the tangents.
    products = products.detach().to(dtype).requires_grad_()
    with torch.enable_grad(), full_precision(products):
        objective, details = loss(features.detach(), products)
        (cotangent,) = torch.autograd.grad(objective, products)
    return pull_back(features, primal, cotangent), details


def transpose_product(
    encoder: nn.Module, theta0: Parameters, cotangent: Float[Tensor, "n d"], images: Shaped[Tensor, "n ..."]
) -> Parameters:
    """Jᵀu = Σ over images of J(x)ᵀu(x), by reverse mode. Raises ValueError without images."""
    check_arguments(theta0, [theta0], images)

    def product(part: Tensor, rows: slice) -> Parameters:
        primal = leaves(theta0)
        with torch.enable_grad():
            features = functional_call(encoder, primal, (part,))
        return pull_back(features, primal, cotangent[rows].to(features))

    return sum_over_chunks(product, encoder, theta0, images)


def gauss_newton_product(
    encoder: nn.Module, theta0: Parameters, vector: Parameters, images: Shaped[Tensor, "n ..."]
) -> Parameters:
    """G·v with G = mean over images of J(x)ᵀJ(x): the gradient of ½·mean ‖J(x)v‖² with respect to v.

    Raises ValueError without images, and for a vector that names other parameters than θ₀.
    """
    check_arguments(theta0, [vector], images)

    def half_square(f0: Tensor, products: Tensor) -> tuple[Tensor, None]:
        return products.square().sum() / (2 * len(images)), None

    def product(part: Tensor, rows: slice) -> Parameters:
        return linearised_gradient(encoder, theta0, vector, part, half_square)[0]

    return sum_over_chunks(product, encoder, theta0, images)


def product_norms(products: Float[Tensor, "*t n d"]) -> Float[Tensor, "*t n"]:
    """‖J(x)τ‖₂ per image. Its mean over a data set is τJp (Yoshida et al. 2025, the norm not squared)."""
    return torch.linalg.vector_norm(products, dim=-1)


def check_arguments(theta0: Parameters, vectors: Sequence[Parameters], images: Tensor) -> None:
    if not len(vectors) or not len(images):
        raise ValueError(f"at least one vector and one image are needed, not {len(vectors)} and {len(images)}")
    for number, tau in enumerate(vectors):
        if different := sorted(tau.keys() ^ theta0.keys()):
            raise ValueError(f"vector {number} and θ₀ do not name the same parameters: {', '.join(different[:3])}")


def sum_over_chunks(
    product: Callable[[Tensor, slice], Parameters], encoder: nn.Module, theta0: Parameters, images: Tensor
) -> Parameters:
    """Σ of product(images of a chunk on θ₀'s device, the chunk's rows)."""
    device = device_of(theta0)
    _, total = activation_bytes(encoder, theta0, images)

    def compute(budget: int) -> Parameters:
        chunk = chunk_size(budget, 2 * total, theta0)
        result = zeros_like(theta0)
        for start in range(0, len(images), chunk):
            rows = slice(start, start + chunk)
            for name, value in product(to_device(images[rows], device), rows).items():
                result[name].add_(value)
        return result

    return within_memory(compute, device)


def pull_back(features: Tensor, primal: Parameters, cotangent: Tensor) -> Parameters:
    """The cotangent of the features as one of the parameters; zeros for those that the features do not see."""
    with full_precision(features):
        gradients = torch.autograd.grad(features, list(primal.values()), cotangent, materialize_grads=True)
    return dict(zip(primal, gradients, strict=True))


def full_precision(tensor: Tensor) -> torch.autocast:
    """No autocast: under it the loss would be rounded, and reverse mode has the forward pass's formats anyway."""
    return torch.autocast(tensor.device.type, enabled=False)
