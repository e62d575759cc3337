"""What does `05_pretrain_mini` ask, and what does it train?"""

from dataclasses import dataclass
from typing import Annotated

from taujp_core.mini.pretrain import PretrainConfig
from taujp_core.models import Clip, load_clip
from taujp_core.training.state import read_progress

from ..begin import check_memory
from ..paths import in_project
from ..study import WRITTEN, Parameter


@dataclass(frozen=True)
class PretrainingStudy:
    steps: Annotated[int, Parameter("optimiser steps; the shipped weights: 3000", least=1)] = 12
    batch_size: Annotated[int, Parameter("image-caption pairs per step; the shipped weights: 256", least=1)] = 32
    warmup_steps: Annotated[int, Parameter("the shipped weights: 100")] = 4
    peak_lr: Annotated[float, Parameter("of AdamW")] = 0.001
    seed: Annotated[int, Parameter("weights and pictures")] = 0
    output: Annotated[str, Parameter("folder for the weights; a stopped training goes on from there", path=WRITTEN)] = (
        "runs/pretrain-smoke"
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
