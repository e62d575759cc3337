"""What does everything else stand on?

Models, Jacobian products, task vectors, data sets, fine-tuning and the run store.
"""

import os
import sys
import warnings

# Threads of a small model that spin while they wait take the cores of whatever else runs: benchmarks/README.md. OpenMP
# reads this when PyTorch is imported; what is set already stays.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# Noise of other packages at import, with file paths that have no place in a notebook's output: tqdm wants widgets,
# and torch.jit.script, which a dependency of open_clip calls, is deprecated.
warnings.filterwarnings("ignore", message="IProgress not found")
warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=FutureWarning)


def quietly(kind: type[BaseException], error: BaseException, trace: object) -> None:
    """In place of a traceback through other packages' imports."""
    if issubclass(kind, KeyboardInterrupt):
        print("stopped; the same command goes on", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


if sys.argv[:1] == ["-m"]:  # `python -m` imports a module of this project; its `main` sees to Ctrl-C later
    sys.excepthook = quietly
