"""What does the penalty cost if a step sees one other data set only?

The τJp penalty on one other data set a step, in turn (Yoshida et al. 2025): the objective of `taujp-strict`.
"""

from ..applications.linearised import LINEARISED
from .method import Method
from .taujp_strict import PARAMETERS, gradient

METHOD = Method(
    "taujp-efficient", LINEARISED, gradient, others="in turn", parameters=PARAMETERS, words="the τJp penalty"
)
