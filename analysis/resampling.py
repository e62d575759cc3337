"""How sure is a number that comes from pairs of tasks? Bootstrap over tasks and seeds, and rank correlations with it."""

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pingouin
from scipy import stats

FEWEST = 4  # tasks: draws from fewer leave hardly any pairs, so nothing is concluded


def cluster_bootstrap(
    frame: pd.DataFrame, statistic: Callable[[np.ndarray], float], resamples: int
) -> tuple[float, float, float]:
    """statistic(weights of the frame's rows) with its 95 % interval; resamples without a pair count as missing."""
    tasks, seeds = sorted({*frame.source, *frame.target}), sorted(frame.seed.unique())
    source, target = (frame[column].map(tasks.index).to_numpy() for column in ("source", "target"))
    seed = frame.seed.map(seeds.index).to_numpy()

    def weighted(*drawn: np.ndarray) -> float:
        of_task = np.bincount(drawn[0], minlength=len(tasks))
        of_seed = np.bincount(drawn[1], minlength=len(seeds)) if len(drawn) > 1 else np.ones(1, int)
        weights = of_task[source] * of_task[target] * of_seed[seed]
        return statistic(weights) if weights.any() else np.nan

    drawn_from = [np.arange(len(tasks))] + [np.arange(len(seeds))] * (len(seeds) > 1)
    with warnings.catch_warnings():
        # Missing resamples spoil scipy's own interval; it is taken from those that are there, below.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            drawn_from, weighted, n_resamples=resamples, method="percentile", vectorized=False,
            rng=np.random.default_rng(0),
        )  # fmt: skip
    estimate = statistic(np.ones(len(frame), int))
    distribution = found.bootstrap_distribution
    if np.isnan(distribution).mean() > 0.5:
        return estimate, np.nan, np.nan
    low, high = np.nanpercentile(distribution, [2.5, 97.5])
    return float(estimate), float(low), float(high)


def rank_correlation(frame: pd.DataFrame, x: str, y: str, given: tuple[str, ...], resamples: int) -> tuple:
    """Spearman's ρ of x and y, partial given the columns `given` if there are any, with its interval."""

    def rho(weights: np.ndarray) -> float:
        rows = frame.iloc[np.repeat(np.arange(len(frame)), weights)]
        if rows[[x, y]].nunique().min() < 2 or len(rows) < len(given) + 4:
            return np.nan
        if given:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                found = pingouin.partial_corr(rows, x, y, list(given), method="spearman").r.iloc[0]
            # A draw of few tasks may hold no more pairs than there are rivals to adjust for.
            return np.nan if any("rank-deficient" in str(one.message) for one in said) else float(found)
        return float(stats.spearmanr(rows[x], rows[y]).statistic)

    return cluster_bootstrap(frame, rho, resamples)


def plain_rows(table: pd.DataFrame) -> list[dict]:
    """Rows as JSON can hold them: what is missing is None."""
    return table.astype(object).where(table.notna(), None).to_dict("records")
