"""How much does moving one layer move the features, along the eigenvectors of its Kronecker factors?

A matrix ΔW̃ of a layer (see `kronecker`) is kept as Σ D ∘ (U_Bᵀ ΔW̃ U_A)². U_A and U_B are the eigenvectors of the factors A and B;
D = mean_n (U_Bᵀ G_n U_A)² has the second moments of an image's gradient G_n = Σ_r γ_r ã_rᵀ along them, entry by entry. So the
sizes are those of JᵀJ itself: an image's tokens are summed before they are squared, and products between tokens stay.
Attention's fused projection counts as three layers, of queries, keys and values: U_B has a block for each. Vectors δ are kept as by
`kronecker`.

Source: eigenvalue-corrected Kronecker factors (George et al. 2018), as DELTA has them (2605.18993, `ekfac_ggn.py` of the authors'
code, apanariello4/merge-and-rebase, commit 345c570). Its eigenvectors are of an SVD, which are these in another order.

Verified against: that code, on a vision transformer of two blocks with six images, exact: Σ over matrices, vectors and projection agrees
to 1e-8 (its images go through float32).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ..parameters import Parameters, device_of
from .kronecker import CHUNK, MATRICES, Factors, cotangents, image_axes, kronecker_factors, watched
from .memory import to_device

FUSED = "in_proj_weight"


@dataclass(frozen=True)
class EigenFactors(Factors):
    """As `Factors`, but matrices: U_A [in(+1), in(+1)], U_B [out, out] and D [out, in(+1)] by weight."""

    matrices: dict[str, tuple[Tensor, Tensor, Tensor]]  # type: ignore[assignment]

    def times(self, name: str, matrix: Float[Tensor, "o i"]) -> Float[Tensor, "o i"]:
        """Half the gradient of Σ D ∘ (U_Bᵀ M U_A)² by M."""
        ua, ub, moments = self.matrices[name]
        return ub @ (moments * (ub.T @ matrix @ ua)) @ ua.T


def eigen_factors(
    encoder: nn.Module,
    theta0: Parameters,
    images: Shaped[Tensor, "n ..."],
    features: Callable[[Float[Tensor, "n d"]], Float[Tensor, "n d"]],
    draws: int,
    generator: torch.Generator,
) -> EigenFactors:
    """Factors of g = features(f(x; θ₀)) over these images: D is a mean, vectors are sums over the images.

    draws: see `kronecker_factors`; D has those of B, as the authors' code: gradients then have no part outside B's range, where the
    eigenvectors are arbitrary. Raises what it raises, for matrices, too.
    """
    begun = generator.get_state()
    plain = kronecker_factors(encoder, theta0, images, features, draws, generator)
    bases = {
        name: (eigenvectors(a), eigenvectors(b, 3 if name.endswith(FUSED) else 1))
        for name, (a, b) in plain.matrices.items()
    }
    axes = image_axes(encoder, theta0, images, MATRICES)
    moments: Parameters = {}
    generator.set_state(begun)
    for part in images.split(CHUNK):
        part = to_device(part, device_of(theta0))
        layers, found = watched(encoder, theta0, part)
        layers = [layer for layer in layers if layer.kind in MATRICES]
        with torch.enable_grad():
            g = features(found)
        for cotangent, share in cotangents(g, draws, generator):
            outputs = [layer.output for layer in layers]
            slopes = torch.autograd.grad(g, outputs, cotangent, retain_graph=True, materialize_grads=True)
            for layer, slope in zip(layers, slopes, strict=True):
                (ua, ub), axis = bases[layer.weight], axes[layer.weight]
                inputs = torch.nn.functional.pad(layer.input, (0, bool(layer.bias)), value=1.0)
                into, back = by_image(inputs, axis) @ ua, by_image(slope, axis) @ ub
                squares = torch.einsum("nro,nri->noi", back, into).square().sum(0)
                moments[layer.weight] = moments.get(layer.weight, 0) + squares * (share / len(images))
    matrices = {name: (*bases[name], moments[name]) for name in plain.matrices}
    return EigenFactors(plain.images, matrices, plain.vectors, plain.biases, plain.projections)


def eigenvectors(gram: Float[Tensor, "d d"], layers: int = 1) -> Float[Tensor, "d d"]:
    """Columns, of each of so many equal blocks along the diagonal; in float64, for small eigenvalues lie close together."""
    size = len(gram) // layers
    blocks = [gram[start : start + size, start : start + size].double() for start in range(0, len(gram), size)]
    return torch.block_diag(*(torch.linalg.eigh(block).eigenvectors for block in blocks)).to(gram)


def by_image(x: Tensor, axis: int) -> Float[Tensor, "n r d"]:
    return x.movedim(axis, 0).reshape(x.shape[axis], -1, x.shape[-1])
