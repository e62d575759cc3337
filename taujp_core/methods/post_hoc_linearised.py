"""What if an ordinary vector is applied in the tangent space?

Vectors of `standard`, applied to the model linearised at θ₀ (Ortiz-Jimenez et al. 2023, sec. 4).
"""

from ..applications.linearised import LINEARISED
from .method import Method

METHOD = Method("post-hoc-linearised", LINEARISED, None, vector_of="standard", words="post-hoc linearisation")
