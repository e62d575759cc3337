"""What does `30_addition` ask, and what does it train?"""

from dataclasses import dataclass

from ..study import Grid, Output


@dataclass(frozen=True)
class AdditionStudy(Grid):
    output: Output = "runs/mini-addition"
