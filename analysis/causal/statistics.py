"""Does τJp cause interference? Statistics over the table of `analysis.causal.arms`, a verdict an arm, and a conclusion.

Estimates come from NumPy (weighted least squares, partial rank correlation) and scipy (rank correlation, bootstrap,
permutation). A unit is one pair (method, seed, source, target); slopes are within units, so
that what differs between pairs for good (how hard the tasks are) cannot make them.

Intervals are percentile intervals at 95 % of `scipy.stats.bootstrap` over tasks and seeds: a draw of tasks with
multiplicities m gives pair (s, t) the weight m_s·m_t, times the multiplicity of its seed. Pairs that share a task
move together in it, as they do in truth.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from ..resampling import FEWEST, cluster_bootstrap, rank_correlation
from ..sentences import listed, where

PRIMARY = "accuracy_loss"  # the verdict's outcome, chosen before any number was seen
UNDECIDED = "undecided"
# What the arms of a verdict do, one arm and several, to the claim that τJp is the cause.
VERBS = {
    "supports": ("says that it is a cause", "say that it is a cause"),
    "contradicts": ("says that it is none", "say that it is none"),
    UNDECIDED: ("leaves it open", "leave it open"),
}
ARMS_IN_WORDS = {
    "dose": "the dose",
    "onset": "the onset",
    "target": "the penalty on one task alone",
    "raise": "the raised τJp",
    "edit": "the edit",
    "turned": "the turned edit",
    "random": "the random placebo",
    "third": "the third-task placebo",
    "controls": "the comparison with controls",
}
SMALLEST = 0.1  # effects below this share of the untreated interference do not matter
MOVED = 0.3  # log2: arms that moved τJp by less than this (a factor of 1.23) say nothing
CONTROL_PREDICTORS = ("norm", "cosine", "own_tau_jp")
UNIT = ["method", "seed", "source", "target"]
UNTREATED = {
    "dose": 0.0, "target": 0.0, "bystander": 0.0, "raise": 0.0, "scale": 1.0, "edit": 0.0, "random": 0.0, "third": 0.0,
}  # fmt: skip
ARMS = ("dose", "onset", "target", "raise", "edit", "turned", "random", "third", "scale", "controls")
ASSUMPTIONS = {
    "slopes": "linear in log2 τJp within a pair, whatever differs between pairs being constant over the levels.",
    "bootstrap": "tasks and seeds are drawn independently from larger populations; with few tasks the intervals are "
    "too narrow rather than too wide.",
    "placebos": "an edit of the same norm does the same harm or good as the real one but for what it does to τJp.",
    "target": "the next task in order is as open to harm as the third ones: each task is in both places.",
    "turned": "another source's movement on t's images is as near to t's class boundaries as any other of its size would be.",
    "lag": "both curves move one way after the start, so that the time of half their change is defined; it is known "
    "no better than the distance of the saved steps.",
    "Spearman": "monotone association; the interval, not a p-value, allows for pairs that share a task.",
    "partial Spearman": "the rivals act linearly on ranks; what is not among them is not adjusted for.",
    "shuffled pairing": "under no association every assignment of interference to untreated pairs is as likely.",
    "mediation": "λ's steps are equal steps, effects are linear, nothing else changes both τJp and interference when "
    "λ changes; the share is one of association, the edits are what tests the path.",
    "two-stage least squares": "λ changes interference through τJp alone, moves τJp by more than noise, and a doubling of τJp does "
    "the same to every pair.",
}


def weighted_slopes(y: np.ndarray, *x: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """weights → slopes of y on the columns x, without an intercept, by weighted least squares."""
    columns = np.column_stack(x)

    def slopes(weights: np.ndarray) -> np.ndarray:
        root = np.sqrt(weights)
        return np.linalg.pinv(root[:, None] * columns) @ (root * y)

    return slopes


def within(frame: pd.DataFrame, values: pd.Series) -> np.ndarray:
    """Values minus their mean over the levels of the same unit."""
    return (values - values.groupby([frame[column] for column in UNIT]).transform("mean")).to_numpy()


def dose_slope(frame: pd.DataFrame, outcome: str, resamples: int, exposure: str = "tau_jp") -> tuple:
    """Rise of the outcome when the exposure doubles, within pairs, with its interval. frame: one arm's rows."""
    slopes = weighted_slopes(within(frame, frame[outcome]), within(frame, np.log2(frame[exposure])))
    return cluster_bootstrap(frame, lambda weights: slopes(weights)[0], resamples)


