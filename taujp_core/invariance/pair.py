"""Which mix of risk and penalties goes down without one of them going up? Chen et al. 2022 (PAIR).

Three losses L = (mean_e CE_e, mean_e g_e², Var_e CE_e), and a preference r over them: exact Pareto optimal search
(Mahapatra & Rajan 2020) finds weights α on the simplex such that the step −Σ α_k ∇L_k brings r∘L nearer to equal
components, or, where they are, lowers all. α solves a linear programme in the gradients' inner products C = GGᵀ.

The authors call a commercial solver, and where there is none (as in the public code of Yoshida & Naganuma 2024) an
exception is swallowed and the weights are the preference itself, whatever the gradients. Here it is HiGHS, and what it
cannot solve is an error.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linprog
from torch import Tensor

from ..checks import check_not_negative
from .objective import Environment, Objective, Step, check_environments, invariance_penalty, losses

LOSSES = 3
SMALLEST = np.finfo(np.float64).eps  # of a loss's share: its logarithm is taken


def value(
    environments: Sequence[Environment],
    step: Step,
    preference: tuple[float, ...],
    epsilon: float,
    anneal_steps: int,
) -> Float[Tensor, ""]:
    """Σ_k α_k·L_k, α held fixed, so that its gradient is the step's direction; before step `anneal_steps` the risk of
    ERM.

    Chen et al. 2022, sec. 4 (PAIR-o, with IRMX's penalties) and the authors' code: Var_e with E − 1 below, gradients of
    the last layer alone, preference (1e-12, 0.01, 0.99), ε = 0.1 for how far r∘L may be from equal (the code of Yoshida
    & Naganuma passes the optimiser's 1e-8 instead), no l2 from then on, where the authors change from Adam to SGD. A
    gradient is taken with respect to `step.last_layer`. Raises ValueError for fewer than two environments or an empty
    one, no last layer, a preference that is not three positive numbers, and ε < 0.
    """
    check_environments(environments)
    check_not_negative(epsilon=epsilon)
    check_preference(preference)
    if step.number < anneal_steps:
        return losses(environments).mean() + step.decay
    if not step.last_layer:
        raise ValueError("PAIR compares the losses' gradients in the last layer: the step names no last layer")
    found = objectives(environments)
    gradients = [
        torch.cat([one.flatten() for one in torch.autograd.grad(loss, step.last_layer, retain_graph=True)])
        for loss in found
    ]
    matrix = torch.stack(gradients).double()
    weights = pareto_weights(
        found.detach().double().cpu().numpy(), (matrix @ matrix.T).cpu().numpy(), np.array(preference), epsilon
    )
    return torch.from_numpy(weights).to(found) @ found


def objectives(environments: Sequence[Environment]) -> Float[Tensor, "3"]:
    """(mean_e CE_e, mean_e g_e², Var_e CE_e), the variance with E − 1 below."""
    risks = losses(environments)
    return torch.stack([risks.mean(), invariance_penalty(environments), risks.var()])


def check_preference(preference: tuple[float, ...]) -> None:
    if len(preference) != LOSSES or not all(np.isfinite(share) and share > 0 for share in preference):
        raise ValueError(f"a preference is {LOSSES} positive numbers, for risk, penalty and variance, not {preference}")


def adjustments(
    values: Float[np.ndarray, "m"], preference: Float[np.ndarray, "m"]
) -> tuple[Float[np.ndarray, "m"], float]:
    """The anchor a and the non-uniformity μ (nats, 0 to log m) of r∘L of Mahapatra & Rajan 2020.

    With shares l̂ = r∘L/Σ(r∘L): μ = Σ l̂·log(m·l̂), a = r∘(log(m·l̂) − μ). A loss of zero has a share of zero, whose
    logarithm would make a infinite: shares are at least the rounding of a float. All losses zero: μ = 0, a = 0.
    """
    weighted = preference * values
    if weighted.sum() == 0:
        return np.zeros_like(values), 0.0
    shares = np.maximum(weighted / weighted.sum(), SMALLEST)
    logarithms = np.log(len(values) * shares)
    nonuniformity = float(shares @ logarithms)
    return preference * (logarithms - nonuniformity), nonuniformity


def pareto_weights(
    values: Float[np.ndarray, "m"],
    products: Float[np.ndarray, "m m"],
    preference: Float[np.ndarray, "m"],
    epsilon: float,
) -> Float[np.ndarray, "m"]:
    """α ≥ 0, Σα = 1 from losses L [m], inner products C [m, m] of their gradients and the preference r [m].

    r is divided by its sum. Balancing, where μ > ε: maximise αᵀCa such that (Cα)_j ≥ 0 for the largest r_j·L_j, and
    (Cα)_j ≥ (Ca)_j for every other j with (Ca)_j ≤ 0; if no (Ca)_j is positive, Cα ≥ 0. Descending, where μ ≤ ε:
    maximise Σ_j (Cα)_j such that Cα ≥ 0 and αᵀCa ≥ min(0, max_j (Ca)_j), the last given up if there is no such α
    (Mahapatra & Rajan 2020, their linear programme and its relaxation as their code has them). The point nearest to 0
    among the gradients' mixtures keeps Cα ≥ 0, so there always is a solution.
    """
    preference = preference / preference.sum()
    anchor, nonuniformity = adjustments(values, preference)
    toward = products @ anchor
    if nonuniformity <= epsilon:
        restricted = [np.vstack([products, toward]), np.append(np.zeros(len(values)), min(0.0, toward.max()))]
        found = maximise(products.sum(0), *restricted)
        found = maximise(products.sum(0), products, np.zeros(len(values))) if found is None else found
    else:
        weighted = preference * values
        bounds = np.where(toward > 0, -np.inf, toward)
        bounds[weighted == weighted.max()] = 0
        found = maximise(toward, products, bounds if (toward > 0).any() else np.zeros(len(values)))
    if found is None:
        raise ArithmeticError(
            f"no weights for losses {values.tolist()}: their gradients' inner products are {products}"
        )
    return found


def maximise(
    gain: Float[np.ndarray, "m"], rows: Float[np.ndarray, "k m"], bounds: Float[np.ndarray, "k"]
) -> Float[np.ndarray, "m"] | None:
    """α on the simplex with the largest gainᵀα among those with rows·α ≥ bounds; None if there is none.

    Gain and rows are divided by their largest entries: the solver's tolerance is absolute, and squared gradients are
    tiny.
    """
    wanted = np.isfinite(bounds) & np.abs(rows).any(1)
    rows, bounds = rows[wanted], bounds[wanted]
    sizes = np.abs(rows).max(1, initial=0)
    result = linprog(
        -gain / (np.abs(gain).max() or 1.0),
        A_ub=-rows / sizes[:, None],
        b_ub=-bounds / sizes,
        A_eq=np.ones((1, len(gain))),
        b_eq=[1.0],
        bounds=(0, None),
        method="highs",
    )
    return result.x if result.status == 0 else None


OBJECTIVE = Objective("pair", value, {"preference": (1e-12, 1e-2, 0.99), "epsilon": 0.1, "anneal_steps": 190})
