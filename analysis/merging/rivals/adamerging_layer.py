"""What does AdaMerging merge with one coefficient per task and parameter tensor? See `adamerging.py`."""

from collections.abc import Sequence

from taujp_core.parameters import Parameters

from .adamerging import adapted
from .rival import Evidence, Rival


def adamerging_layer(taus: Sequence[Parameters], evidence: Evidence) -> Parameters:
    return adapted(taus, evidence, by_layer=True)


RIVAL = Rival(
    "AdaMerging, layer-wise", adamerging_layer, "Yang et al. 2024, arXiv 2310.02575", images=True, class_names=True
)
