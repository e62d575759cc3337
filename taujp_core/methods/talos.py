"""Do vectors interfere less if they move only what matters least to θ₀? Sparse fine-tuning by TaLoS.

CE(f(x; θ₀ + τ)), τ zero but in a tenth of the entries: those whose scores at θ₀ are the lowest (Iurada et al., ICLR 2025,
2504.02620). The score of entry j is s_j = Σ_x (∂ℓ_ŷ(x)/∂θ_j)² over the task's validation images, with one class ŷ drawn from
p(·|x) per image. Four rounds keep a share of `density`^(1/4), ^(2/4), ^(3/4) and `density` of all entries, by one threshold
for all tensors; what a round drops does not come back, and counts a tenth of its value while later rounds score.

Followed is the authors' code (iurada/talos-task-arithmetic), where it differs from the paper: ℓ is the sampled logit, not
its log-probability; ŷ is drawn from the model with the dropped entries at a tenth, not from θ₀ itself, from the second round
on; entries that tie with the threshold stay. (Its vision branch does not run at its head; its language branch does.)
Scored are the weights and biases of linear, convolution, attention and LayerNorm layers; nothing else moves.

A mask holds an entry whatever the optimiser does: AdamW's step and its weight decay, which here pulls τ to zero, theirs θ.
The gradient is cut to its norm over all entries of the tensors that keep one, as the code does. Before the training each
validation image takes four forward and four backward passes; a step costs one of `standard` and a copy of τ.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..applications.encoder import ENCODER
from ..models import Clip, logits
from ..parameters import Parameters, bytes_of, device_of, zeros_like
from ..products.memory import to_device
from .method import Batch, Method, Parameter, Sight
from .standard import METHOD as STANDARD

ROUNDS = 4
SOFT = 0.1  # what a dropped entry counts while others are scored
LAYERS = (nn.Linear, nn.Conv2d, nn.MultiheadAttention, nn.LayerNorm)
GRADIENTS = 2**30  # bytes of gradients at once, one per image


def scored_names(encoder: nn.Module) -> list[str]:
    """Parameters of the layers that have scores."""
    return [
        f"{place}.{name}" if place else name
        for place, module in encoder.named_modules()
        if isinstance(module, LAYERS)
        for name, _ in module.named_parameters(recurse=False)
    ]


def entries_kept(sight: Sight) -> dict[str, Bool[Tensor, "..."]]:
    """By the name of each parameter the entries that may move. Raises ValueError for a model without layers to score."""
    theta0, images = sight.clip.theta0, sight.validation.images
    names = scored_names(sight.clip.encoder)
    if not names:
        raise ValueError(
            f"talos finds nothing to score in {sight.clip.name}: a model with linear, convolution, attention or LayerNorm "
            "layers is accepted"
        )
    kept = {name: torch.full_like(value, name in names, dtype=torch.bool) for name, value in theta0.items()}
    generator = torch.Generator().manual_seed(sight.seed)
    for number in range(1, ROUNDS + 1):
        theta = {n: torch.where(kept[n], v, SOFT * v) if n in names else v for n, v in theta0.items()}
        found = scores(sight.clip, theta, names, sight.head, images, generator)
        threshold = lowest(found, kept, float(sight.parameters["density"]) ** (number / ROUNDS))
        for name in names:
            kept[name] &= found[name] <= threshold
    return kept


def lowest(found: Parameters, kept: Parameters, share: float) -> Float[Tensor, ""]:
    """The score up to which this share of all scored entries lies, among those that are kept."""
    left = torch.cat([value[kept[name]] for name, value in found.items()])
    count = int(share * sum(value.numel() for value in found.values()))
    return left.kthvalue(max(1, min(count, len(left))))[0]


def scores(
    clip: Clip, theta: Parameters, names: list[str], head: Tensor, images: Tensor, generator: torch.Generator
) -> Parameters:
    """Σ over images of the squared gradient of a sampled class's logit, for these parameters."""
    fixed, free = {n: v for n, v in theta.items() if n not in names}, {n: theta[n] for n in names}
    total, chunk = zeros_like(free), max(1, min(64, GRADIENTS // bytes_of(theta)))

    def answers(values: Parameters, image: Tensor) -> Float[Tensor, "classes"]:
        return logits(functional_call(clip.encoder, {**fixed, **values}, (image[None],)), head)[0]

    def answer(values: Parameters, image: Tensor, drawn: Tensor) -> Float[Tensor, ""]:
        return (answers(values, image) * drawn).sum()

    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            for part in images.split(chunk):
                part = to_device(part, device_of(theta))
                with torch.no_grad():
                    chances = logits(functional_call(clip.encoder, theta, (part,)), head).softmax(-1).cpu()
                drawn = torch.multinomial(chances, 1, generator=generator)[:, 0]
                one_hot = torch.nn.functional.one_hot(drawn, chances.shape[1]).to(head)
                slopes = vmap(grad(answer), in_dims=(None, 0, 0))(free, part, one_hot)
                for name, slope in slopes.items():
                    total[name] += slope.detach().square().sum(0)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    return total


def gradient(
    clip: Clip,
    head: Float[Tensor, "d classes"],
    tau: Parameters,
    batch: Batch,
    prepared: dict[str, Bool[Tensor, "..."]],
    density: float,
) -> tuple[Parameters, Float[Tensor, ""], Float[Tensor, ""]]:
    """That of `standard`, zero in tensors of which no entry moves; the mask itself is applied after the optimiser's step."""
    found, loss, penalty = STANDARD.gradient(clip, head, tau, batch)
    return {name: value * prepared[name].any() for name, value in found.items()}, loss, penalty


METHOD = Method(
    "talos",
    ENCODER,
    gradient,
    prepare=entries_kept,
    mask=lambda kept: kept,
    parameters={"density": Parameter(0.1)},
    words="TaLoS",
)
