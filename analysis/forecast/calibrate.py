"""How do changed answers become an expected accuracy, with an interval?"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import nnls

COVERAGE = 0.9  # of the intervals
NORMAL = 1.645  # standard deviations of a normal distribution to either side, for this coverage
EVIDENCE = ["changed", "lost"]
STORED = ("slope_changed", "slope_lost", "spread", "reach")
SHIPPED = Path(__file__).with_name("calibration.json")


@dataclass(frozen=True)
class Expectation:
    """normalised ≈ 1 − slopes·(changed, lost), ± reach·scale.

    changed, lost: of `evidence`; scale: `scale_of` a row with this spread. reach: the COVERAGE quantile of |residual| / scale over
    the rows that were learnt from, a split-conformal interval (Lei et al. 2018).
    """

    slopes: tuple[float, float]
    spread: float
    reach: float

    def expect(self, rows: pd.DataFrame, elsewhere: bool = False) -> pd.DataFrame:
        """expected, low, high of each row of `evidence`: of the normalised accuracy.

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


def learn(rows: pd.DataFrame) -> Expectation:
    """From rows of `evidence` with their `normalised`, the plan's accuracy over the expert's.

    slopes: least squares without negative values (SciPy's nnls), each row weighted by 1 / scale²; spread: so that the mean of
    (residual² − sample's part of scale²)·c² is that of spread²·c⁴. The two are found in turn.
    """
    slopes, spread = np.zeros(2), 0.0
    evidence, lost = rows[EVIDENCE].to_numpy(), (1 - rows.normalised).to_numpy()
    for _ in range(10):
        weights = 1 / scale_of(rows, spread).to_numpy()
        slopes, _ = nnls(evidence * weights[:, None], lost * weights)
        residual, share = lost - evidence @ slopes, with_one_more(rows).to_numpy()
        excess = ((residual**2 - scale_of(rows, 0.0) ** 2) * share**2).sum() / (share**4).sum()
        spread = float(np.sqrt(max(excess, 0.0)))
    sizes = np.abs(residual) / scale_of(rows, spread).to_numpy()
    level = min(1.0, np.ceil((len(sizes) + 1) * COVERAGE) / len(sizes))
    reach = float(np.quantile(sizes, level, method="higher"))
    return Expectation((float(slopes[0]), float(slopes[1])), spread, reach)


def shipped() -> tuple[Expectation, str]:
    """What was learnt on `mini`, and the fingerprint of the θ₀ that it was learnt on. `53_forecast` makes it."""
    read = json.loads(SHIPPED.read_text(encoding="utf-8"))
    changed, lost, spread, reach = (read[name] for name in STORED)
    return Expectation((changed, lost), spread, reach), read["theta0"]


def combined(expected: pd.DataFrame, single: pd.Series, planned: pd.DataFrame) -> pd.DataFrame:
    """Forecasts with what a few labelled images say: expected, low, high anew, by weights of 1 / variance.

    expected: a row of `expect` and changed for each plan; single: which of the labelled images the expert answers rightly; planned:
    which each plan does, a column each. Their ratio has the variance Σ(y_plan − r·y_expert)² / (Σ y_expert)², and at least that of
    the share of changed answers on so few images. Without a right answer of the expert nothing is added.
    """
    right = single.sum()
    if not right:
        return expected
    rows = []
    for row, (_, answers) in zip(expected.itertuples(), planned.items(), strict=True):
        own = (row.high - row.low) / 2 / NORMAL
        ratio = answers.sum() / right
        share = (row.changed * len(answers) + 1) / (len(answers) + 2)
        variance = max(((answers - ratio * single) ** 2).sum(), share * (1 - share) * len(answers)) / right**2
        weights = np.array([1 / own**2, 1 / variance])
        mean, half = weights @ [row.expected, ratio] / weights.sum(), NORMAL / np.sqrt(weights.sum())
        rows.append({"expected": mean, "low": max(mean - half, 0.0), "high": mean + half})
    return expected.assign(**pd.DataFrame(rows, index=expected.index))
