"""What if each block were merged for the activations that the blocks merged before it really give?

RegMean++ (Nguyen et al. 2025, arXiv 2508.03121, alg. 1) is RegMean block by block. Embeddings are averaged. Block ℓ of
expert t is run on what the merged blocks before ℓ make of task t's images, and the second moments G_t of its maps' inputs
are taken on the way:

    W_ℓ = Σ_t W_{t,ℓ} G_{t,ℓ} · (Σ_t G_{t,ℓ})⁻¹.

The merged block ℓ hands on what it makes of the same inputs. Parameters that are no linear maps are averaged. In the
linearisation every activation is θ₀'s, whatever was merged: there it would be RegMean, and it is not offered.

Verified against: the paper's algorithm, written out block by block in float64. The authors' code was not run.
"""

from collections.abc import Sequence

from taujp_core.parameters import Parameters, added

from .activations import blocks_of, first_block_inputs, listen, of_block, second_moments
from .matrices import by_matrix
from .regmean import regressed
from .rival import Evidence, Rival


def regmean_plus_plus(taus: Sequence[Parameters], evidence: Evidence) -> Parameters:
    encoder, theta0 = evidence.clip.encoder, evidence.clip.theta0
    merged = by_matrix(taus, lambda stacked: stacked.mean(0))
    embedded = added(theta0, merged)
    inputs = [first_block_inputs(encoder, embedded, images) for images in evidence.images]
    for prefix, block in blocks_of(encoder).items():
        base, own = of_block(theta0, prefix), [of_block(tau, prefix) for tau in taus]
        moments = (second_moments(block, added(base, tau), x) for tau, x in zip(own, inputs, strict=True))
        found = regressed(own, moments)
        merged |= {f"{prefix}{name}": value for name, value in found.items()}
        mixed = added(base, of_block(merged, prefix))
        inputs = [listen(block, mixed, x, lambda name, x: None) for x in inputs]
    return merged


RIVAL = Rival(
    "RegMean++",
    regmean_plus_plus,
    "Nguyen et al. 2025, arXiv 2508.03121",
    images=True,
    in_weights=True,
)
