"""And in the tangent space? ib-irm of the linearised model, f₀ + Jτ."""

from ..applications import linearised
from ..invariance import ib_irm
from .ib_irm import PARAMETERS
from .over_environments import over_environments

METHOD = over_environments("ib-irm-linear", linearised.APPLICATION, ib_irm.OBJECTIVE, PARAMETERS)
