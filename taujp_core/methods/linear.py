"""What is fine-tuning in the tangent space? CE(f₀ + Jτ) (Ortiz-Jimenez et al. 2023, eq. 4)."""

from ..applications.linearised import LINEARISED
from .method import Method, of_the_task

METHOD = Method("linear", LINEARISED, of_the_task(LINEARISED), words="linearised fine-tuning")
