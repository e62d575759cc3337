"""What do a plan's answers say about its accuracy, without labels?

A plan is a coefficient for each vector. The planned model is compared with a task's expert on the task's own images.
"""

from collections.abc import Sequence

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from taujp_core.applications import EditedData
from taujp_core.models import logits

TEMPERATURE = 3.0  # of the experts' answers: fine-tuned models are too sure of themselves (Guo et al. 2017)


def lost_by_expert(expert: Float[Tensor, "n k"], planned: Float[Tensor, "n k"]) -> float:
    """The share of its accuracy that the planned model loses, if the expert's probabilities are true.

    1 − Σ_x p(ŷ_planned(x) | x) / Σ_x p(ŷ_expert(x) | x), with p = softmax(expert's logits / TEMPERATURE). It is 0 where all
    answers are the expert's. A changed answer counts the less, the less sure the expert is of its own. expert, planned: logits.
    """
    p = (expert.double() / TEMPERATURE).softmax(-1)
    own, found = (p.gather(1, answers.argmax(-1, keepdim=True)).mean() for answers in (expert, planned))
    return (1 - found / own).item()


def changed(expert: Float[Tensor, "n k"], planned: Float[Tensor, "n k"]) -> float:
    """The share of images that the planned model answers otherwise than the expert. Never less than the accuracy lost."""
    return (expert.argmax(-1) != planned.argmax(-1)).double().mean().item()


def evidence(
    source: EditedData,
    head: Float[Tensor, "d k"],
    own: int,
    plans: Sequence[Sequence[float]],
    counts: Sequence[int] = (),
) -> list[pd.DataFrame]:
    """asked, images, changed, lost (`lost_by_expert`), sure (the expert's mean probability of its own answers, which stands for its
    accuracy) and unsure (1 − the plan's mean confidence) of each plan, a row each.

    own: the place of the expert's vector. A table for each of `counts`: on the source's first so many images, as far as there are; by
    default one on all.
    """
    alone = [float(place == own) for place in range(len(plans[0]))]
    expert = logits(source.edited_features(alone), head)
    planned = [logits(source.edited_features(plan), head) for plan in plans]
    return [
        pd.DataFrame(
            {
                "asked": count,
                "images": min(count, len(expert)),
                "changed": changed(expert[:count], found[:count]),
                "lost": lost_by_expert(expert[:count], found[:count]),
                "sure": (expert[:count].double() / TEMPERATURE).softmax(-1).amax(-1).mean().item(),
                "unsure": 1 - found[:count].softmax(-1).amax(-1).mean().item(),
            }
            for found in planned
        )
        for count in counts or [len(expert)]
    ]


def right(
    source: EditedData, head: Float[Tensor, "d k"], own: int, plans: Sequence[Sequence[float]]
) -> tuple[pd.Series, pd.DataFrame]:
    """Which of the source's labelled images the expert, and each plan (a column each), answer rightly: 1 or 0."""

    def of(plan: Sequence[float]) -> pd.Series:
        answers = logits(source.edited_features(plan), head).argmax(-1)
        return pd.Series((answers == source.labels).double().cpu().numpy())

    alone = [float(place == own) for place in range(len(plans[0]))]
    return of(alone), pd.DataFrame({number: of(plan) for number, plan in enumerate(plans)})
