"""What does `30_addition` ask, and what does it train?"""

from dataclasses import dataclass

from ..study import OUTPUT, Grid, ask


@dataclass(frozen=True)
class AdditionStudy(Grid):
    output: str = ask("runs/mini-addition", OUTPUT)
