"""How sure is a number that comes from pairs of tasks? Bootstrap over tasks and seeds, and rank correlations with it."""

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
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
        return partial_rank_correlation(rows[[x, y, *given]]) if given else stats.spearmanr(rows[x], rows[y]).statistic

    return cluster_bootstrap(frame, rho, resamples)


def partial_rank_correlation(rows: pd.DataFrame) -> float:
    """Spearman's ρ of the first two columns given the others: −P₁₂/√(P₁₁·P₂₂), P the inverse covariance of the ranks.

    NaN where the ranks do not tell the columns apart: a draw of few tasks may hold no more pairs than columns.
    """
    covariance = rows.rank().cov().to_numpy()
    if np.linalg.matrix_rank(covariance) < len(covariance):
        return np.nan
    inverse = np.linalg.pinv(covariance, hermitian=True)
    return float(np.clip(-inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1]), -1, 1))


def t_interval(values: np.ndarray | pd.Series, level: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean of independent values; missing for a single one."""
    if len(values) < 2:
        return np.nan, np.nan
    low, high = stats.t.interval(level, len(values) - 1, np.mean(values), stats.sem(values))
    return float(low), float(high)


def plain_rows(table: pd.DataFrame) -> list[dict]:
    """Rows as JSON can hold them: what is missing is None."""
    return table.astype(object).where(table.notna(), None).to_dict("records")
