"""What if an ordinary vector is applied in the tangent space?

Vectors of `standard`, applied to the model linearised at θ₀ (Ortiz-Jimenez et al. 2023, sec. 4).
"""

from ..applications import linearised
from .method import Method

METHOD = Method("post-hoc-linearised", linearised.APPLICATION, None, vector_of="standard")
