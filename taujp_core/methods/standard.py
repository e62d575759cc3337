"""What is ordinary fine-tuning? CE(f(x; θ₀ + τ)) (Ilharco et al. 2023)."""

from ..applications import encoder
from .method import Method, of_the_task

METHOD = Method("standard", encoder.APPLICATION, of_the_task(encoder.APPLICATION))
