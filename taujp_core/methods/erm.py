"""What do the environments' mean risks train?

mean_e CE_e, the rival of every invariant objective. The encoder itself is fine-tuned.
"""

from ..applications.encoder import ENCODER
from ..invariance import erm
from .over_environments import over_environments

METHOD = over_environments("erm", ENCODER, erm.OBJECTIVE, {}, words="ERM")
