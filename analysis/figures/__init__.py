"""How is a table shown? Three skeletons in one style, and the figures that several notebooks show."""

from .shared import (
    accuracy_versus_coefficient,
    contact_sheet,
    disentanglement_maps,
    negation_curves,
    pretraining_curves,
    tau_jp_matrix,
    training_curves,
)
from .skeletons import COLOUR_SCALE, task_colours

__all__ = [
    "COLOUR_SCALE",
    "accuracy_versus_coefficient",
    "contact_sheet",
    "disentanglement_maps",
    "negation_curves",
    "pretraining_curves",
    "task_colours",
    "tau_jp_matrix",
    "training_curves",
]
