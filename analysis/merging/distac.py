"""Can an expert be mended before a merge? Distillation into a shorter vector, or into surer answers: DisTaC.

Yoshida et al., ICLR 2026 (2508.01148). The expert τ teaches a student that starts at κτ, on unlabelled images of its own task:

    T_t·T_s · mean over images of KL(σ(z_t/T_t) ‖ σ(z_s/T_s)) + β·‖τ_s − κτ‖²

z_t, z_s: logits of teacher and student by the task's zero-shot head; σ: softmax. `shorter` takes T_t = T_s = 10 and a κ that gives
the student the norm that is wanted; `surer` takes κ = 1, T_t = 1 and T_s = 10, so that the student's logits become larger.

Followed is the authors' code (katoro8989/DisTaC, commit 729dca1): Adam without weight decay; its learning rate only rises, for
the 500 steps of the warm-up are all that are taken; the gradient 2β(τ_s − κτ) is added before the gradient is cut to norm 1;
β = 0.1 and batches of 128 images as in its README and script. Its learning rate, 1e-5, is that of its fine-tuning. Its images
are augmented, ours are whole pictures, so that the teacher answers once for each.

Verified against: the loss and two steps written out with autograd, in float64. The authors' code was read and not run.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from taujp_core.datasets import load_split, task_identity
from taujp_core.evaluation import check_finite
from taujp_core.identity import digest
from taujp_core.models import Clip, logits, zero_shot_head
from taujp_core.optimisation import batch_indices
from taujp_core.parameters import device_of
from taujp_core.products.memory import to_device
from taujp_core.progress import Progress
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector

VERSION = 1  # raised when the same vector and images give another student
ANCHOR = 0.1  # β
CLIP_NORM = 1.0  # of the gradient, the anchor's with it
BATCH = 128  # images per step, fewer where there are fewer


@dataclass(frozen=True)
class Distillation:
    """scale: κ; teacher, student: temperatures T_t and T_s; peak_lr: of the last step."""

    scale: float
    teacher: float
    student: float
    steps: int
    peak_lr: float
    batch_size: int = BATCH


def shorter(norm: float, wanted: float, steps: int, peak_lr: float, batch_size: int = BATCH) -> Distillation:
    """For an expert whose vector has this norm and shall have another."""
    return Distillation(wanted / norm, 10.0, 10.0, steps, peak_lr, batch_size)


def surer(steps: int, peak_lr: float, batch_size: int = BATCH) -> Distillation:
    """For an expert of low confidence."""
    return Distillation(1.0, 1.0, 10.0, steps, peak_lr, batch_size)


def divergence(
    student: Float[Tensor, "n classes"], aims: Float[Tensor, "n classes"], how: Distillation
) -> Float[Tensor, ""]:
    """T_t·T_s · mean over images of KL(aims ‖ σ(student/T_s)); aims: the teacher's σ(z_t/T_t)."""
    return how.teacher * how.student * F.kl_div((student / how.student).log_softmax(-1), aims, reduction="batchmean")


def distilled(
    clip: Clip, vector: TaskVector, images: Shaped[Tensor, "n ..."], head: Float[Tensor, "d classes"], how: Distillation
) -> TaskVector:
    """The student of this expert, applied as it is, from its task's unlabelled images and head.

    Raises ValueError without images, FloatingPointError if the student stops being finite.
    """
    if not len(images):
        raise ValueError(f"the repair of {vector.task} takes at least one image")
    application, teacher = vector.application, vector.like(clip.theta0).tau
    aims = (logits(application.features(clip, teacher, images), head) / how.teacher).softmax(-1)
    start = {name: how.scale * value for name, value in teacher.items()}
    tau = {name: value.clone() for name, value in start.items()}
    optimizer = torch.optim.Adam(tau.values())
    size, progress = min(how.batch_size, len(images)), Progress(f"repair of {vector.task}", how.steps, unit="step")
    for step in range(how.steps):
        rows = torch.as_tensor(batch_indices(len(images), size, step, 0))
        aim = aims[rows.to(aims.device)]

        def objective(features: Tensor, aim: Tensor = aim) -> tuple[Tensor, None]:
            return divergence(logits(features.to(head.dtype), head), aim, how), None

        slope, _ = application.gradient(clip, tau, to_device(images[rows], device_of(tau)), objective)
        for name, value in tau.items():
            value.grad = slope[name] + 2 * ANCHOR * (value - start[name])
        torch.nn.utils.clip_grad_norm_(tau.values(), CLIP_NORM)
        for group in optimizer.param_groups:
            group["lr"] = how.peak_lr * (step + 1) / how.steps
        optimizer.step()
        progress.advance(1)
    progress.close()
    check_finite(f"the repaired {vector.method} vector of {vector.task}", list(tau.values()))
    return replace(vector, tau={name: value.detach() for name, value in tau.items()})


def repaired(clip: Clip, suite: Suite, vector: TaskVector, images: int, how: Distillation, folder: Path) -> TaskVector:
    """`distilled` on the first `images` training images of the vector's task, all for 0.

    Kept in the folder: what was stopped goes on with the vectors that are there.
    """
    task = suite.task(vector.task)
    decides = {
        "version": VERSION,
        "vector": [vector.task, vector.application.name, vector.digest()],
        "how": [*asdict(how).values(), ANCHOR, CLIP_NORM],
        "images": images,
        "data": task_identity(task),
        "model": [suite.model, suite.pretrained, clip.fingerprint],
    }
    file = folder / f"{digest(decides)}.safetensors"
    if not file.is_file():
        shown = load_split(task, "train").first(images).images
        head = zero_shot_head(clip, task.classes, task.templates)
        distilled(clip, vector, shown, head, how).save(file)
    return replace(TaskVector.load(file, clip), method=vector.method)


def norm_of_others(vectors: Sequence[TaskVector], place: int) -> float:
    """Mean norm of the other vectors, which the repair of the one at this place aims at."""
    norms = [vector.norm() for number, vector in enumerate(vectors) if number != place]
    return sum(norms) / len(norms)
