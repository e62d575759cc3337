"""How are a merged model's layers brought back to its experts' features, one after the other?

FeatCal (Gu et al. 2026, arXiv 2605.13030, sec. 4 and app. G, H) starts from task arithmetic, Σ_t SCALE·τ_t. Blocks are
calibrated from the first to the last. Task t's images go through the blocks that are calibrated already, and through
its expert; x_s is what a module of the (not yet calibrated) block meets, x_e what the expert's meets, and the teacher
sees x_t = a·x_e + (1 − a)·x_s with a = TEACHER. With means over images and tokens, c_t the Frobenius norm of mean x_sx_sᵀ
and the anchor θ₀ + ρ·(θ − θ₀) (ρ = ANCHOR; λ = RIDGE):

    weights:  min Σ_t mean ‖W x_s − W_t x_t‖² / c_t + λ‖W − anchor‖²   (and 1e-8·‖W‖²),
    biases:   min Σ_t ‖b + W·mean x_s − b_t − W_t·mean x_t‖² / c_t + λ‖b − anchor‖²,
    layer norms (z normalised): min Σ_t mean ‖γz + β − γ_tz − β_t‖² + λ‖(γ, β) − anchor‖².

In the last block, where the class token alone goes on, other tokens count OTHER_TOKENS everywhere but for keys and values.
Constants are the paper's; the authors' demonstration has a = 0.25, ρ = 2.2. Embeddings, the last layer norm and the
projection stay those of the task arithmetic. It is defined for encoders: linearised blocks have one set of activations.

Verified against: the paper's least squares problems, each written as one tall system in float64. The authors' demonstration
was read for its constants; it was not run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from taujp_core.parameters import Parameters, added

from .activations import blocks_of, first_block_inputs, listen, of_block
from .matrices import is_linear_map
from .rival import Evidence, Rival

SCALE = 0.3  # coefficient of the task arithmetic that is calibrated
TEACHER = 0.3  # a: share of the expert's activations in the teacher's
ANCHOR = 2.0  # ρ: how far the anchor stands from θ₀
RIDGE = 0.05  # λ: weight of the anchor
LEAST = 1e-8  # keeps systems solvable
OTHER_TOKENS = 0.01  # weight of all but the class token in the last block


def featcal(taus: Sequence[Parameters], evidence: Evidence) -> Parameters:
    encoder, theta0 = evidence.clip.encoder, evidence.clip.theta0
    merged = {name: value + SCALE * sum(tau[name] for tau in taus) for name, value in theta0.items()}
    students = [first_block_inputs(encoder, merged, images) for images in evidence.images]
    pairs = zip(taus, evidence.images, strict=True)
    teachers = [first_block_inputs(encoder, evidence.activated_by(tau), images) for tau, images in pairs]
    blocks = blocks_of(encoder)
    for number, (prefix, block) in enumerate(blocks.items()):
        student, base, last = of_block(merged, prefix), of_block(theta0, prefix), number == len(blocks) - 1
        sums: dict[tuple[str, float], list[Tensor]] = {}
        for place, tau in enumerate(taus):  # one task's activations are in memory at a time
            expert = added(base, of_block(tau, prefix))
            met, _ = met_by(block, student, students[place])
            expected, teachers[place] = met_by(block, expert, teachers[place])
            for key, terms in equations(met, expected, expert, last).items():
                sums[key] = [a + b for a, b in zip(sums[key], terms, strict=True)] if key in sums else terms
        calibrated = calibrated_block(sums, student, base)
        merged |= {f"{prefix}{name}": value for name, value in calibrated.items()}
        students = [listen(block, calibrated, x, lambda name, x: None) for x in students]
    return {name: value - theta0[name] for name, value in merged.items()}


def met_by(
    block: nn.Module, theta: Parameters, inputs: Float[Tensor, "n tokens width"]
) -> tuple[dict[str, Tensor], Tensor]:
    """What each weight of a block meets, [n, tokens, in], and what the block hands on."""
    parts: dict[str, list[Tensor]] = {}
    outputs = listen(block, theta, inputs, lambda name, x: parts.setdefault(name, []).append(x))
    return {name: torch.cat(found) for name, found in parts.items()}, outputs


def equations(
    met: dict[str, Tensor], expected: dict[str, Tensor], expert: Parameters, last: bool
) -> dict[tuple[str, float], list[Tensor]]:
    """What one task adds to the sums of each weight's least squares problem, by the weight's name and what tokens after
    the first count. In the last block queries are the class token's alone, keys and values are of all tokens."""
    found = {}
    for name, x in met.items():
        terms = map_terms if is_linear_map(name, expert[name]) else affine_terms
        both = last and name.endswith("in_proj_weight")
        for others in (OTHER_TOKENS, 1.0) if both else (OTHER_TOKENS if last else 1.0,):
            seen = Moments.of(x, expected[name], others)
            found[name, others] = terms(seen, expert[name].double(), expert[bias_of(name)].double())
    return found


