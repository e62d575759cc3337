"""What goes into each linear map of an encoder, and into each of its blocks?

Hooks on modules would miss `out_proj`, whose weight attention hands to a function; so functions are listened to, and
the parameter that they are called with says which map it is.
"""

import inspect
import re
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from taujp_core.evaluation import ON_CPU, ON_GPU
from taujp_core.parameters import Parameters, device_of
from taujp_core.products.memory import to_device

from .matrices import is_linear_map

ATTENTION = inspect.signature(F.multi_head_attention_forward)


class Listener(TorchFunctionMode):
    """Calls heard(name, x) for whatever is multiplied with a parameter or normalised by it; x is [b, tokens, in]."""

    def __init__(self, theta: Parameters, heard: Callable[[str, Tensor], None]):
        super().__init__()
        self.names = {id(value): name for name, value in theta.items()}
        self.heard = heard

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.linear:
            self.hear(args[1], args[0])
        elif func is F.layer_norm:
            self.hear(args[2] if len(args) > 2 else kwargs["weight"], args[0])
        elif func is F.multi_head_attention_forward:
            return self.attention(*args, **kwargs)
        return func(*args, **kwargs)

    def hear(self, parameter: Tensor, x: Tensor) -> None:
        if id(parameter) in self.names:
            self.heard(self.names[id(parameter)], x)

    def attention(self, *args, **kwargs) -> tuple[Tensor, Tensor | None]:
        """The heads' outputs are what leaves attention if `out_proj` is the identity. In here x is [tokens, b, in]."""
        call = ATTENTION.bind(*args, **kwargs)
        weight, bias = call.arguments["out_proj_weight"], call.arguments["out_proj_bias"]
        call.arguments["out_proj_weight"] = torch.eye(len(weight), dtype=weight.dtype, device=weight.device)
        call.arguments["out_proj_bias"] = None
        mixed, attended = F.multi_head_attention_forward(*call.args, **call.kwargs)
        self.hear(call.arguments["in_proj_weight"], call.arguments["query"].transpose(0, 1))
        self.hear(weight, mixed.transpose(0, 1))
        return F.linear(mixed, weight, bias), attended


@torch.no_grad()
def listen(
    module: nn.Module, theta: Parameters, inputs: Shaped[Tensor, "n ..."], heard: Callable[[str, Tensor], None]
) -> Tensor:
    """The module's outputs with parameters θ; on the way heard(name, x) for each linear map and layer norm.

    All in chunks, so that `heard` is called several times for each. Raises ValueError without inputs.
    """
    if not len(inputs):
        raise ValueError("activations take at least one image")
    device = device_of(theta)
    outputs = []
    for part in inputs.split(ON_CPU if device.type == "cpu" else ON_GPU):
        with Listener(theta, heard):
            outputs.append(functional_call(module, theta, (to_device(part, device),)))
    return torch.cat(outputs)


def second_moments(
    module: nn.Module, theta: Parameters, inputs: Shaped[Tensor, "n ..."]
) -> dict[str, Float[Tensor, "in in"]]:
    """For each linear map the mean of xxᵀ over tokens and images, in float64; nothing larger is kept."""
    sums: dict[str, Tensor] = {}
    rows: dict[str, int] = {}

    def add(name: str, x: Tensor) -> None:
        if is_linear_map(name, theta[name]):
            x = x.flatten(0, -2)
            sums[name] = sums.get(name, 0) + (x.mT @ x).double()
            rows[name] = rows.get(name, 0) + len(x)

    listen(module, theta, inputs, add)
    return {name: total / rows[name] for name, total in sums.items()}


def blocks_of(encoder: nn.Module) -> dict[str, nn.Module]:
    """open_clip's residual blocks, from the first to the last, by the prefix of their parameters.

    Raises ValueError for an encoder without them.
    """
    found = {f"{name}.": module for name, module in encoder.named_modules() if re.search(r"\.resblocks\.\d+$", name)}
    if not found:
        raise ValueError("merging block by block takes an encoder with open_clip's residual blocks")
    return found


def of_block(theta: Parameters, prefix: str) -> Parameters:
    """A block's own parameters, by the names that they have in it."""
    return {name.removeprefix(prefix): value for name, value in theta.items() if name.startswith(prefix)}


@torch.no_grad()
def first_block_inputs(encoder: nn.Module, theta: Parameters, images: Shaped[Tensor, "n ..."]) -> Tensor:
    """What the encoder's embedding with parameters θ hands to its first block, [n, tokens, width]."""
    parts = []
    first = next(iter(blocks_of(encoder).values()))
    hook = first.register_forward_pre_hook(lambda module, inputs: parts.append(inputs[0]))
    try:
        listen(encoder, theta, images, lambda name, x: None)
    finally:
        hook.remove()
    return torch.cat(parts)
