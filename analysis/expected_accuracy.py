"""What accuracy is expected of a plan, from its answers and without labels?

A plan is a coefficient for each vector. The planned model is compared with a task's expert on the task's own images: `compared` says how
their answers differ, and `Expectation` what that costs, with an interval. `forecast` learnt the numbers of the expectation on `mini`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

TEMPERATURE = 3.0  # of the experts' answers: fine-tuned models are too sure of themselves (Guo et al. 2017)
EVIDENCE = ["changed", "lost"]
STORED = ("slope_changed", "slope_lost", "spread", "reach")
SHIPPED = Path(__file__).with_name("expected_accuracy.json")


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


def compared(expert: Float[Tensor, "n k"], planned: Float[Tensor, "n k"]) -> dict[str, float]:
    """images, changed, lost (`lost_by_expert`) and sure: the expert's mean probability of its own answers, which stands for its accuracy.

    expert, planned: logits of the same images.
    """
    return {
        "images": len(expert),
        "changed": changed(expert, planned),
        "lost": lost_by_expert(expert, planned),
        "sure": (expert.double() / TEMPERATURE).softmax(-1).amax(-1).mean().item(),
    }


@dataclass(frozen=True)
class Expectation:
    """normalised ≈ 1 − slopes·(changed, lost), ± reach·scale.

    changed, lost: of `compared`; scale: `scale_of` a row with this spread. reach: the 90 % quantile of |residual| / scale over the rows
    that were learnt from, a split-conformal interval (Lei et al. 2018).
    """

    slopes: tuple[float, float]
    spread: float
    reach: float

    def expect(self, rows: pd.DataFrame, elsewhere: bool = False) -> pd.DataFrame:
        """expected, low, high of each row of `compared`: of the normalised accuracy.

        elsewhere: of another model than the calibration's, whose changed answers may cost more or less. The interval then reaches
        from where every changed answer was right and is wrong, 1 − changed/sure, to where none costs anything, 1, at least. sure stands
        for the expert's accuracy, which divides every loss.
        """
        expected = 1 - rows[EVIDENCE].to_numpy() @ np.array(self.slopes)
        half = self.reach * scale_of(rows, self.spread)
        low, high = expected - half, expected + half
        if elsewhere:
            low, high = np.minimum(low, 1 - rows.changed / rows.sure - half), np.maximum(high, 1.0)
        return pd.DataFrame({"expected": expected.clip(min=0), "low": low.clip(lower=0), "high": high})

    def shown(self) -> dict[str, float]:
        """Plain numbers, of four digits: what is stored and shown."""
        numbers = (*self.slopes, self.spread, self.reach)
        return dict(zip(STORED, (round(number, 4) for number in numbers), strict=True))


def scale_of(rows: pd.DataFrame, spread: float) -> pd.Series:
    """What a forecast's error grows with: √(spread²·c² + c(1 − c)/n).

    c: the share of changed answers, with one more image on either side, so that none in a few images is not taken for none at all;
    n: images. The first part is how much the accuracy on changed answers differs between tasks, the second is the sample.
    """
    share = with_one_more(rows)
    return np.sqrt((spread * share) ** 2 + share * (1 - share) / rows.images)


def with_one_more(rows: pd.DataFrame) -> pd.Series:
    return (rows.changed * rows.images + 1) / (rows.images + 2)


def shipped() -> tuple[Expectation, str]:
    """What was learnt on `mini`, and the fingerprint of the θ₀ that it was learnt on. `53_forecast` makes it."""
    read = json.loads(SHIPPED.read_text(encoding="utf-8"))
    changed, lost, spread, reach = (read[name] for name in STORED)
    return Expectation((changed, lost), spread, reach), read["theta0"]
