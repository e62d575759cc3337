"""What if ordinary fine-tuning is taught to doubt? Its cross-entropy with label smoothing, for experts of low confidence.

(1 − ε)·CE(f(x; θ₀ + τ), y) + ε·mean over all classes c of CE(f(x; θ₀ + τ), c), ε = `label_smoothing`: the loss of the authors' code
(katoro8989/DisTaC, commit 729dca1, `LabelSmoothing`) and PyTorch's. Merges of such experts do worse (DisTaC, ICLR 2026,
2508.01148), which makes them a test. How much they smooth, their code leaves to its caller; 0.1 is the usual share (Szegedy et
al. 2016). Nothing else differs from `standard`, nor do the passes of a step.
"""

from dataclasses import replace

from .method import Parameter
from .standard import METHOD as STANDARD

PARAMETERS = {"label_smoothing": Parameter(0.1, most=1.0)}

METHOD = replace(
    STANDARD, name="standard-smoothed", parameters=PARAMETERS, words="ordinary fine-tuning with label smoothing"
)
