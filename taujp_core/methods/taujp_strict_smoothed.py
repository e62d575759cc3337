"""Does the τJp penalty spare other data sets if the expert doubts? `taujp-strict` with the label smoothing of `standard-smoothed`.

The smoothing is the task's loss alone; the penalty, which has no labels, is that of `taujp-strict`.
"""

from dataclasses import replace

from .standard_smoothed import PARAMETERS
from .taujp_strict import METHOD as STRICT

METHOD = replace(
    STRICT,
    name="taujp-strict-smoothed",
    parameters={**STRICT.parameters, **PARAMETERS},
    words="the strict τJp penalty with label smoothing",
)
