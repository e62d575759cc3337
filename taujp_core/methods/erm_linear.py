"""And in the tangent space? erm of the linearised model, f₀ + Jτ."""

from ..applications.linearised import LINEARISED
from ..invariance import erm
from .over_environments import over_environments

METHOD = over_environments("erm-linear", LINEARISED, erm.OBJECTIVE, {})
