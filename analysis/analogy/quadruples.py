"""Can a model for a task be made by vector arithmetic, in a domain without labelled images of it?

    θ₀ + α·(τ(target domain, other task) + τ(source domain, task) − τ(source domain, other task))

(Ilharco et al. 2023, sec. 5.) At α = 1 no label of the target is used. The tuned α is the best on the target's
labelled validation images, as in that paper, for the analogy and for what it is compared with; test accuracies are
reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from taujp_core.checks import one_of
from taujp_core.datasets import load_split
from taujp_core.models import Clip, zero_shot_head
from taujp_core.products.jacobian import product_norms
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector
from taujp_core.training.run_store import Run

from ..coefficients import scores, tuned_coefficient
from ..products import edited_source, products_and_source
from ..sentences import in_words, share, standing
from ..trainings import tables_of_models

COEFFICIENTS = tuple(k / 10 for k in range(11))
# Coefficients of the vectors of other, source, source_other and target.
MODELS = {
    "analogy": (1.0, 1.0, -1.0, 0.0),
    "source alone": (0.0, 1.0, 0.0, 0.0),
    "other alone": (1.0, 0.0, 0.0, 0.0),
    "fine-tuned": (0.0, 0.0, 0.0, 1.0),
}
PARTS = ("source alone", "other alone")
VECTORS = {
    "other": (1.0, 0.0, 0.0, 0.0),
    "source": (0.0, 1.0, 0.0, 0.0),
    "source other": (0.0, 0.0, 1.0, 0.0),
    "combination": MODELS["analogy"],
}
FEWEST = 5  # quadruples: with 4, no rank correlation is beyond chance at 5 %
PERMUTATIONS = 9999


@dataclass(frozen=True)
class Quadruple:
    """target ≈ other + source − source_other, each the name of a task."""

    target: str  # the task, in the target domain: wanted
    other: str  # another task in the target domain
    source: str  # the task, in the source domain
    source_other: str  # the other task in the source domain

    def __str__(self) -> str:
        return f"{self.target} ≈ {self.other} + {self.source} − {self.source_other}"

    def tasks(self) -> tuple[str, str, str, str]:
        """In the order of the coefficients in MODELS."""
        return self.other, self.source, self.source_other, self.target


@dataclass(frozen=True)
class Analogies:
    """Tidy tables; every row has its method, seed and quadruple (as text).

    curves: model (of MODELS), coefficient, accuracy on the target's validation images;
    test: model, and zero-shot, choice (one-shot, tuned), coefficient, accuracy on the target's test images;
    tau_jp: vector (of VECTORS), tau_jp on the target's validation images, which needs no labels.
    """

    curves: pd.DataFrame
    test: pd.DataFrame
    tau_jp: pd.DataFrame


def named_quadruples(suite: Suite, quadruples: Sequence[Sequence[str]]) -> list[Quadruple]:
    """From [target, other, source, source other] each; from none, all that the names of the suite's tasks make.

    A task NAME-DOMAIN is NAME in another domain. Raises ValueError for a list that is not four different tasks of
    the suite, for a target and a source with different numbers of classes, and for a suite without domains.
    """
    if not quadruples:
        found = domain_quadruples(suite)
        if not found:
            raise ValueError(f"no tasks of {suite.name} are named NAME and NAME-DOMAIN: name the quadruples yourself")
        return found
    found = []
    for names in quadruples:
        for name in names:
            one_of("task", name, suite.tasks)
        if len(names) != 4 or len(set(names)) != 4:
            raise ValueError(f"a quadruple is four different tasks: target, other, source, source other; not {names}")
        quadruple = Quadruple(*names)
        target, source = suite.task(quadruple.target), suite.task(quadruple.source)
        if len(target.classes) != len(source.classes):
            raise ValueError(
                f"{target.name} has {len(target.classes)} classes and {source.name} has {len(source.classes)}: "
                "target and source are one task in two domains"
            )
        found.append(quadruple)
    return found


def domain_quadruples(suite: Suite) -> list[Quadruple]:
    """Every pair of domains, both ways, with every two tasks that the suite has in both."""
    domains: dict[str, dict[str, str]] = {}
    for name in suite.tasks:
        plain, _, domain = name.rpartition("-")
        plain, domain = (plain, domain) if plain in suite.tasks else (name, "")
        domains.setdefault(domain, {})[plain] = name
    return [
        Quadruple(target[task], target[other], source[task], source[other])
        for target in domains.values()
        for source in domains.values()
        for task in target
        for other in target
        if target is not source and task != other and {task, other} <= source.keys()
    ]


def tasks_of(quadruples: Sequence[Quadruple], suite: Suite) -> list[str]:
    """All tasks whose vectors are needed, in the suite's order."""
    return [name for name in suite.tasks if any(name in quadruple.tasks() for quadruple in quadruples)]


