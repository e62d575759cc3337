"""Do vectors add up if each one's matrices are kept orthonormal? OrthoReg, on attention's weights alone.

CE(f(x; θ₀ + τ)) + λ·P(τ), P a sum over the matrices ΔW [m, n] of τ that move (2604.17078, CVPR 2026). Two forms:

    paper (eq. 8)   ‖ΔWᵀΔW − I‖²_F
    code            ‖G − I‖_F, not squared, G = ΔWΔWᵀ [m, m] if m < n, else ΔWᵀΔW [n, n]

Code (lshangge/OrthoReg, commit 9bf749b) and paper differ, and `form` says which is followed; the code's is the default, for
the published numbers are its. In the paper's form a wide matrix cannot come below n − m. At ΔW = 0 the gradient is zero in
both forms, and P = √min(m, n) or n per matrix: the task's gradient begins. The minimum has ‖ΔW‖_F = √min(m, n), far above that
of ordinary fine-tuning, so that single-task accuracy falls and must be read beside a normalised one.

Every tensor of two axes that moves is a matrix: here the input projection [3d, d] and the output projection [d, d] of each
attention layer. A step costs one of `attention-only` and, per matrix, two products of its size.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from ..models import Clip
from ..parameters import Parameters, leaves
from .attention_only import METHOD as ATTENTION_ONLY
from .method import Batch, Method, Parameter


def orthogonality(matrices: Mapping[str, Tensor], form: str) -> Float[Tensor, ""]:
    """P: the distances of the matrices' Grams from I, summed, in the form of the `code` or of the `paper`."""
    total = torch.zeros((), **like(matrices))
    for matrix in matrices.values():
        wide = form == "code" and matrix.shape[0] < matrix.shape[1]
        gram = matrix @ matrix.T if wide else matrix.T @ matrix
        distance = gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        total = total + (distance.square().sum() if form == "paper" else torch.linalg.vector_norm(distance))
    return total


def like(matrices: Mapping[str, Tensor]) -> dict:
    first = next(iter(matrices.values()))
    return {"dtype": first.dtype, "device": first.device}


def orthogonal(name: str, base: Method, words: str = "") -> Method:
    """The objective of `base` with OrthoReg's penalty on the matrices that it moves."""

    def gradient(
        clip: Clip,
        head: Float[Tensor, "d classes"],
        tau: Parameters,
        batch: Batch,
        prepared: object = None,
        penalty_weight: float = 0.0,
        form: str = "code",
    ) -> tuple[Parameters, Float[Tensor, ""], Float[Tensor, ""]]:
        """Gradient of the task's loss + λ·P(τ), the loss, and P."""
        found, loss, _ = base.gradient(clip, head, tau, batch)
        matrices = leaves({name: value for name, value in tau.items() if value.ndim == 2 and base.moves(name)})
        with torch.enable_grad():
            penalty = orthogonality(matrices, form)
            slopes = torch.autograd.grad(penalty, list(matrices.values()))
        for matrix, slope in zip(matrices, slopes, strict=True):
            found[matrix] = found[matrix] + penalty_weight * slope
        return found, loss, penalty.detach()

    parameters = {"penalty_weight": Parameter(1.0), "form": Parameter("code", accepted=("code", "paper"))}
    return Method(name, base.application, gradient, moves=base.moves, parameters=parameters, words=words)


METHOD = orthogonal("orthoreg", ATTENTION_ONLY, words="OrthoReg")
