"""What does `31_negation` ask, and what does it train?"""

from dataclasses import dataclass

from ..study import Grid, Images, Output


@dataclass(frozen=True)
class NegationStudy(Grid):
    images: Images = 60
    output: Output = "runs/mini-negation"