def measure_analogies(
    clip: Clip, suite: Suite, quadruples: Sequence[Quadruple], runs: Sequence[Run], images: int = 0
) -> Analogies:
    """All quadruples with each method's and seed's vectors, as the method is applied.

    On the first `images` of each split, all for 0.
    """
    by_target: dict[str, list[Quadruple]] = {}
    for quadruple in quadruples:
        by_target.setdefault(quadruple.target, []).append(quadruple)

    def measure(vectors: list[TaskVector]) -> list[pd.DataFrame]:
        by_task = {vector.task: vector for vector in vectors}
        tables = [measure_target(clip, suite, ours, by_task, images) for ours in by_target.values()]
        return [pd.concat(parts) for parts in zip(*tables, strict=True)]

    return Analogies(*tables_of_models(runs, measure))


def measure_target(
    clip: Clip, suite: Suite, quadruples: Sequence[Quadruple], vectors: dict[str, TaskVector], images: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The three tables for quadruples with one target: one pass a split with all vectors."""
    task = suite.task(quadruples[0].target)
    head = zero_shot_head(clip, task.classes, task.templates)
    names = tasks_of(quadruples, suite)
    ours = [vectors[name] for name in names]
    on = load_split(task, "validation").first(images).decoded()
    products, validation = products_and_source(clip, ours, on)
    test = edited_source(clip, ours, load_split(task, "test").first(images))
    known: dict[tuple, float] = {}  # quadruples share models

    def accuracy(source: object, direction: np.ndarray, coefficient: float) -> float:
        point = tuple(float(coefficient * value) for value in direction)
        key = (source is test, point)
        if key not in known:
            known[key] = scores(source, head, [point]).accuracy[0]
        return known[key]

    curves, rows, tau_jp = [], [], []
    for quadruple in quadruples:
        members = np.array([[float(name == member) for name in names] for member in quadruple.tasks()])
        zero_shot = {"quadruple": str(quadruple), "model": "zero-shot", "coefficient": 0.0}
        rows += [
            {**zero_shot, "choice": choice, "accuracy": accuracy(test, 0 * members[0], 0.0)}
            for choice in ("one-shot", "tuned")
        ]
        for model, coefficients in MODELS.items():
            direction = np.array(coefficients) @ members
            where = {"quadruple": str(quadruple), "model": model}
            accuracies = [accuracy(validation, direction, alpha) for alpha in COEFFICIENTS]
            curve = pd.DataFrame({**where, "coefficient": COEFFICIENTS, "accuracy": accuracies})
            curves.append(curve)
            for choice, alpha in (("one-shot", 1.0), ("tuned", tuned_coefficient(curve))):
                found = accuracy(test, direction, alpha)
                rows.append({**where, "choice": choice, "coefficient": alpha, "accuracy": found})
        for vector, coefficients in VECTORS.items():
            norms = product_norms(products.product(np.array(coefficients) @ members))
            tau_jp.append({"quadruple": str(quadruple), "vector": vector, "tau_jp": norms.mean().item()})
    return pd.concat(curves), pd.DataFrame(rows), pd.DataFrame(tau_jp)


def gains(analogies: Analogies) -> pd.DataFrame:
    """A row for each method and quadruple, averaged over seeds: test accuracies of every model at α = 1 (columns of
    their names), the analogy's gain over zero-shot and over its better part alone, and τJp of the VECTORS."""
    one_shot = analogies.test[analogies.test.choice == "one-shot"]
    table, tau_jp = (
        rows.pivot_table(index=["method", "quadruple"], columns=name, values=value, sort=False)
        for rows, name, value in ((one_shot, "model", "accuracy"), (analogies.tau_jp, "vector", "tau_jp"))
    )
    better = table[list(PARTS)].max(axis=1)
    over = {"gain over zero-shot": table.analogy - table["zero-shot"], "gain over its parts": table.analogy - better}
    return pd.concat([table.assign(**over), tau_jp.add_prefix("τJp of ")], axis=1).rename_axis(columns=None)


def prediction_table(gained: pd.DataFrame) -> pd.DataFrame:
    """Rank correlation of τJp with each gain over the quadruples: method, vector, gain, correlation, p, quadruples.

    p: two-sided, by permutation, as if quadruples were independent (those that share vectors are not). NaN for
    fewer than FEWEST quadruples.
    """
    rows = []
    for method, part in gained.groupby(level="method", sort=False):
        for vector in VECTORS:
            for gain in ("gain over zero-shot", "gain over its parts"):
                found = rank_correlation(part[f"τJp of {vector}"].to_numpy(), part[gain].to_numpy())
                columns = {"method": method, "vector": vector, "gain": gain}
                rows.append({**columns, "correlation": found[0], "p": found[1], "quadruples": len(part)})
    return pd.DataFrame(rows)


def rank_correlation(x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"]) -> tuple[float, float]:
    """Spearman's ρ, and the share of permutations that have one as large; NaN for few or constant values."""
    if len(x) < FEWEST or min(np.ptp(x), np.ptp(y)) == 0:
        return float("nan"), float("nan")
    first, second = (stats.zscore(stats.rankdata(values)) / np.sqrt(len(values)) for values in (x, y))
    found = stats.permutation_test(
        (second,), lambda drawn: abs(first @ drawn), vectorized=False, permutation_type="pairings",
        alternative="greater", n_resamples=PERMUTATIONS, rng=np.random.default_rng(0),
    )  # fmt: skip
    return float(first @ second), float(found.pvalue)


def summary_table(test: pd.DataFrame) -> pd.DataFrame:
    """A row for each method and choice of α: test accuracies of all models averaged over quadruples and seeds, and
    the share of the quadruples (and seeds) where the analogy beats zero-shot and both of its parts alone."""
    index = ["method", "choice"]
    each = test.pivot_table(index=[*index, "quadruple", "seed"], columns="model", values="accuracy", sort=False)
    works = each.analogy > each[["zero-shot", *PARTS]].max(axis=1)
    order = ["zero-shot", *MODELS]
    means = each[order].groupby(level=index, sort=False).mean()
    return means.assign(works=works.groupby(level=index, sort=False).mean()).rename_axis(columns=None)


def answers(summary: pd.DataFrame, prediction: pd.DataFrame, noise: float) -> list[str]:
    """What the numbers say: whether τJp predicts the gain of an analogy, and how good the best method's analogies are.

    noise: two standard errors of a difference of the accuracies.
    """
    lines = []
    asked = prediction[(prediction.vector == "combination") & (prediction.gain == "gain over zero-shot")]
    for row in asked.itertuples():
        if np.isnan(row.correlation):
            few = "1 analogy is" if row.quadruples == 1 else f"{row.quadruples} analogies are"
            lines.append(f"With {in_words(row.method)}, {few} too few to tell whether τJp predicts the gain.")
            continue
        sign = "higher" if row.correlation > 0 else "lower"
        verdict = (
            f"predicts the gain, which is {sign} where τJp is larger" if row.p < 0.05 else "does not predict the gain"
        )
        lines.append(
            f"With {in_words(row.method)}, τJp of the combination {verdict} "
            f"(rank correlation {row.correlation:.2f} over {row.quadruples} analogies, p = {row.p:.2g})."
        )
    tuned = summary.xs("tuned", level="choice")
    method, best = tuned.analogy.idxmax(), tuned.loc[tuned.analogy.idxmax()]
    others = {"zero-shot": best["zero-shot"], "the source's vector alone": best["source alone"]}
    others["fine-tuning on the target"] = best["fine-tuned"]
    lines.append(
        f"At the tuned α the analogies of {in_words(method)} reach a mean accuracy of {share(best.analogy)} on the target: "
        f"{standing(best.analogy, others, noise)}."
    )
    return lines
