"""Which sums of vectors are forecast? Pairs, sums of more at several α, all vectors along a curve, and all but one."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

Plan = tuple[float, ...]  # a coefficient for each vector, 0 for those that are left out
CURVE = tuple(k / 10 for k in range(1, 11))  # α of the sum of all vectors, of which the best is looked for


def plans_of(vectors: int, sizes: Sequence[int], alphas: Sequence[float], choices: int) -> list[Plan]:
    """All pairs at α = 1; of each number of vectors in `sizes` as many `choices`, drawn by a fixed seed, at every α of `alphas`;
    all vectors at every α of CURVE; all but one at α = 1. Each plan once."""
    generator = np.random.default_rng(0)
    found = [at(pair, 1.0, vectors) for pair in combinations(range(vectors), 2)]
    for size in sizes:
        possible = list(combinations(range(vectors), size))
        drawn = sorted(generator.permutation(len(possible))[:choices])
        found += [at(possible[place], alpha, vectors) for place in drawn for alpha in alphas]
    every = range(vectors)
    found += [at(every, alpha, vectors) for alpha in CURVE]
    found += [at([one for one in every if one != left], 1.0, vectors) for left in every]
    return list(dict.fromkeys(plan for plan in found if sum(map(bool, plan)) > 1))


def at(members: Sequence[int], alpha: float, vectors: int) -> Plan:
    return tuple(float(alpha) * (place in members) for place in range(vectors))
