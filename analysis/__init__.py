"""What is computed from runs?

Products, coefficients, interference, figures, batches; a folder a study; and the door of the notebooks.
"""

import taujp_core  # noqa: F401  before anything that takes time, for it sees to Ctrl-C during imports
