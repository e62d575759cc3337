"""How far are forecasts off? Every row forecast by what was learnt on other tasks and seeds."""

import numpy as np
import pandas as pd
from scipy import stats

from ..stressed_experts import AS_TRAINED
from .calibrate import learn
from .predictors import PREDICTORS

MEANS = {"error": ("error", "mean"), "covered": ("covered", "mean"), "half": ("half", "median")}


def crossed(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `measure_plans` with expected, low and high of each row, as `forecast` would have said.

    Learnt from the rows of other tasks and, if there are several seeds, of other seeds: of vectors that are not in the row's plan, and
    never of stressed experts. Rows whose expert is never right have no share and are left out.
    """
    table = table[table.normalised.notna()]
    usual = table[(table.condition == AS_TRAINED) & ~table.merged]
    parts = []
    for (task, seed, asked), rows in table.groupby(["task", "seed", "asked"], sort=False):
        others = usual[(usual.task != task) & (usual.asked == asked)]
        elsewhere = others[others.seed != seed]
        found = learn(others if elsewhere.empty else elsewhere).expect(rows)
        parts.append(pd.concat([rows, found], axis=1))
    return pd.concat(parts).sort_index()


def kind_of(table: pd.DataFrame) -> pd.Series:
    return pd.Series(np.where(table["size"] == 2, "pairs", "sums"), table.index)


def ranks(forecasts: pd.DataFrame) -> pd.DataFrame:
    """application, kind (pairs, sums), predictor, rho: Spearman's rank correlation of each predictor with the accuracy share that is
    lost, a mean over methods and seeds. Rows with the most images; no merges."""
    rows = forecasts[(forecasts.asked == forecasts.asked.max()) & ~forecasts.merged]
    rows = rows.assign(forecast=1 - rows.expected)
    found = []
    for (application, method, seed, kind), part in rows.groupby(
        [rows.application, rows.method, rows.seed, kind_of(rows)], sort=False
    ):
        for predictor in PREDICTORS:
            known = part[[predictor, "normalised"]].dropna()
            if known.nunique().min() > 1:
                rho = stats.spearmanr(known[predictor], 1 - known.normalised).statistic
                found.append((application, method, seed, kind, predictor, rho))
    columns = ["application", "method", "seed", "kind", "predictor", "rho"]
    frame = pd.DataFrame(found, columns=columns)
    return frame.groupby(["application", "kind", "predictor"], sort=False).rho.mean().reset_index()


def errors(forecasts: pd.DataFrame) -> pd.DataFrame:
    """A row for each application, kind (pairs, sums, merges) and number of images: means of `distances`, of half the median."""
    known = distances(forecasts).assign(kind=kind_of(forecasts).mask(forecasts.merged, "merges"))
    return known.groupby(["application", "kind", "asked"], sort=False).agg(**MEANS).reset_index()


def under_stress(forecasts: pd.DataFrame) -> pd.DataFrame:
    """A row for each stressed method and condition, of pairs and sums with the most images: means of the forecast, of what was measured,
    and of `distances`, of half the median."""
    rows = forecasts[(forecasts.asked == forecasts.asked.max()) & ~forecasts.merged]
    methods = rows[rows.condition != AS_TRAINED].method.unique()
    groups = distances(rows[rows.method.isin(methods)]).groupby(["method", "condition"], sort=False)
    return groups.agg(expected=("expected", "mean"), normalised=("normalised", "mean"), **MEANS)


def distances(forecasts: pd.DataFrame) -> pd.DataFrame:
    """error: |expected − normalised|·single, in accuracy; covered: whether the interval holds what came; half: its half-width, in shares of
    the expert's accuracy."""
    return forecasts.assign(
        error=(forecasts.expected - forecasts.normalised).abs() * forecasts.single,
        covered=forecasts.normalised.between(forecasts.low, forecasts.high).astype(float),
        half=(forecasts.high - forecasts.low) / 2,
    )


def of_merges(forecasts: pd.DataFrame) -> pd.DataFrame:
    """A row for each method and merge: means over seeds and tasks of the forecast, its interval and what was measured."""
    rows = forecasts[(forecasts.asked == forecasts.asked.max()) & forecasts.merged]
    groups = rows.rename(columns={"plan": "merge"}).groupby(["method", "merge"], sort=False)
    return groups[["expected", "low", "high", "normalised"]].mean()


def blamed(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Of the sum of all vectors at α = 1, a row for each method, seed and task: which vector harms it most?

    A vector's harm is what its removal brings. said, found: the place of the vector by the forecast and by test images; gain, best:
    the share of the expert's accuracy that removing the one and the other brings; right: whether they are one, or bring the same.
    """
    rows = forecasts[(forecasts.asked == forecasts.asked.max()) & ~forecasts.merged & (forecasts.alpha == 1)]
    most = rows["size"].max()
    found = []
    for (method, seed, task), part in rows.groupby(["method", "seed", "task"], sort=False):
        (whole,) = part[part["size"] == most].itertuples()
        less = part[part["size"] == most - 1]
        left = [plan.split().index("0") for plan in less.plan]
        said, best = left[less.expected.argmax()], left[less.normalised.argmax()]
        gains = dict(zip(left, less.normalised - whole.normalised, strict=True))
        found.append((method, seed, task, said, best, gains[said], gains[best], gains[said] == gains[best]))
    return pd.DataFrame(found, columns=["method", "seed", "task", "said", "found", "gain", "best", "right"])


def chosen_alpha(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Of the sum of all vectors, a row for each method and seed: the α that the forecasts choose, by their mean over tasks, the α that
    is best on test images, and regret: how much mean test accuracy lies between."""
    rows = forecasts[(forecasts.asked == forecasts.asked.max()) & ~forecasts.merged]
    curve = rows[rows["size"] == rows["size"].max()]
    found = []
    for (method, seed), part in curve.groupby(["method", "seed"], sort=False):
        means = part.groupby("alpha")[["expected", "accuracy"]].mean()
        said, best = means.expected.idxmax(), means.accuracy.idxmax()
        found.append((method, seed, said, best, means.accuracy[best] - means.accuracy[said]))
    return pd.DataFrame(found, columns=["method", "seed", "said", "best", "regret"])
