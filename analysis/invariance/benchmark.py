"""What does each objective reach in environments that it was and was not trained in?

An arm is an objective, or the oracle: ERM that cannot see the colour, or that is trained at the held-out angle as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from taujp_core.checks import one_of
from taujp_core.datasets.domains import Domains, coloured, rotated
from taujp_core.invariance import OBJECTIVES
from taujp_core.invariance.training import Fitted, Recipe, fit, recipe_of

from ..metrics import score

ORACLE = "oracle"
ARMS = (*OBJECTIVES, ORACLE)
DATA = ("coloured mnist", "coloured fashion", "rotated mnist")
FIXED = "coloured mnist, one fixed draw"

# Ten classes, five environments, and no shift as hard as a colour's: shorter, at a penalty of DomainBed's size. Taken
# as it is, nothing was tried. PAIR's batch is as large as an environment allows.
ROTATED = {"steps": 301}
ROTATED_BATCH = {"pair": {"images": 2000}}
ROTATED_PENALTY = {"penalty_weight": 100.0, "anneal_steps": 100}
ROTATED_PARAMETERS = {"irmv1": ROTATED_PENALTY, "ib-irm": ROTATED_PENALTY, "bayesian-irm": ROTATED_PENALTY}


def domains_of(data: str, arm: str, seed: int) -> Domains:
    """Raises ValueError for unknown data or an unknown arm."""
    one_of("data", data, (*DATA, FIXED))
    one_of("objective", arm, ARMS)
    if data == "rotated mnist":
        return rotated(seed, oracle=arm == ORACLE)
    return coloured("fashion" if "fashion" in data else "mnist", seed, grey=arm == ORACLE, fixed=data == FIXED)


def arm_recipe(data: str, arm: str, steps: int = 0, parameters: dict | None = None, **changes: object) -> Recipe:
    """The arm's recipe on this data, with changes; steps: 0, the recipe's; parameters: changes to the objective's."""
    objective, parameters = "erm" if arm == ORACLE else arm, parameters or {}
    if data == "rotated mnist":
        changes = ROTATED | ROTATED_BATCH.get(arm, {}) | changes
        parameters = ROTATED_PARAMETERS.get(arm, {}) | parameters
    if steps:
        changes["steps"] = steps
    recipe = recipe_of(objective, **changes)
    return recipe_of(objective, **changes, parameters={**recipe.parameters, **parameters})


@dataclass(frozen=True)
class Fit:
    """All that decides the training of one small network."""

    data: str
    arm: str
    seed: int
    recipe: Recipe


def plan_fit(data: str, arm: str, seed: int, steps: int = 0, parameters: dict | None = None, **changes: object) -> Fit:
    """See `arm_recipe`. Raises ValueError for unknown data or an unknown arm."""
    one_of("data", data, (*DATA, FIXED))
    one_of("objective", arm, ARMS)
    return Fit(data, arm, seed, arm_recipe(data, arm, steps, parameters, **changes))


def train_arm(of: Fit) -> Fitted:
    return fit("erm" if of.arm == ORACLE else of.arm, domains_of(of.data, of.arm, of.seed), of.seed, of.recipe)


def benchmark(fits: Sequence[Fit]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`measure` and `curve` of each, with columns data, arm, seed."""
    measured, curves = [], []
    for of in fits:
        fitted = train_arm(of)
        for tables, table in ((measured, measure(fitted)), (curves, pd.DataFrame(fitted.history))):
            tables.append(table.assign(data=of.data, arm=of.arm, seed=of.seed))
    return pd.concat(measured, ignore_index=True), pd.concat(curves, ignore_index=True)


def measure(fitted: Fitted) -> pd.DataFrame:
    """A row an environment: accuracy, loss (NLL, nats), ece and ace, means over the last evaluations, and steps
    taken."""
    rows = []
    for environment, evaluations in fitted.logits.items():
        found = pd.DataFrame([score(logits, fitted.labels[environment]) for logits in evaluations]).mean()
        rows.append({"environment": environment, **found, "steps": fitted.steps})
    return pd.DataFrame(rows)


def sweep(parameter: str, fits: Mapping[float, Sequence[Fit]]) -> pd.DataFrame:
    """Accuracy, a row per value of the parameter: in each evaluation environment, means over the value's fits."""
    rows = [
        {parameter: value, **measure(train_arm(of)).set_index("environment").accuracy}
        for value, ours in fits.items()
        for of in ours
    ]
    return pd.DataFrame(rows).groupby(parameter).mean()


def chosen(table: pd.DataFrame) -> pd.DataFrame:
    """What each environment of `sweep` would choose, and the test accuracy that comes of it.

    Choosing by `test` is what the authors of the classical setting did; `validation` is DomainBed's training-domain
    rule.
    """
    best = table.idxmax()
    return pd.DataFrame({table.index.name: best, "test accuracy": table.test[best.values].values}, index=table.columns)


def explanations(fits: Mapping[str, Sequence[Fit]]) -> pd.DataFrame:
    """Accuracy and steps, a row per case, means over its fits."""
    rows = []
    for case, ours in fits.items():
        for of in ours:
            found = measure(train_arm(of))
            rows.append({"case": case, **found.set_index("environment").accuracy, "steps": found.steps.mean()})
    return pd.DataFrame(rows).groupby("case", sort=False).mean()
