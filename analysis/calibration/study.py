"""What does `60_calibration` ask, and what does it train?"""

from dataclasses import dataclass

from ..study import OUTPUT, Grid, ask


@dataclass(frozen=True)
class CalibrationStudy(Grid):
    methods: list[str] = ask(["standard", "post-hoc-linearised", "linear", "taujp-efficient"], "also taujp-strict")
    output: str = ask("runs/mini-calibration", OUTPUT)
