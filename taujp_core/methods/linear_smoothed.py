"""And in the tangent space? The cross-entropy of `linear` with label smoothing, as in `standard-smoothed`."""

from dataclasses import replace

from .linear import METHOD as LINEAR
from .standard_smoothed import PARAMETERS

METHOD = replace(
    LINEAR, name="linear-smoothed", parameters=PARAMETERS, words="linearised fine-tuning with label smoothing"
)
