"""What is computed from runs?

Products, coefficients, interference, figures, batches; and a folder per study, with its parameters and its plan.
"""

import taujp_core  # noqa: F401  before anything that takes time, for it sees to Ctrl-C during imports
