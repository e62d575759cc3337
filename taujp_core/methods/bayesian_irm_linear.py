"""And in the tangent space? bayesian-irm of the linearised model, f₀ + Jτ."""

from ..applications.linearised import LINEARISED
from ..invariance import bayesian_irm
from .bayesian_irm import PARAMETERS
from .over_environments import over_environments

METHOD = over_environments("bayesian-irm-linear", LINEARISED, bayesian_irm.OBJECTIVE, PARAMETERS)