def bias_of(name: str) -> str:
    return name.removesuffix("weight") + "bias"


def calibrated_block(sums: dict[tuple[str, float], list[Tensor]], student: Parameters, base: Parameters) -> Parameters:
    """All parameters of a block; those without a rule stay the student's."""

    def anchor(name: str) -> Tensor:
        return (base[name] + ANCHOR * (student[name] - base[name])).double()

    calibrated = dict(student)
    for name in {name: None for name, _ in sums}:
        bias = bias_of(name)
        solve = best_map if is_linear_map(name, student[name]) else best_affine
        found, *more = (solve(terms, anchor(name), anchor(bias)) for (other, _), terms in sums.items() if other == name)
        if more:  # queries, the first third, are of the first sums
            third = len(student[bias]) // 3
            found = [torch.cat([first[:third], then[third:]]) for first, then in zip(found, more[0], strict=True)]
        calibrated[name], calibrated[bias] = (value.to(student[name].dtype) for value in found)
    return calibrated


@dataclass(frozen=True)
class Moments:
    """Weighted means over one task's images and tokens of what student (s) and teacher (t) meet.

    mean_s, mean_t [in]; student: of x_sx_sᵀ, cross: of x_sx_tᵀ, both [in, in]; normalised_mean, normalised_square
    [in]: of layer norm's z and z².
    """

    mean_s: Tensor
    mean_t: Tensor
    student: Tensor
    cross: Tensor
    normalised_mean: Tensor
    normalised_square: Tensor

    @property
    def scale(self) -> Tensor:
        """1 / ‖mean x_sx_sᵀ‖."""
        return 1 / self.student.norm().clamp(min=LEAST)

    @classmethod
    def of(cls, x: Float[Tensor, "n tokens in"], y: Float[Tensor, "n tokens in"], others: float) -> "Moments":
        """x: what the student meets, y: the expert; tokens after the first count `others`."""
        weights = torch.full(x.shape[:2], others, dtype=torch.float64, device=x.device)
        weights[:, 0] = 1.0
        weights = (weights / weights.sum()).flatten()[:, None]
        s, e = x.flatten(0, 1).double(), y.flatten(0, 1).double()
        t = TEACHER * e + (1 - TEACHER) * s
        z = F.layer_norm(s, s.shape[-1:])
        return cls(
            mean_s=(weights * s).sum(0),
            mean_t=(weights * t).sum(0),
            student=s.mT @ (weights * s),
            cross=s.mT @ (weights * t),
            normalised_mean=(weights * z).sum(0),
            normalised_square=(weights * z**2).sum(0),
        )


def map_terms(seen: Moments, weight: Float[Tensor, "out in"], bias: Float[Tensor, "out"]) -> list[Tensor]:
    """One task's part of the sums that `best_map` takes."""
    scale = seen.scale
    wanted = scale * (bias + weight @ seen.mean_t)
    return [scale * seen.student, scale * seen.cross @ weight.mT, wanted, scale * seen.mean_s, scale]


def best_map(
    sums: Sequence[Tensor], weight_anchor: Float[Tensor, "out in"], bias_anchor: Float[Tensor, "out"]
) -> tuple[Float[Tensor, "out in"], Float[Tensor, "out"]]:
    """A linear map's weight, and the bias that goes with it."""
    gram, target, wanted, mean, scale = sums
    eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    weight = torch.linalg.solve(gram + (RIDGE + LEAST) * eye, target + RIDGE * weight_anchor.mT).mT
    return weight, (wanted - weight @ mean + RIDGE * bias_anchor) / (scale + RIDGE)


def affine_terms(seen: Moments, gain: Float[Tensor, "in"], bias: Float[Tensor, "in"]) -> list[Tensor]:
    """One task's part of the sums that `best_affine` takes."""
    square, mean = seen.normalised_square, seen.normalised_mean
    return [square, mean, square * gain + mean * bias, mean * gain + bias, torch.ones_like(mean)]


def best_affine(
    sums: Sequence[Float[Tensor, "in"]], gain_anchor: Float[Tensor, "in"], bias_anchor: Float[Tensor, "in"]
) -> tuple[Float[Tensor, "in"], Float[Tensor, "in"]]:
    """A layer norm's γ and β: a system of two equations for each feature."""
    square, mean, gains, biases, count = sums
    a, b, c = square + RIDGE, mean, count + RIDGE
    gain, bias = gains + RIDGE * gain_anchor, biases + RIDGE * bias_anchor
    determinant = (a * c - b**2).clamp(min=LEAST)
    return (c * gain - b * bias) / determinant, (a * bias - b * gain) / determinant


RIVAL = Rival("FeatCal", featcal, "Gu et al. 2026, arXiv 2605.13030", images=True, in_weights=True)
