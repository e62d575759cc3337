"""What do the answers of plans say about their accuracy, without labels, and what with a few?

A plan is a coefficient for each vector. The planned model is compared with a task's expert on the task's own images.
"""

from collections.abc import Sequence

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from taujp_core.applications import EditedData
from taujp_core.models import logits

from ..expected_accuracy import compared


def expert_of(own: int, vectors: int) -> tuple[float, ...]:
    """The plan that is the expert: its own vector alone."""
    return tuple(float(place == own) for place in range(vectors))


def evidence(
    source: EditedData,
    head: Float[Tensor, "d k"],
    own: int,
    plans: Sequence[Sequence[float]],
    counts: Sequence[int] = (),
) -> list[pd.DataFrame]:
    """asked, what `compared` says of the expert and the plan, and unsure (1 − the plan's mean confidence) of each plan, a row each.

    own: the place of the expert's vector. A table for each of `counts`: on the source's first so many images, as far as there are; by
    default one on all. A plan that is another again, or the expert, is not computed twice.
    """
    alone = expert_of(own, len(plans[0]))
    answers = {plan: logits(source.edited_features(plan), head) for plan in dict.fromkeys(map(tuple, [alone, *plans]))}
    expert, planned = answers[alone], [answers[tuple(plan)] for plan in plans]
    return [
        pd.DataFrame(
            {
                "asked": count,
                **compared(expert[:count], found[:count]),
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

    return of(expert_of(own, len(plans[0]))), pd.DataFrame({number: of(plan) for number, plan in enumerate(plans)})
