"""What is fine-tuning in the tangent space? CE(f₀ + Jτ) (Ortiz-Jimenez et al. 2023, eq. 4)."""

from ..applications import linearised
from .method import Method, of_the_task

METHOD = Method("linear", linearised.APPLICATION, of_the_task(linearised.APPLICATION))
