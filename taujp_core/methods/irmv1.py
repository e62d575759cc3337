"""Is a vector invariant if one scale of its logits is best in every environment?

IRMv1 (Arjovsky et al. 2019). The encoder itself is fine-tuned.
"""

from ..applications.encoder import ENCODER
from ..invariance import irmv1
from .over_environments import over_environments

PARAMETERS = {"penalty_weight": 1.0, "anneal_steps": 10}

METHOD = over_environments("irmv1", ENCODER, irmv1.OBJECTIVE, PARAMETERS, words="IRMv1")
