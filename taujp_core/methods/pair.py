"""Which mix of risk and penalties trains a vector without one of them going up?

PAIR (Chen et al. 2022), from `anneal_steps` on. The encoder itself is fine-tuned.
"""

from ..applications.encoder import ENCODER
from ..invariance import pair
from .over_environments import over_environments

PARAMETERS = {"anneal_steps": 10}

METHOD = over_environments("pair", ENCODER, pair.OBJECTIVE, PARAMETERS, words="PAIR")
