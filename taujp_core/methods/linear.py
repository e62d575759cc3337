"""What is fine-tuning in the tangent space?

Fine-tuning of the linearised model: CE(f₀ + Jτ) (Ortiz-Jimenez et al. 2023, eq. 4).
"""

from jaxtyping import Float
from torch import Tensor

from ..evaluation import cross_entropy
from ..models import Clip
from ..parameters import Parameters
from ..products.jacobian import linearised_gradient
from .method import Batch, Method, no_penalty


def gradient(
    clip: Clip, head: Float[Tensor, "d classes"], tau: Parameters, batch: Batch, prepared: object = None
) -> tuple[Parameters, Float[Tensor, ""], Float[Tensor, ""]]:
    """Gradient of CE(f₀ + Jτ), the loss, and 0."""

    def objective(f0: Tensor, products: Tensor) -> tuple[Tensor, Tensor]:
        loss = cross_entropy(f0 + products, head, batch.labels)
        return loss, loss.detach()

    found, loss = linearised_gradient(clip.encoder, clip.theta0, tau, batch.images, objective)
    return found, loss, no_penalty(loss)


METHOD = Method("linear", "linearised", gradient)
