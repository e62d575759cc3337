"""And in the tangent space? irmv1 of the linearised model, f₀ + Jτ."""

from ..applications.linearised import LINEARISED
from ..invariance import irmv1
from .irmv1 import PARAMETERS
from .over_environments import over_environments

METHOD = over_environments("irmv1-linear", LINEARISED, irmv1.OBJECTIVE, PARAMETERS)
