"""How far do attention's weights alone get? CE(f(x; θ₀ + τ)), τ zero but in two tensors per block.

Jin et al., ICLR 2025 (2407.07089). They train the input projection of query, key and value and the output
projection of every attention layer of the image encoder, and neither the biases nor anything else: so their code of 2024
(kyrie-23/linear_task_arithmetic, commit bf5b235). Their present code (since c049e9b) selects no tensor at all, for there a
module must be attention and linear at once.

A step costs what a step of `standard` costs: the gradient is taken of all tensors, and the optimiser moves these.
"""

from ..applications.encoder import ENCODER
from .method import Method, of_the_task


def moves(name: str) -> bool:
    """Whether it is the weight [3d, d] or [d, d] of an attention layer's projection."""
    return name.endswith(("attn.in_proj_weight", "attn.out_proj.weight"))


METHOD = Method("attention-only", ENCODER, of_the_task(ENCODER), moves=moves, words="attention-only fine-tuning")
