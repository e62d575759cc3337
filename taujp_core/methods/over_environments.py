"""How does an invariant objective train a vector? On CLIP's logits of every environment, at their scale.

The task's own batch is one environment, the batches of `Batch.environments` are the others; the objective is one of
`taujp_core.invariance`. Its features are those of the method's application, before normalisation. PAIR takes its gradients
with respect to these: the head that follows is frozen, so they are where the losses part.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from ..applications import Application
from ..invariance import Environment, Objective, Step
from ..invariance.objective import invariance_penalty, losses
from ..models import Clip, logits
from ..parameters import Parameters
from .method import Batch, Method, Parameter


def over_environments(
    name: str, application: Application, objective: Objective, defaults: Mapping[str, int | float], words: str = ""
) -> Method:
    """The method that minimises this objective; `defaults` are its parameters, which a run can change."""

    def value(
        features: Float[Tensor, "n d"], head: Float[Tensor, "d classes"], batch: Batch, parameters: Mapping
    ) -> tuple[Float[Tensor, ""], tuple[Tensor, Tensor]]:
        """The objective, and beside it the risk mean_e CE_e and mean_e g_e²."""
        labels = [batch.labels, *(labels for _, labels in batch.environments)]
        parts = features.to(head.dtype).split([len(part) for part in labels])
        environments = [Environment(logits(part, head), y, part) for part, y in zip(parts, labels, strict=True)]
        step = Step(batch.step, last_layer=(features,), generator=torch.Generator().manual_seed(batch.step))
        beside = losses(environments).mean().detach(), invariance_penalty(environments).detach()
        return objective.value(environments, step, **objective.with_changes(parameters)), beside

    def gradient(
        clip: Clip, head: Tensor, tau: Parameters, batch: Batch, prepared: object = None, **parameters: int | float
    ) -> tuple[Parameters, Tensor, Tensor]:
        found, (loss, penalty) = application.gradient(
            clip, tau, images_of(batch), lambda features: value(features, head, batch, parameters)
        )
        return found, loss, penalty

    parameters = {name: Parameter(default) for name, default in defaults.items()}
    return Method(name, application, gradient, others="environments", parameters=parameters, words=words)


def images_of(batch: Batch) -> Tensor:
    """All environments' images, the task's own first."""
    return torch.cat([batch.images, *(images for images, _ in batch.environments)])
