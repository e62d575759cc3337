"""And in the tangent space? pair of the linearised model, f₀ + Jτ."""

from ..applications.linearised import LINEARISED
from ..invariance import pair
from .over_environments import over_environments
from .pair import PARAMETERS

METHOD = over_environments("pair-linear", LINEARISED, pair.OBJECTIVE, PARAMETERS)
