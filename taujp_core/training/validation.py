"""How right is a vector on its task's validation images? Its own way, or applied in another method's."""

from dataclasses import replace

from torch import Tensor

from ..applications import Application
from ..datasets import load_split
from ..evaluation import accuracy
from ..methods import find_method
from ..models import Clip, zero_shot_head
from ..parameters import Parameters
from .config import RunConfig
from .run_store import Run


def validation_accuracy(
    clip: Clip, application: Application, tau: Parameters, head: Tensor, validation: tuple[Tensor, Tensor]
) -> float:
    images, labels = validation
    return accuracy(application.features(clip, tau, images), head, labels)


def applied_by(run: Run, config: RunConfig, clip: Clip) -> Run:
    """A run whose vector another method trained, applied in this method's way; its accuracy is measured anew."""
    task = config.suite.task(config.task)
    found = validation_accuracy(
        clip,
        find_method(config.method).application,
        run.vector.tau,
        zero_shot_head(clip, task.classes, task.templates),
        load_split(task, "validation").tensors,
    )
    # The trained method's curve is of another model; of this one the ends are known.
    metrics = run.record["metrics"] | {"validation_accuracy": found}
    ends = [(0, metrics["zero_shot_validation_accuracy"]), (config.steps, found)]
    curve = [{"step": step, "validation_accuracy": accuracy} for step, accuracy in ends]
    record = run.record | {"config": config.names(), "metrics": metrics, "curve": curve}
    return replace(run, config=config, record=record, vector=replace(run.vector, method=config.method))
