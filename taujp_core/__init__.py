"""What does everything else stand on?

Models, Jacobian products, task vectors, data sets, fine-tuning and the run store.
"""

import warnings

# Noise of other packages at import, with file paths that have no place in a notebook's output: tqdm wants widgets,
# and torch.jit.script, which a dependency of open_clip calls, is deprecated.
warnings.filterwarnings("ignore", message="IProgress not found")
warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=FutureWarning)
