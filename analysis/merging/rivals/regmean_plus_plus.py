"""What if each block were merged for the activations that the blocks merged before it really give?

RegMean++ (Nguyen et al. 2025, arXiv 2508.03121, alg. 1): RegMean block by block. Embeddings are the mean; block ℓ of
expert t is run on what the merged blocks before ℓ make of task t's images, its maps' second moments are taken on the
way, and the merged block ℓ hands on what it makes of the same inputs. Everything that is no linear map is the mean.
In the linearisation every activation is θ₀'s, whatever was merged: there it would be RegMean.
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

    def with_merged() -> Parameters:
        return added(theta0, merged)

    inputs = [first_block_inputs(encoder, with_merged(), images) for images in evidence.images]
    experts = evidence.activated_by(taus)
    for prefix, block in blocks_of(encoder).items():
        moments = [second_moments(block, of_block(theta, prefix), x) for theta, x in zip(experts, inputs, strict=True)]
        found = regressed([of_block(tau, prefix) for tau in taus], moments)
        merged |= {f"{prefix}{name}": value for name, value in found.items()}
        own = of_block(with_merged(), prefix)
        inputs = [listen(block, own, x, lambda name, x: None) for x in inputs]
    return merged


RIVAL = Rival(
    "RegMean++",
    regmean_plus_plus,
    "Nguyen et al. 2025, arXiv 2508.03121",
    images=True,
    in_weights=True,
)
