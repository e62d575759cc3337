"""What does `31_negation` ask, and what does it train?"""

from dataclasses import dataclass

from ..study import IMAGES, OUTPUT, Grid, ask


@dataclass(frozen=True)
class NegationStudy(Grid):
    images: int = ask(60, IMAGES)
    output: str = ask("runs/mini-negation", OUTPUT)
