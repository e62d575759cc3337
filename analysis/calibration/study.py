"""What does `60_calibration` ask, and what does it train?"""

from dataclasses import dataclass
from typing import Annotated

from ..study import Grid, Output, Parameter, default


@dataclass(frozen=True)
class CalibrationStudy(Grid):
    methods: Annotated[list[str], Parameter("also taujp-strict")] = default(
        ["standard", "post-hoc-linearised", "linear", "taujp-efficient"]
    )
    output: Output = "runs/mini-calibration"