def change_from_untreated(points: pd.DataFrame, arm: str, level: float, columns: list[str]) -> pd.DataFrame:
    """Per unit, columns at this level minus untreated (τJp: log2 of the ratio)."""
    frame = points[points.arm == arm].assign(log_tau_jp=lambda rows: np.log2(rows.tau_jp))
    treated, untreated = (frame[frame.level == at].set_index(UNIT)[columns] for at in (level, UNTREATED[arm]))
    return treated - untreated


def specificity(points: pd.DataFrame, placebo: str, outcome: str) -> pd.DataFrame:
    """Per unit: what edit and placebo at dose 1 do to the outcome and to log2 τJp, and how much better the edit is.

    Placebo `random` has no sign: the mean of its two directions counts.
    """
    columns = [outcome, "log_tau_jp"]
    edit = change_from_untreated(points, "edit", 1.0, columns)
    control = change_from_untreated(points, placebo, 1.0, columns)
    if placebo == "random":
        control = (control + change_from_untreated(points, placebo, -1.0, columns)) / 2
    both = edit.join(control, suffixes=("_edit", "_placebo")).reset_index()
    return both.assign(better=both[f"{outcome}_placebo"] - both[f"{outcome}_edit"])


def onset_gaps(points: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """Per unit, start and step: outcome, τJp and log2 τJp minus those of the run whose penalty never starts."""
    frame = points[points.arm == "onset"].assign(log_tau_jp=lambda rows: np.log2(rows.tau_jp))
    never = frame.level.max()
    keys = [*UNIT, "step"]
    values = frame.set_index(["level", *keys])[[outcome, "tau_jp", "log_tau_jp"]]
    rest = values.drop(index=never, level="level")
    reference = values.loc[never].reindex(rest.index.droplevel("level")).to_numpy()
    gaps = (rest - reference).reset_index().rename(columns={outcome: "gap"})
    return gaps[gaps.step > gaps.level]


def onset_lag(gaps: pd.DataFrame, weights: np.ndarray) -> float:
    """Steps between the half of τJp's change and the half of interference's, mean over the starts; NaN if undefined.

    Positive: interference falls after τJp. Half of the change at the last saved step, on the mean over pairs,
    interpolated between saved steps. Where interference is not proportional to τJp the halves differ without
    either being first: less than the distance of saved steps means nothing.
    """
    lags = []
    for start, rows in gaps.assign(weight=weights).query("weight > 0").groupby("level"):
        steps = sorted(rows.step.unique())
        means = {
            column: [0.0, *(np.average(now[column], weights=now.weight) for _, now in rows.groupby("step"))]
            for column in ("tau_jp", "gap")
        }
        halves = [half_time([start, *steps], curve) for curve in means.values()]
        lags.append(halves[1] - halves[0])
    return float(np.mean(lags))


def half_time(steps: list[float], curve: list[float]) -> float:
    """When the falling curve first passes half of its last value; NaN if it does not end below zero."""
    if curve[-1] >= 0:
        return np.nan
    half = curve[-1] / 2
    after = next(k for k, value in enumerate(curve) if value <= half)
    share = (half - curve[after - 1]) / (curve[after] - curve[after - 1])
    return steps[after - 1] + share * (steps[after] - steps[after - 1])


def correlations(points: pd.DataFrame, outcome: str, resamples: int) -> pd.DataFrame:
    """Arm 9: τJp and its rivals as explanations of the outcome in the dose arm, alone and given the others."""
    dose = points[points.arm == "dose"]
    rows = []
    for predictor in ("tau_jp", *CONTROL_PREDICTORS):
        others = tuple(name for name in ("tau_jp", *CONTROL_PREDICTORS) if name != predictor)
        for kind, frame, given in (
            ("untreated pairs", dose[dose.level == 0.0], ()),
            ("all λ", dose, ()),
            ("all λ, given the others", dose, others),
        ):
            rho, low, high = rank_correlation(frame, predictor, outcome, given, resamples)
            rows.append({"predictor": predictor, "rows": kind, "rho": rho, "low": low, "high": high, "n": len(frame)})
    return pd.DataFrame(rows)


def shuffled_pairing(points: pd.DataFrame, outcome: str, resamples: int) -> tuple[float, float]:
    """Spearman's ρ over untreated pairs (mean over seeds), and the one-sided p-value of shuffled pairings."""
    untreated = points[(points.arm == "dose") & (points.level == 0.0)]
    pairs = untreated.groupby(["source", "target"])[["tau_jp", outcome]].mean()
    found = stats.permutation_test(
        (pairs.tau_jp.to_numpy(),), lambda x: stats.spearmanr(x, pairs[outcome]).statistic, vectorized=False,
        permutation_type="pairings", alternative="greater", n_resamples=resamples, rng=np.random.default_rng(0),
    )  # fmt: skip
    return float(found.statistic), float(found.pvalue)


def mediation(points: pd.DataFrame, outcome: str, resamples: int, metric: str = "tau_jp") -> pd.DataFrame:
    """λ's effect on the outcome, all of it and what is left once the metric is known, and the share that passes through it.

    Dose arm, within pairs; λ counts in steps of its sorted values (Baron and Kenny's difference of coefficients:
    share = 1 − direct/total). The share is missing unless the interval of the total effect leaves out zero: a share
    of nothing is no number.
    """
    dose = points[points.arm == "dose"]
    step, mediator = within(dose, dose.level.rank(method="dense")), within(dose, np.log2(dose[metric]))
    y = within(dose, dose[outcome])
    alone, beside = weighted_slopes(y, step), weighted_slopes(y, step, mediator)
    total = cluster_bootstrap(dose, lambda weights: alone(weights)[0], resamples)
    direct = cluster_bootstrap(dose, lambda weights: beside(weights)[0], resamples)
    share = (np.nan, np.nan, np.nan)
    if total[1] > 0 or total[2] < 0:
        share = cluster_bootstrap(dose, lambda weights: 1 - beside(weights)[0] / alone(weights)[0], resamples)
    names = ("total effect of a step of λ", f"direct effect, {metric} known", f"share through {metric}")
    rows = [(name, *values) for name, values in zip(names, (total, direct, share), strict=True)]
    return pd.DataFrame(rows, columns=["effect", "estimate", "low", "high"])


def instrument(points: pd.DataFrame, outcome: str, resamples: int) -> pd.DataFrame:
    """λ as an instrument for τJp: two-stage least squares, beside the two slopes that it is made of and ordinary least squares.

    Dose arm, within pairs; z: λ in steps of its sorted values, x: log2 τJp, y: the outcome. With one instrument for one
    regressor the estimate is Σzy/Σzx (Wooldridge 2010, sec. 5.1.2): the effect of a step of λ on y over that on x. It is
    missing unless the interval of the first stage leaves out zero: λ that does not move τJp is no instrument for it.
    """
    dose = points[points.arm == "dose"]
    z, x = within(dose, dose.level.rank(method="dense")), within(dose, np.log2(dose.tau_jp))
    first, reduced = weighted_slopes(x, z), weighted_slopes(within(dose, dose[outcome]), z)
    stage = cluster_bootstrap(dose, lambda weights: first(weights)[0], resamples)
    effect = cluster_bootstrap(dose, lambda weights: reduced(weights)[0], resamples)
    both = (np.nan, np.nan, np.nan)
    if stage[1] > 0 or stage[2] < 0:
        both = cluster_bootstrap(dose, lambda weights: reduced(weights)[0] / first(weights)[0], resamples)
    rows = {
        "first stage: log2 τJp, a step of λ": stage,
        "the outcome, a step of λ": effect,
        "two-stage least squares: the outcome, τJp doubled": both,
        "ordinary least squares: the outcome, τJp doubled": dose_slope(dose, outcome, resamples),
    }
    return pd.DataFrame([(name, *of) for name, of in rows.items()], columns=["effect", "estimate", "low", "high"])


def compare_metrics(points: pd.DataFrame, metrics: list[str], outcome: str, resamples: int) -> pd.DataFrame:
    """How well each metric orders all treated and untreated points, and how much better than the first."""
    ranks = points[[*metrics, outcome]].rank()

    def rho(metric: str, weights: np.ndarray) -> float:
        rows = np.repeat(np.arange(len(points)), weights)
        return float(stats.spearmanr(ranks[metric].to_numpy()[rows], ranks[outcome].to_numpy()[rows]).statistic)

    table = []
    for metric in metrics:
        alone = cluster_bootstrap(points, lambda weights, m=metric: rho(m, weights), resamples)
        better = cluster_bootstrap(points, lambda weights, m=metric: rho(m, weights) - rho(metrics[0], weights), resamples)  # fmt: skip
        table.append((metric, *alone, *better))
    return pd.DataFrame(
        table, columns=["metric", "rho", "low", "high", "more_than_first", "more_low", "more_high"]
    ).set_index("metric")


def effects(points: pd.DataFrame, outcome: str, resamples: int) -> pd.DataFrame:
    """A row an arm of one application's points: the effect that causality predicts to be positive, and its verdict.

    dose, onset, raise, edit, turned, scale: rise of the outcome when τJp doubles. target: how much more the penalty on one task's images
    takes off there than on third tasks. random, third: how much more the edit takes off than the placebo. controls: partial
    Spearman's ρ. `smallest` is what matters (SMALLEST of the untreated
    interference); `moved` the arm's mean change of log2 τJp between its extremes; `untreated` the mean
    interference before treatment. With fewer than FEWEST tasks every arm is undecided.
    """
    rows = []
    for arm in ("dose", "raise", "edit", "turned", "scale"):
        frame = points[points.arm == arm]
        if len(frame):
            spread = np.log2(frame.tau_jp).groupby([frame[column] for column in UNIT]).agg(np.ptp).mean()
            of = "edit" if arm == "turned" else arm
            untreated = points[(points.arm == of) & (points.level == UNTREATED[of])][outcome].mean()
            estimate = dose_slope(frame, outcome, resamples)
            rows.append({"arm": arm, **verdict(*estimate, untreated, spread), "n": len(frame)})
    if len(frame := points[points.arm == "onset"]):
        rows.append({"arm": "onset", **onset_effect(points, frame, outcome, resamples)})
    if len(frame := points[points.arm == "target"]):
        rows.append({"arm": "target", **target_effect(points, frame, outcome, resamples)})
    for arm in ("random", "third"):
        if len(frame := points[points.arm == arm]):
            rows.append({"arm": arm, **placebo_effect(points, frame, arm, outcome, resamples)})
    rows.append({"arm": "controls", **controls_effect(points, outcome, resamples)})
    order = [arm for arm in ARMS if any(row["arm"] == arm for row in rows)]
    found = pd.DataFrame(rows).set_index("arm").loc[order]
    return found if points.target.nunique() >= FEWEST else found.assign(verdict=UNDECIDED)


def verdict(estimate: float, low: float, high: float, untreated: float, moved: float) -> dict:
    """Contradicts: even the upper limit is too small to matter. Supports: the lower limit is above zero.

    Undecided: neither, or τJp was hardly moved, or there was no interference to begin with.
    """
    smallest = SMALLEST * untreated
    if not (moved >= MOVED and smallest > 0 and np.isfinite([low, high]).all()):
        word = UNDECIDED
    elif high < smallest:
        word = "contradicts"
    else:
        word = "supports" if low > 0 else UNDECIDED
    numbers = {"estimate": estimate, "low": low, "high": high, "smallest": smallest}
    return {**numbers, "untreated": untreated, "moved": moved, "verdict": word}


def onset_effect(points: pd.DataFrame, frame: pd.DataFrame, outcome: str, resamples: int) -> dict:
    """Slope of the gaps after the start.

    Interference that falls more than a distance of saved steps before τJp contradicts, whatever the slope.
    """
    gaps = onset_gaps(points, outcome)
    slopes = weighted_slopes(gaps.gap.to_numpy(), gaps.log_tau_jp.to_numpy())
    last = frame[frame.step == frame.step.max()]
    moved = -gaps[gaps.step == gaps.step.max()].log_tau_jp.mean()
    untreated = last[last.level == last.level.max()][outcome].mean()
    found = verdict(*cluster_bootstrap(gaps, lambda weights: slopes(weights)[0], resamples), untreated, moved)
    lag, low, high = cluster_bootstrap(gaps, lambda weights: onset_lag(gaps, weights), resamples)
    if high < -np.diff(np.sort(frame.step.unique())).max(initial=0):
        found["verdict"] = "contradicts"
    return {**found, "n": len(gaps), "lag": lag, "lag_low": low, "lag_high": high}


def target_effect(points: pd.DataFrame, frame: pd.DataFrame, outcome: str, resamples: int) -> dict:
    """How much more the penalty on one task's images lowers the outcome on that task than on third tasks, per source.

    A unit is the source with the task whose images were seen; third tasks enter by their mean. `moved` is how much more log2 τJp
    fell there than on third tasks: where it fell alike everywhere, nothing is said.
    """
    both = specificity_of_target(points, outcome)
    better = both.better.to_numpy()
    estimate = cluster_bootstrap(both, lambda weights: np.average(better, weights=weights), resamples)
    untreated = frame[frame.level == 0.0][outcome].mean()
    moved = (both.log_tau_jp_bystander - both.log_tau_jp_target).mean()
    return {**verdict(*estimate, untreated, moved), "n": len(both)}


def specificity_of_target(points: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """Per unit of the target arm: change of outcome and log2 τJp on the task that was seen and, mean, on third tasks."""
    columns, keys = [outcome, "log_tau_jp"], ["method", "seed", "source"]
    level = points[points.arm == "target"].level.max()
    seen = change_from_untreated(points, "target", level, columns).reset_index()
    thirds = change_from_untreated(points, "bystander", level, columns).groupby(level=keys).mean()
    both = seen.join(thirds, on=keys, suffixes=("_target", "_bystander"))
    return both.assign(better=both[f"{outcome}_bystander"] - both[f"{outcome}_target"])


def placebo_effect(points: pd.DataFrame, frame: pd.DataFrame, arm: str, outcome: str, resamples: int) -> dict:
    """How much more the edit lowers the outcome than the placebo; nothing is said if the placebo moved τJp as well."""
    both = specificity(points, arm, outcome)
    moved = -both.log_tau_jp_edit.mean()
    leak = abs(both.log_tau_jp_placebo.mean())
    better = both.better.to_numpy()
    estimate = cluster_bootstrap(both, lambda weights: np.average(better, weights=weights), resamples)
    untreated = frame[frame.level == 0.0][outcome].mean()
    found = verdict(*estimate, untreated, moved if leak <= moved / 3 else 0.0)
    return {**found, "n": len(both), "placebo_moved": float(both.log_tau_jp_placebo.mean())}


def direction_and_size(points: pd.DataFrame, outcome: str, resamples: int) -> pd.DataFrame:
    """Of what the edit takes off the outcome, how much is the size of the movement, and how much its direction?

    Three vectors per pair: edited; untreated; and turned, with the size of the untreated one in another source's direction. Then

        untreated − edited     =  (turned − edited)          +  (untreated − turned)
        size, own direction       size, another direction       direction, same size

    A row each: the difference with its interval, `moved` (mean change of log2 τJp) and a verdict by the rule of the arms, that the
    size, or the direction, matters. Of the direction nothing is said where τJp moved by more than a third of what the edit moved it by.
    """
    columns = [outcome, "log_tau_jp"]
    frame = points[points.arm.isin(["edit", "turned"])].assign(log_tau_jp=lambda rows: np.log2(rows.tau_jp))
    edited, untreated, turned = (
        frame[(frame.arm == arm) & (frame.level == level)].set_index(UNIT)[columns]
        for arm, level in (("edit", 1.0), ("edit", 0.0), ("turned", 1.0))
    )
    differences = {
        "size, own direction": untreated - edited,
        "size, another direction": turned - edited,
        "direction, same size": untreated - turned,
    }
    rows, whole = [], differences["size, own direction"].log_tau_jp.mean()
    for name, difference in differences.items():
        table = difference.reset_index()
        values, moved = table[outcome].to_numpy(), table.log_tau_jp.mean()
        estimate = cluster_bootstrap(table, lambda weights, v=values: np.average(v, weights=weights), resamples)
        counts = moved if name != "direction, same size" else whole if abs(moved) <= whole / 3 else 0.0
        rows.append({"difference": name, **verdict(*estimate, untreated[outcome].mean(), counts), "moved": moved})
    found = pd.DataFrame(rows).set_index("difference")
    return found if points.target.nunique() >= FEWEST else found.assign(verdict=UNDECIDED)


def which_of_both(found: pd.DataFrame, metrics: pd.DataFrame, tasks: int, application: str) -> tuple[str, str]:
    """`size`, `direction`, `both`, `neither` or `undecided`, and a sentence. found: of `direction_and_size`; metrics: of
    `compare_metrics`, of which nothing is said for fewer than FEWEST tasks."""
    size, direction = (found.verdict[name] for name in ("size, another direction", "direction, same size"))
    kind = {
        ("supports", "contradicts"): "size",
        ("contradicts", "supports"): "direction",
        ("supports", "supports"): "both",
        ("contradicts", "contradicts"): "neither",
    }.get((size, direction), UNDECIDED)
    text = {
        "size": "a movement of the same size in another source's direction harms as much as the vector's own: the size counts",
        "direction": "a movement of the same size in another source's direction does no harm: the direction counts, and not the size",
        "both": "a movement of the same size in another source's direction harms, and less than the vector's own: both count",
        "neither": "neither the size of the movement nor its direction matters",
        UNDECIDED: "it stays open how much of the harm is the size of the movement, and how much its direction",
    }[kind]
    low, high = metrics.more_low["towards_boundary"], metrics.more_high["towards_boundary"]
    better = "better than" if low > 0 else "worse than" if high < 0 else "no better or worse, within the interval, than"
    orders = f"The way to the class boundary orders the points {better} τJp."
    if tasks < FEWEST:
        orders = f"{tasks} tasks are too few to say which metric orders the points better."
    return kind, f"{where(application)} {text}. {orders}"


def controls_effect(points: pd.DataFrame, outcome: str, resamples: int) -> dict:
    """τJp given its rivals over the dose arm, and against shuffled pairings of the untreated pairs."""
    dose = points[points.arm == "dose"]
    rho, p = shuffled_pairing(points, outcome, resamples)
    estimate, low, high = rank_correlation(dose, "tau_jp", outcome, CONTROL_PREDICTORS, resamples)
    numbers = {"estimate": estimate, "low": low, "high": high, "smallest": SMALLEST, "n": len(dose)}
    word = UNDECIDED
    if high < SMALLEST:
        word = "contradicts"
    elif low > 0 and p < 0.05:
        word = "supports"
    return {**numbers, "verdict": word, "rho_untreated": rho, "shuffled_p": p}


def own_price(points: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """What halving τJp on t costs s on its own task, by arm: accuracy lost, within pairs, with its interval."""
    rows = []
    for arm in ("dose", "raise", "edit", "scale"):  # turned vectors are no vectors of s
        if len(frame := points[points.arm == arm]):
            rows.append((arm, *dose_slope(frame, "own_accuracy", resamples)))
    return pd.DataFrame(rows, columns=["arm", "estimate", "low", "high"]).set_index("arm")


def conclusion(found: pd.DataFrame, application: str) -> tuple[str, str]:
    """`causes`, `travels`, `unrelated` or `undecided`, and the sentence that says which arms say what.

    found: of `effects`. causes: the edit, which alone moves τJp and nothing else by intent, supports it and no
    intervention contradicts. travels: τJp and interference go together in the dose arm or across pairs, but not
    under the edit. unrelated: they do not even go together. The scale arm changes the task's own effect too
    and decides nothing.
    """
    word = found.verdict
    by_word = {name: [arm for arm in word.index if word[arm] == name and arm != "scale"] for name in VERBS}
    together = any(word.get(arm) == "supports" for arm in ("dose", "controls"))
    apart = any(word.get(arm) == "contradicts" for arm in ("dose", "controls"))
    edit = word.get("edit", UNDECIDED)
    against = [arm for arm in by_word["contradicts"] if arm != "controls"]
    if edit == "supports" and not against:
        kind, text = "causes", "τJp causes interference"
    elif edit == "contradicts" and together:
        kind, text = "travels", "τJp goes together with interference and does not cause it"
    elif edit != "supports" and apart and not together:
        kind, text = "unrelated", "τJp has nothing to do with interference"
    else:
        kind, text = "undecided", "it stays open whether τJp causes interference"
    said = [
        f"{listed([ARMS_IN_WORDS[arm] for arm in arms])} {VERBS[name][len(arms) > 1]}"
        for name, arms in by_word.items() if arms
    ]  # fmt: skip
    if not by_word["supports"] and not by_word["contradicts"]:
        said = ["no intervention decides it"]
    return kind, f"{where(application)} {text}: {'; '.join(said)}."
