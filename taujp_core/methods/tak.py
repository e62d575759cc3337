"""Can curvature stand in for the other tasks' images? TAK: Kronecker factors of their JᵀJ, computed once.

CE(u + J_u τ) + λ·P(τ) with u = f/‖f‖ (2602.17385, ICLR 2026), and

    P = Σ_matrices tr(B ΔW̃ A ΔW̃ᵀ) + full_weight·Σ_vectors δᵀFδ + projection_weight·tr(B_p ΔW_p A_p ΔW_pᵀ),

factors at θ₀ over images of the other data sets (`products.kronecker`). The sum over the other data sets s of n_s images is

    A = Σ_s (n_s/N)·A_s/n_s,  B = Σ_s B_s/n_s,  F = Σ_s F_s/N,  N = Σ_s n_s

in the authors' code (aimagelab/mammoth, commit e75a491): a sum for B, but means for A and F, so that the matrix part grows
with the number of data sets. With `aggregate="mean"` B is a mean, too. Both A and B are means over an image's tokens in their
code, so that P falls with the number of tokens; with `tokens="once"` only A is. `features="normalised"`, as theirs, takes the
factors of J_u, `raw` those of J, as τJp does.

Followed is the code, but where this project has one way for all methods: several `draws` are averaged, theirs summed; the gradient
is cut, theirs is not. Patch convolution and positional embedding stay, as theirs.
Parameters' defaults are mammoth's; `reference_images` is ours: of each other data set a fair sample, 0 for all (256 suffice in
the paper, whose default is all).

A step costs one of `linear-normalised` and two products of d_out² d_in and d_out d_in² per matrix, some tenth of it on ViT-B/32 at 128
images; before the training, a forward and a backward pass per image and draw. Nothing else is kept of the other images.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..applications.linearised_normalised import LINEARISED_NORMALISED
from ..models import Clip
from ..parameters import Parameters, device_of
from ..products.jacobian import full_precision
from ..products.kronecker import Factors, kronecker_factors
from .linear_normalised import METHOD as WITHOUT_PENALTY
from .method import Batch, Method, Parameter, Sight


def moves(name: str) -> bool:
    """All but the patch convolution and the positional embedding."""
    return not name.endswith(("conv1.weight", "positional_embedding"))


def curvature(sight: Sight) -> Factors:
    """The others' factors together, for Σ of P's blocks. Raises ValueError for a model with a parameter outside the blocks."""
    options, clip = sight.parameters, sight.clip
    generator = torch.Generator().manual_seed(sight.seed)
    features = F.normalize if options["features"] == "normalised" else lambda f: f
    draws, both = int(options["draws"]), options["tokens"] == "authors"
    found = []
    for split in sight.others:
        images = split.first(int(options["reference_images"])).images
        found.append(kronecker_factors(clip.encoder, clip.theta0, images, features, draws, generator, both))
        check_blocks("tak", clip, found[-1])
    return together(found, str(options["aggregate"]))


def check_blocks(method: str, clip: Clip, factors: Factors) -> None:
    """Raises ValueError for a model with a parameter that moves and has no block."""
    if outside := sorted({name for name in clip.theta0 if moves(name)} - factors.names()):
        raise ValueError(
            f"{method} has no factors for {outside[0]} of {clip.name}: a model of linear, attention and LayerNorm layers "
            "is accepted, such as open_clip's vision transformers"
        )


def together(found: Sequence[Factors], aggregate: str) -> Factors:
    """Factors of several data sets as those of one, by the rule above; means over images."""
    first, images = found[0], sum(one.images for one in found)
    share = 1 / len(found) if aggregate == "mean" else 1.0
    matrices = {
        name: (
            sum(one.matrices[name][0] for one in found) / images,
            sum(one.matrices[name][1] / one.images for one in found) * share,
        )
        for name in first.matrices
    }
    vectors = {name: sum(one.vectors[name] for one in found) / images for name in first.vectors}
    return Factors(images, matrices, vectors, first.biases, first.projections)


def penalty_and_slope(
    tau: Parameters, factors: Factors, full_weight: float, projection_weight: float
) -> tuple[Float[Tensor, ""], Parameters]:
    """Σ of the blocks and its gradient: of TAK's P 2·BΔW̃A per matrix and 2·Fδ per vector."""
    total, slopes = torch.zeros((), device=device_of(tau), dtype=next(iter(tau.values())).dtype), {}
    for name in factors.matrices:
        projects, bias = name in factors.projections, factors.biases[name]
        weight = projection_weight if projects else 1.0
        matrix = tau[name].T if projects else tau[name]
        matrix = torch.cat([matrix, tau[bias][:, None]], 1) if bias else matrix
        product = weight * factors.times(name, matrix)
        total = total + (product * matrix).sum()
        if bias:
            slopes[bias] = 2 * product[:, -1]
            product = product[:, :-1]
        slopes[name] = 2 * (product.T if projects else product)
    for name, gram in factors.vectors.items():
        product = full_weight * (gram @ tau[name])
        total = total + product @ tau[name]
        slopes[name] = 2 * product
    return total, slopes


def gradient(
    clip: Clip,
    head: Float[Tensor, "d classes"],
    tau: Parameters,
    batch: Batch,
    prepared: Factors,
    penalty_weight: float,
    full_weight: float,
    projection_weight: float,
    **factors: int | str,
) -> tuple[Parameters, Float[Tensor, ""], Float[Tensor, ""]]:
    """Gradient of CE(u + J_u τ) + λ·P(τ), the loss, and P; what else the factors were made by is in them."""
    found, loss, _ = WITHOUT_PENALTY.gradient(clip, head, tau, batch)
    with torch.no_grad(), full_precision(loss):
        penalty, slopes = penalty_and_slope(tau, prepared, full_weight, projection_weight)
        for name, slope in slopes.items():
            found[name] = found[name] + penalty_weight * slope
    return found, loss, penalty


METHOD = Method(
    "tak",
    LINEARISED_NORMALISED,
    gradient,
    moves=moves,
    others="before",
    prepare=curvature,
    parameters={
        "penalty_weight": Parameter(500.0),
        "full_weight": Parameter(10.0),
        "projection_weight": Parameter(0.1),
        "aggregate": Parameter("authors", accepted=("authors", "mean")),
        "tokens": Parameter("authors", accepted=("authors", "once")),
        "features": Parameter("normalised", accepted=("normalised", "raw")),
        "draws": Parameter(1),
        "reference_images": Parameter(256),
    },
    version=2,  # of normalised features, as the authors train it
    words="TAK",
)
