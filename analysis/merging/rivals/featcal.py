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

from taujp_core.parameters import Parameters

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
    experts = evidence.activated_by(taus)
    students = [first_block_inputs(encoder, merged, images) for images in evidence.images]
    teachers = [
        first_block_inputs(encoder, theta, images) for theta, images in zip(experts, evidence.images, strict=True)
    ]
    blocks = blocks_of(encoder)
    for number, (prefix, block) in enumerate(blocks.items()):
        student, base = of_block(merged, prefix), of_block(theta0, prefix)
        own = [of_block(theta, prefix) for theta in experts]
        met = [met_by(block, student, x)[0] for x in students]
        expected, teachers = zip(
            *(met_by(block, theta, x) for theta, x in zip(own, teachers, strict=True)), strict=True
        )
        calibrated = calibrated_block(student, base, own, met, expected, last=number == len(blocks) - 1)
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


def calibrated_block(
    student: Parameters,
    base: Parameters,
    experts: Sequence[Parameters],
    met: Sequence[dict[str, Tensor]],
    expected: Sequence[dict[str, Tensor]],
    last: bool,
) -> Parameters:
    """All parameters of a block; those without a rule stay the student's."""

    def anchor(name: str) -> Tensor:
        return (base[name] + ANCHOR * (student[name] - base[name])).double()

    def theirs(name: str) -> Tensor:
        return torch.stack([expert[name] for expert in experts]).double()

    def seen(name: str, others: float) -> list[Moments]:
        return [Moments.of(x[name], y[name], others) for x, y in zip(met, expected, strict=True)]

    calibrated = dict(student)
    for name in met[0]:
        bias = name.removesuffix("weight") + "bias"
        mine, others = (theirs(name), theirs(bias), anchor(name), anchor(bias)), OTHER_TOKENS if last else 1.0
        if not is_linear_map(name, student[name]):
            found = best_affine(*mine, seen(name, others))
        elif last and name.endswith("in_proj_weight"):
            # Queries, the first third, are the class token's alone; keys and values are of all tokens.
            queries, rest = best_map(*mine, seen(name, others)), best_map(*mine, seen(name, 1.0))
            third = len(student[bias]) // 3
            found = [torch.cat([first[:third], then[third:]]) for first, then in zip(queries, rest, strict=True)]
        else:
            found = best_map(*mine, seen(name, others))
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


def best_map(
    weights: Float[Tensor, "t out in"],
    biases: Float[Tensor, "t out"],
    weight_anchor: Float[Tensor, "out in"],
    bias_anchor: Float[Tensor, "out"],
    seen: Sequence[Moments],
) -> tuple[Float[Tensor, "out in"], Float[Tensor, "out"]]:
    """A linear map's weight, and the bias that goes with it."""
    gram = sum(task.scale * task.student for task in seen)
    target = sum(task.scale * task.cross @ theirs.mT for task, theirs in zip(seen, weights, strict=True))
    eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    weight = torch.linalg.solve(gram + (RIDGE + LEAST) * eye, target + RIDGE * weight_anchor.mT).mT
    wanted = [
        task.scale * (bias + theirs @ task.mean_t - weight @ task.mean_s)
        for task, theirs, bias in zip(seen, weights, biases, strict=True)
    ]
    return weight, (sum(wanted) + RIDGE * bias_anchor) / (sum(task.scale for task in seen) + RIDGE)


def best_affine(
    gains: Float[Tensor, "t in"],
    biases: Float[Tensor, "t in"],
    gain_anchor: Float[Tensor, "in"],
    bias_anchor: Float[Tensor, "in"],
    seen: Sequence[Moments],
) -> tuple[Float[Tensor, "in"], Float[Tensor, "in"]]:
    """A layer norm's γ and β: a system of two equations for each feature."""
    mean = torch.stack([task.normalised_mean for task in seen])
    square = torch.stack([task.normalised_square for task in seen])
    a, b, c = square.sum(0) + RIDGE, mean.sum(0), len(seen) + RIDGE
    gain = (square * gains + mean * biases).sum(0) + RIDGE * gain_anchor
    bias = (mean * gains + biases).sum(0) + RIDGE * bias_anchor
    determinant = (a * c - b**2).clamp(min=LEAST)
    return (c * gain - b * bias) / determinant, (a * bias - b * gain) / determinant


RIVAL = Rival("FeatCal", featcal, "Gu et al. 2026, arXiv 2605.13030", images=True, in_weights=True)
