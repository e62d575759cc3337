"""What is an application? The model that a task vector makes of CLIP: its features, their gradient, and what follows."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from jaxtyping import Float, Int, Shaped
from torch import Tensor

from ..datasets import Split
from ..models import Clip
from ..parameters import Parameters

Details = TypeVar("Details")
Loss = Callable[[Float[Tensor, "n d"]], tuple[Float[Tensor, ""], Details]]


class EditedData(Protocol):
    """One data set's images under several vectors, ready for any coefficients."""

    @property
    def labels(self) -> Int[Tensor, "n"]: ...

    def edited_features(self, coefficients: Sequence[float] | Float[Tensor, "t"]) -> Float[Tensor, "n d"]:
        """Features under Σₜ αₜτₜ, one coefficient for each vector."""
        ...


class Application(ABC):
    """How a task vector τ is applied to CLIP's image encoder f at θ₀.

    plain_method: the method that trains for this application with the task's loss alone. What a suite says of it holds
        for methods that the suite does not know, and joint training is by it.
    affine: whether features are affine in τ. Then `from_encoder` of the encoder's f₀ and Jτₜ are the source, as `Products`, a curve
        over coefficients costs no further pass, and coefficients can be found by their gradient.
    in_weights: whether the model is the encoder with the parameters θ₀ + τ, so that a checkpoint of any layout holds it.
    """

    name: str
    plain_method: str
    affine: bool = False
    in_weights: bool = False

    @abstractmethod
    def features(self, clip: Clip, tau: Parameters, images: Shaped[Tensor, "n ..."]) -> Float[Tensor, "n d"]:
        """Features under τ, in chunks, without a graph.

        Raises TypeError or ValueError unless images are bytes [n, 3, s, s] of the Clip's size.
        """

    @abstractmethod
    def gradient(
        self, clip: Clip, tau: Parameters, images: Shaped[Tensor, "n ..."], loss: Loss
    ) -> tuple[Parameters, Details]:
        """Gradient with respect to τ of loss(features under τ), and what else `loss` returns. All images are one batch."""

    @abstractmethod
    def source(self, clip: Clip, taus: Sequence[Parameters], split: Split) -> EditedData:
        """A data set under these vectors. Raises what `features` raises."""

    def from_encoder(
        self, features: Float[Tensor, "n d"], changes: Float[Tensor, "*t n d"]
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "*t n d"]]:
        """Of the encoder's features, and of changes of them to first order, those of this model. What it makes of a change is a
        symmetric matrix times it: products with the transposed Jacobian go through it, too. By default nothing is changed.
        """
        return features, changes

    @abstractmethod
    def point(self, clip: Clip, tau: Parameters) -> Parameters:
        """The parameters that the encoder computes with under τ: its activations, and its Jacobian, are of these."""
