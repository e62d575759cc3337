"""And in the tangent space? ib-irm of the linearised model, f₀ + Jτ."""

from ..applications.linearised import LINEARISED
from ..invariance import ib_irm
from .ib_irm import PARAMETERS
from .over_environments import over_environments

METHOD = over_environments("ib-irm-linear", LINEARISED, ib_irm.OBJECTIVE, PARAMETERS)
