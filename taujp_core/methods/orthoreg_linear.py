"""And in the tangent space? OrthoReg's penalty on every matrix of the linearised model, f₀ + Jτ.

As `orthoreg`, with every tensor of two axes, the positional embedding [tokens, d] and the projection [d, out] among them, as
the authors' code has it. A step costs one of `linear` and, per matrix, two products of its size.
"""

from .linear import METHOD as LINEAR
from .orthoreg import orthogonal

METHOD = orthogonal("orthoreg-linear", LINEAR)
