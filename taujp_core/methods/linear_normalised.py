"""What is fine-tuning in the tangent space of normalised features? CE(u + J_u τ), u = f/‖f‖: TAK's model without its penalty."""

from ..applications.linearised_normalised import LINEARISED_NORMALISED
from .method import Method, of_the_task

METHOD = Method(
    "linear-normalised",
    LINEARISED_NORMALISED,
    of_the_task(LINEARISED_NORMALISED),
    words="linearised fine-tuning of normalised features",
)
