"""What is a rival? What its file in this folder says, as plain data and one function."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float, UInt8
from torch import Tensor

from taujp_core.applications import Application
from taujp_core.models import Clip
from taujp_core.parameters import Parameters


@dataclass(frozen=True)
class Evidence:
    """What a rival may look at beside the vectors: unlabelled training images of each vector's task, in their order.

    application: that of the vectors; heads: the tasks' zero-shot heads, which are
    made of their class names.
    """

    clip: Clip
    application: Application
    images: list[UInt8[Tensor, "_ 3 h w"]]
    heads: list[Float[Tensor, "d _"]]

    def activated_by(self, tau: Parameters) -> Parameters:
        """The parameters whose activations a vector meets: the expert's own, θ₀ + τ, in the encoder.

        In the linearisation, where every map of τ is multiplied with activations of θ₀, these are θ₀.
        """
        return self.application.point(self.clip, tau)


@dataclass(frozen=True)
class Rival:
    """A published way to make one vector of several.

    merge: τ₁ … τ_T, and `Evidence` if it looks at images, to one τ, to be used with α = 1.
    images, class_names, labels: what it needs beside the vectors; nothing of them makes it data-free.
    in_weights: whether it is defined only for vectors that are applied to the encoder's weights.
    version: raised when the same vectors and images give another merge.
    """

    name: str
    merge: Callable[..., Parameters]
    paper: str
    images: bool = False
    class_names: bool = False
    labels: bool = False
    in_weights: bool = False
    version: int = 1

    @property
    def data_free(self) -> bool:
        return not (self.images or self.class_names or self.labels)

    def is_defined(self, application: Application) -> bool:
        """Whether it takes vectors that are applied like this."""
        return application.in_weights or not self.in_weights

    def merged(self, taus: list[Parameters], evidence: Evidence) -> Parameters:
        """The rival's τ of these vectors. Raises ValueError where it is not defined for how they are applied."""
        if not self.is_defined(evidence.application):
            raise ValueError(f"{self.name} is defined for the encoder, not for {evidence.application.name} vectors")
        return self.merge(taus) if self.data_free else self.merge(taus, evidence)
