"""And in the tangent space? pair of the linearised model, f₀ + Jτ."""

from ..applications import linearised
from ..invariance import pair
from .over_environments import over_environments
from .pair import PARAMETERS

METHOD = over_environments("pair-linear", linearised.APPLICATION, pair.OBJECTIVE, PARAMETERS)
