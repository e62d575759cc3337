"""What does `05_pretrain_mini` ask, and what does it train?"""

from dataclasses import dataclass

from taujp_core.mini.pretrain import PretrainConfig
from taujp_core.models import Clip
from taujp_core.pretrained import load_clip
from taujp_core.training.state import read_progress

from ..notebook_parameters import check_memory
from ..paths import in_project
from ..study import WRITTEN, ask


@dataclass(frozen=True)
class PretrainingStudy:
    steps: int = ask(12, "optimiser steps; the shipped weights: 3000", least=1)
    batch_size: int = ask(32, "image-caption pairs per step; the shipped weights: 256", least=1)
    warmup_steps: int = ask(4, "the shipped weights: 100")
    peak_lr: float = ask(0.001, "of AdamW")
    seed: int = ask(0, "weights and pictures")
    output: str = ask(
        "runs/pretrain-smoke", "folder for the weights; a stopped training goes on from there", path=WRITTEN
    )

    def plan(self) -> PretrainConfig:
        return PretrainConfig(self.steps, self.batch_size, self.peak_lr, self.seed, self.warmup_steps)

    def check(self, plan: PretrainConfig, clip: Clip | None) -> None:
        """Raises ValueError for a batch that does not fit into memory, and a folder with another pre-training."""
        check_memory(load_clip("mini", device="cpu"), plan.batch_size, 1)
        folder = in_project(self.output)
        state = folder / "state.safetensors"
        if state.is_file() and (theirs := read_progress(state)["config"]) != vars(plan):
            raise ValueError(f"{folder} holds a pre-training with other parameters {theirs}: choose another folder")
