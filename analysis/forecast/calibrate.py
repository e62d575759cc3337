"""How do changed answers become an expected accuracy, with an interval?"""

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from ..expected_accuracy import EVIDENCE, Expectation, scale_of, with_one_more

COVERAGE = 0.9  # of the intervals
NORMAL = 1.645  # standard deviations of a normal distribution to either side, for this coverage


def learn(rows: pd.DataFrame) -> Expectation:
    """From rows of `compared` with their `normalised`, the plan's accuracy over the expert's.

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
