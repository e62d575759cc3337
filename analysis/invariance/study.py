"""What does `61_invariance` ask, and what does it train?"""

from dataclasses import dataclass

from ..study import OUTPUT, ask
from .benchmark import FIXED, ORACLE, Fit, plan_fit

COLOURED = "coloured mnist"
SWEEPS = {
    "irmv1": ("penalty_weight", (1.0, 100.0, 1e4, 91257.0)),
    "ib-irm": ("variance_weight", (0.1, 1.0, 10.0, 100.0)),
}
# What keeps an objective below its published level: one draw of the noise for the whole training, PAIR with fewer images
# per step, the game with the dropout of its paper.
CASES = {
    "erm, one draw of noise": (FIXED, "erm", {}),
    "irmv1, one draw of noise": (FIXED, "irmv1", {}),
    "oracle, one draw of noise": (FIXED, ORACLE, {}),
    "pair, 400 images a step": (COLOURED, "pair", {"images": 400}),
    "pair, 1000 images a step": (COLOURED, "pair", {"images": 1000}),
    "irm-game-fixed, dropout 0.75": (COLOURED, "irm-game-fixed", {"dropout": 0.75}),
}


@dataclass(frozen=True)
class InvariancePlan:
    """fits: of the benchmark; sweeps: by objective, by value of its parameter (SWEEPS); cases: by name (CASES)."""

    fits: list[Fit]
    sweeps: dict[str, dict[float, list[Fit]]]
    cases: dict[str, list[Fit]]


@dataclass(frozen=True)
class InvarianceStudy:
    objectives: list[str] = ask(
        ["erm", "irmv1", "oracle"], "also ib-irm, pair, irm-game-fixed, irm-game-variable, bayesian-irm"
    )
    data: list[str] = ask(["coloured mnist"], "also coloured fashion, rotated mnist")
    seeds: list[int] = ask([0], "of initial weights and of all draws")
    steps: int = ask(0, "optimiser steps; 0: each recipe's")
    sweep_seeds: int = ask(0, "seeds 0, 1, … of the sweeps and of the cases that explain; 0: neither is run")
    output: str = ask("runs/invariance", OUTPUT)

    def plan(self) -> InvariancePlan:
        """Small networks on the scans that ship: nothing of the run store."""
        fits = [
            plan_fit(data, arm, seed, self.steps)
            for data in self.data
            for arm in self.objectives
            for seed in self.seeds
        ]
        if not self.sweep_seeds:
            return InvariancePlan(fits, {}, {})
        seeds = range(self.sweep_seeds)
        sweeps = {
            arm: {
                value: [plan_fit(COLOURED, arm, seed, self.steps, {parameter: value}) for seed in seeds]
                for value in values
            }
            for arm, (parameter, values) in SWEEPS.items()
        }
        cases = {
            name: [plan_fit(data, arm, seed, self.steps, **changes) for seed in seeds]
            for name, (data, arm, changes) in CASES.items()
        }
        return InvariancePlan(fits, sweeps, cases)
