"""What does AdaMerging merge with one coefficient per task? See `adamerging.py`."""

from collections.abc import Sequence

from taujp_core.parameters import Parameters

from .adamerging import adapted
from .rival import Evidence, Rival


def adamerging_task(taus: Sequence[Parameters], evidence: Evidence) -> Parameters:
    return adapted(taus, evidence, by_layer=False)


RIVAL = Rival(
    "AdaMerging, task-wise", adamerging_task, "Yang et al. 2024, arXiv 2310.02575", images=True, class_names=True
)
