"""Which study is a notebook's? What a notebook asks and trains is known without running it."""

import importlib
from pathlib import Path

from .study import NOTEBOOKS

STUDIES = {
    "00_quickstart": "quickstart.study.QuickstartStudy",
    "05_pretrain_mini": "pretraining.study.PretrainingStudy",
    "10_train": "training.study.TrainingStudy",
    "20_causal_probe": "causal.study.CausalStudy",
    "30_addition": "addition.study.AdditionStudy",
    "31_negation": "negation.study.NegationStudy",
    "32_analogy": "analogy.study.AnalogyStudy",
    "33_disentanglement": "disentanglement.study.DisentanglementStudy",
    "36_explore": "explore.study.ExploreStudy",
    "40_continual": "continual.study.ContinualStudy",
    "50_public_checkpoints": "published.study.PublishedStudy",
    "51_merge": "merging.study.MergeStudy",
    "52_arena": "merging.arena_study.ArenaStudy",
    "60_calibration": "calibration.study.CalibrationStudy",
    "61_invariance": "invariance.study.InvarianceStudy",
    "62_invariant_vectors": "invariant_vectors.study.InvariantStudy",
    "90_report": "report.study.ReportStudy",
}


def study_of(notebook: Path) -> type | None:
    """None for a notebook of somebody's own, which is asked when it runs."""
    if notebook.parent.resolve() != NOTEBOOKS.resolve() or notebook.stem not in STUDIES:
        return None
    module, _, name = STUDIES[notebook.stem].rpartition(".")
    return getattr(importlib.import_module(f"analysis.{module}"), name)
