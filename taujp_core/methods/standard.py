"""What is ordinary fine-tuning? CE(f(x; θ₀ + τ)) (Ilharco et al. 2023)."""

from ..applications.encoder import ENCODER
from .method import Method, of_the_task

METHOD = Method("standard", ENCODER, of_the_task(ENCODER), words="ordinary fine-tuning")
