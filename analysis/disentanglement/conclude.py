"""Which method's vectors leave each other's predictions alone?"""

import pandas as pd

from taujp_core.methods import find_method

from ..sentences import by_name, in_words, share, standing


def conclusion(error: pd.Series, noise: float) -> str:
    """Where the best penalised method stands, or the best of all where there is none; error: ξ over 0 ≤ α ≤ 1, by method."""
    penalised = error[[find_method(method).penalised for method in error.index]]
    ours = (error if penalised.empty else penalised).idxmin()
    others = error.drop(ours)
    said = f": {standing(error[ours], by_name(others), noise, lower_is_better=True)}" if len(others) else ""
    return f"Over coefficients from 0 to 1 the mean disentanglement error is {share(error[ours])} with {in_words(ours)}{said}."
