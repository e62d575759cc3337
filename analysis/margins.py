"""How near is an image's next answer, and does a movement of its features go there?

The answer at features f is the largest of headᵀf, for the cosine logits divide all of them by ‖f‖. Between the answer y and a class c
lies the hyperplane (w_y − w_c)ᵀf = 0, at the distance (w_y − w_c)ᵀf / ‖w_y − w_c‖₂ from f. A movement m of the features crosses it if and
only if (w_c − w_y)ᵀm > (w_y − w_c)ᵀf.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from taujp_core.products.jacobian import product_norms


def margin_scaled(
    features: Float[Tensor, "n d"], head: Float[Tensor, "d classes"], moved: Float[Tensor, "n d"]
) -> float:
    """Mean over images of min(1, ‖m‖₂ / distance to the nearest boundary): τJp in units of the margin (0 to 1).

    A size: no movement of a smaller ratio than 1 changes an answer. Above 1 the ratio counts as 1, for an answer changes once, and
    images on a boundary would else be all of the mean.
    """
    answers, gaps = answers_and_gaps(features, head)
    between = torch.cdist(head.T, head.T, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = (gaps / between[answers]).amin(-1)
    return at_most_one(product_norms(moved) / nearest)


def towards_boundary(
    features: Float[Tensor, "n d"], head: Float[Tensor, "d classes"], moved: Float[Tensor, "n d"]
) -> float:
    """Mean over images of max over c of (w_c − w_y)ᵀm / (w_y − w_c)ᵀf, from 0 to 1 per image: the part of the way to another answer.

    The same as `margin_scaled`, but that the direction of the movement counts: per image it is never more than that one. It is 1
    where the answer at f + m is another.
    """
    answers, gaps = answers_and_gaps(features, head)
    towards = moved @ head
    return at_most_one(((towards - towards.gather(-1, answers[:, None])) / gaps).nan_to_num(nan=0.0).amax(-1))


def answers_and_gaps(
    features: Float[Tensor, "n d"], head: Float[Tensor, "d classes"]
) -> tuple[Int[Tensor, "n"], Float[Tensor, "n classes"]]:
    """y, and (w_y − w_c)ᵀf for each class c; infinite where there is no boundary: for y itself and classes of the same text."""
    scores = features @ head
    answers = scores.argmax(-1)
    alike = (head.T[:, None] == head.T).all(-1)
    gaps = scores.gather(-1, answers[:, None]) - scores
    return answers, gaps.masked_fill(alike[answers], float("inf"))


def at_most_one(ratios: Float[Tensor, "n"]) -> float:
    """Their mean, each from 0 to 1. Nothing over nothing is nothing: an image on a boundary that does not move."""
    return ratios.nan_to_num(nan=0.0, posinf=1.0).clamp(0, 1).double().mean().item()
