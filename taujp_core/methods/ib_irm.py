"""Does squeezing the features within environments make a vector more invariant?

IB-IRM (Ahuja et al. 2021). The encoder itself is fine-tuned.
"""

from ..applications.encoder import ENCODER
from ..invariance import ib_irm
from .over_environments import over_environments

PARAMETERS = {"penalty_weight": 1.0, "anneal_steps": 10, "variance_weight": 0.1}

METHOD = over_environments("ib-irm", ENCODER, ib_irm.OBJECTIVE, PARAMETERS, words="IB-IRM")
