"""Can ordinary fine-tuning learn to be linear? DELTA: a linearised teacher beside it, and curvature on both.

The loss of one step (2605.18993, ICML 2026) has two models, a teacher τ_T that is applied linearised and a student τ_S that is
applied to the encoder. Both are applied at one coefficient α, which is drawn anew for each step:

    CE(f(x; θ₀ + ατ_S)) + match_weight · mean ‖f/‖f‖(x; θ₀ + ατ_S) − z_T(x)‖² + CE(z_T(x)) + λ·E(τ_S) + λ·E(τ_T),
    z_T = u + α·J_u τ_T  with u = f/‖f‖ at θ₀.

The teacher learns by its cross-entropy and its penalty alone: in the match it is fixed. The student is the vector.
E(τ) = Σ_s n_s/N · E_s(τ) is TAK's penalty with the sizes of JᵀJ itself (`products.eigenvalues`), over reference images of the data
sets s: Σ_matrices Σ D ∘ (U_Bᵀ ΔW̃ U_A)², projection_weight times that of the last projection, and full_weight·Σ_vectors δᵀFδ. Its λ
is not TAK's, for D does not fall with the number of tokens.

Followed is the authors' code (apanariello4/merge-and-rebase, commit 345c570):

- `coefficients="curriculum"`: α uniform on [1 − p/2, 1 + p], p = (step / steps)^½. The paper has a uniform α of [½, 1]
  (`coefficients="uniform"`).
- `vectors="authors"`: F of LayerNorms and of the class embedding is the sum over a data set's images, and only D is a mean. The more
  images, the less these vectors move, and theirs are 15 % of ImageNet-21k. `mean` divides both by the number of images.

The authors' reference images are of no task (ImageNet-21k). So can ours be: `penalty_tasks` of auxiliary pictures; by default they are
those of the other tasks and the control. As in `tak`: patch convolution and positional embedding stay, several `draws` are averaged,
`reference_images` is ours, and the gradient is cut (both models' together), theirs is not.

A step costs one of `standard`, one of `linear`, and for each model and data set four products of d³ per matrix; parameters and the
optimiser's state are kept twice. Before the training there are two passes as TAK's. `penalty` of the history is E(τ_S) + E(τ_T). λ is for trainings of thousands of
steps: after 40 steps of 32 images on `mini`'s street (one seed) validation accuracy is 0.74 at λ = 5, 0.66 at 50 and 0.34 at 500, where
`standard` has 0.70.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..applications.encoder import ENCODER
from ..applications.linearised_normalised import LINEARISED_NORMALISED
from ..evaluation import cross_entropy
from ..models import Clip
from ..parameters import Parameters
from ..products.eigenvalues import EigenFactors, eigen_factors
from ..products.jacobian import full_precision
from .method import Batch, Method, Parameter, Sight
from .tak import check_blocks, moves, penalty_and_slope

TEACHER = "teacher/"


@dataclass(frozen=True)
class Prepared:
    """references: each with its share of all reference images; seed, steps: of the training, for α."""

    references: Sequence[tuple[float, EigenFactors]]
    seed: int
    steps: int


def prepare(sight: Sight) -> Prepared:
    """Raises ValueError for a model with a parameter outside the blocks."""
    options, clip = sight.parameters, sight.clip
    generator = torch.Generator().manual_seed(sight.seed)
    found = []
    for split in sight.others:
        images = split.first(int(options["reference_images"])).images
        factors = eigen_factors(clip.encoder, clip.theta0, images, F.normalize, int(options["draws"]), generator)
        check_blocks("delta", clip, factors)
        if options["vectors"] == "mean":
            vectors = {name: gram / factors.images for name, gram in factors.vectors.items()}
            factors = replace(factors, vectors=vectors)
        found.append(factors)
    total = sum(factors.images for factors in found)
    return Prepared([(factors.images / total, factors) for factors in found], sight.seed, sight.steps)


def coefficient(prepared: Prepared, step: int, how: str) -> float:
    """α of this step, by the seed and the step alone."""
    draw = np.random.RandomState(np.array([prepared.seed, step], dtype=np.uint32)).uniform()
    if how == "uniform":
        return 0.5 + 0.5 * draw
    progress = (step / prepared.steps) ** 0.5
    return 1 - progress / 2 + 1.5 * progress * draw


def gradient(
    clip: Clip,
    head: Float[Tensor, "d classes"],
    tau: Parameters,
    batch: Batch,
    prepared: Prepared,
    penalty_weight: float,
    match_weight: float,
    full_weight: float,
    projection_weight: float,
    coefficients: str,
    **factors: int | str,
) -> tuple[Parameters, Float[Tensor, ""], Float[Tensor, ""]]:
    """Gradient of the objective for both models, the student's cross-entropy, and E of both; what else the factors were made by is in
    them."""
    alpha = coefficient(prepared, batch.step, coefficients)
    models = {prefix: {name: tau[prefix + name] for name in clip.theta0} for prefix in ("", TEACHER)}
    scaled = {prefix: {name: alpha * value for name, value in model.items()} for prefix, model in models.items()}

    def teach(features: Tensor) -> tuple[Tensor, Tensor]:
        return cross_entropy(features, head, batch.labels), features.detach()

    def learn(features: Tensor) -> tuple[Tensor, Tensor]:
        loss = cross_entropy(features, head, batch.labels)
        match = (F.normalize(features, dim=-1) - target).square().sum(-1).mean()
        return loss + match_weight * match, loss.detach()

    of_teacher, target = LINEARISED_NORMALISED.gradient(clip, scaled[TEACHER], batch.images, teach)
    of_student, loss = ENCODER.gradient(clip, scaled[""], batch.images, learn)
    found, penalty = {}, torch.zeros_like(loss)
    with torch.no_grad(), full_precision(loss):
        for prefix, slopes in {"": of_student, TEACHER: of_teacher}.items():
            slopes = {name: alpha * slope for name, slope in slopes.items()}
            for share, one in prepared.references:
                value, more = penalty_and_slope(models[prefix], one, full_weight, projection_weight)
                penalty = penalty + share * value
                for name, slope in more.items():
                    slopes[name] = slopes[name] + penalty_weight * share * slope
            found |= {prefix + name: slope for name, slope in slopes.items()}
    return found, loss, penalty


METHOD = Method(
    "delta",
    ENCODER,
    gradient,
    moves=moves,
    others="before",
    prepare=prepare,
    beside=TEACHER,
    parameters={
        "penalty_weight": Parameter(500.0),
        "match_weight": Parameter(1.0),
        "full_weight": Parameter(10.0),
        "projection_weight": Parameter(0.1),
        "coefficients": Parameter("curriculum", accepted=("curriculum", "uniform")),
        "vectors": Parameter("authors", accepted=("authors", "mean")),
        "draws": Parameter(1),
        "reference_images": Parameter(256),
    },
    words="DELTA",
)
