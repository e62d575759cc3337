"""Is a vector more invariant if the scale of its logits is a distribution?

Bayesian IRM (Lin et al. 2022). The encoder itself is fine-tuned.
"""

from ..applications.encoder import ENCODER
from ..invariance import bayesian_irm
from .over_environments import over_environments

PARAMETERS = {"penalty_weight": 1.0, "anneal_steps": 10, "sigma": 0.06, "samples": 10}

METHOD = over_environments("bayesian-irm", ENCODER, bayesian_irm.OBJECTIVE, PARAMETERS, words="Bayesian IRM")
