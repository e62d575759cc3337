"""How much does moving one layer move the features? Kronecker factors of JᵀJ, layer by layer.

For n images with features g(x; θ) and J = ∂g/∂θ at θ₀, mean ‖J(x)τ‖² = τᵀ(mean JᵀJ)τ. The blocks of one layer each, without
those between layers, are kept in two forms (2602.17385 names them for TAK; KFAC is of Martens and Grosse 2015):

- a matrix ΔW̃ = [ΔW | Δb], of a linear layer, of attention's fused and output projection or of the last projection, with
  inputs ã (1 appended where there is a bias) and the features' gradients γ at its outputs, as tr(B ΔW̃ A ΔW̃ᵀ) with
  A = Σ_n mean_r ããᵀ and B = Σ_n mean_r γγᵀ over an image's tokens r; products between tokens are dropped;
- a vector δ, the weight or bias of a LayerNorm or the class embedding, as δᵀFδ with F = Σ_n v_n v_nᵀ and v_n the whole
  gradient of image n, summed over its tokens first: exact.

γ is a gradient of ⟨g(x), ε⟩ with ε ~ N(0, I), whose mean over ε gives Σ_k of the features' own; or of each g_k in turn.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from ..parameters import Parameters, device_of, leaves
from .forward_mode import multi_head_attention
from .memory import to_device

CHUNK = 32  # images at once, always so many: sums round the same however much memory is free
MATRICES = ("matrix", "projection")  # kinds of layers
PRODUCTS = (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__)


@dataclass(frozen=True)
class Layer:
    """A use of parameters. kind: `matrix` of weight [out, in], `projection` of weight [in, out], `norm` or `token`; bias:
    its name, or none; input, output: what came and what left; of a norm the input without weight and bias."""

    kind: str
    weight: str
    bias: str
    input: Tensor
    output: Tensor


class Watch(TorchFunctionMode):
    """Lists the layers of a forward pass that use these parameters."""

    def __init__(self, theta: Parameters):
        super().__init__()
        self.names = {id(value): name for name, value in theta.items()}
        self.layers: list[Layer] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:  # PyTorch's is one function, its own calls are not seen
            with self:
                found = multi_head_attention(*args, **kwargs)
            if found is NotImplemented:
                raise ValueError("an attention layer with a mask or with separate keys and values has no factors here")
            return found
        found = func(*args, **kwargs)
        if func is F.linear:
            self.note("matrix", *rest(args, kwargs, "input", "weight", "bias"), found)
        elif func is F.layer_norm:
            x, shape, weight, bias = rest(args, kwargs, "input", "normalized_shape", "weight", "bias")
            eps = args[4] if len(args) > 4 else kwargs.get("eps", 1e-5)
            self.note("norm", F.layer_norm(x.detach(), shape, None, None, eps), weight, bias, found)
        elif func in PRODUCTS:
            self.note("projection", args[0], args[1], None, found)
        elif func is torch.Tensor.expand and id(found._base) in self.names:
            self.note("token", found, found._base, None, found)
        return found

    def note(self, kind: str, x: Tensor, weight: Tensor | None, bias: Tensor | None, y: Tensor) -> None:
        if name := self.names.get(id(weight), ""):
            self.layers.append(Layer(kind, name, self.names.get(id(bias), ""), x.detach(), y))


def rest(args: tuple, kwargs: dict, *names: str) -> Iterator:
    """Arguments by position or by name."""
    return (args[k] if k < len(args) else kwargs.get(name) for k, name in enumerate(names))


@dataclass(frozen=True)
class Factors:
    """Σ over so many images. matrices: A [in(+1), in(+1)] and B [out, out] by weight; vectors: F [d, d] by parameter;
    biases: by weight, "" without one; projections: weights that are kept as [in, out]."""

    images: int
    matrices: dict[str, tuple[Tensor, Tensor]]
    vectors: Parameters
    biases: dict[str, str]
    projections: frozenset[str]

    def names(self) -> set[str]:
        """All parameters that have a block."""
        return {*self.matrices, *self.vectors, *filter(None, self.biases.values())}

    def times(self, name: str, matrix: Float[Tensor, "o i"]) -> Float[Tensor, "o i"]:
        """B M A, half the gradient of tr(B M A Mᵀ) by M."""
        a, b = self.matrices[name]
        return b @ matrix @ a


def kronecker_factors(
    encoder: nn.Module,
    theta0: Parameters,
    images: Shaped[Tensor, "n ..."],
    features: Callable[[Float[Tensor, "n d"]], Float[Tensor, "n d"]],
    draws: int,
    generator: torch.Generator,
    mean_over_tokens: bool = True,
) -> Factors:
    """Factors of g = features(f(x; θ₀)) over these images, in θ₀'s precision.

    draws: of ε for an image, the mean over which is taken; 0: exact, one backward pass per feature. mean_over_tokens:
    of B, too, as above; else B sums over an image's tokens. Raises ValueError for a layer whose images cannot be told from
    its tokens.
    """
    axes = image_axes(encoder, theta0, images, ("norm",))
    matrices: dict[str, tuple[Tensor, Tensor]] = {}
    vectors: Parameters = {}
    biases, projections = {}, set()
    for part in images.split(CHUNK):
        part = to_device(part, device_of(theta0))
        layers, found = watched(encoder, theta0, part)
        with torch.enable_grad():
            g = features(found)
        for layer in layers:
            if layer.kind in MATRICES:
                rows = rows_of(layer.input, bool(layer.bias))
                add(matrices, layer.weight, 0, rows.T @ rows / (len(rows) // len(part)))
                biases[layer.weight] = layer.bias
                projections |= {layer.weight} if layer.kind == "projection" else set()
        for cotangent, share in cotangents(g, draws, generator):
            outputs = [layer.output for layer in layers]
            slopes = torch.autograd.grad(g, outputs, cotangent, retain_graph=True, materialize_grads=True)
            for layer, slope in zip(layers, slopes, strict=True):
                if layer.kind in MATRICES:
                    rows = rows_of(slope, False)
                    per_image = len(rows) // len(part) if mean_over_tokens else 1
                    add(matrices, layer.weight, 1, rows.T @ rows * (share / per_image))
                    continue
                axis = axes.get(layer.weight, 0)
                uses = {layer.weight: slope * layer.input if layer.kind == "norm" else slope, layer.bias: slope}
                for name, use in uses.items():
                    if name:
                        whole = use.movedim(axis, 0).flatten(1, -2).sum(1) if use.ndim > 2 else use
                        vectors[name] = vectors.get(name, 0) + whole.T @ whole * share
    return Factors(len(images), matrices, vectors, biases, frozenset(projections))


def watched(encoder: nn.Module, theta0: Parameters, images: Tensor) -> tuple[list[Layer], Float[Tensor, "n d"]]:
    """The layers of a forward pass at θ₀, with the graph, and the encoder's features."""
    theta = leaves(theta0)
    with torch.enable_grad(), Watch(theta) as watch:
        found = functional_call(encoder, theta, (images,))
    return watch.layers, found


def image_axes(encoder: nn.Module, theta0: Parameters, images: Tensor, kinds: tuple[str, ...]) -> dict[str, int]:
    """Of each layer of these kinds the axis that grows with the images: some transformers have them first, some after the tokens."""
    one = to_device(images[:1], device_of(theta0))
    shapes = [
        {layer.weight: layer.input.shape for layer in watched(encoder, theta0, part)[0] if layer.kind in kinds}
        for part in (one, torch.cat([one, one]))
    ]
    axes = {}
    for name, shape in shapes[0].items():
        grown = [axis for axis, size in enumerate(shape) if shapes[1][name][axis] != size]
        if len(grown) != 1 or shape[grown[0]] != 1:
            raise ValueError(f"the images of {name} cannot be told from its tokens: its input of one image is {shape}")
        axes[name] = grown[0]
    return axes


def cotangents(g: Tensor, draws: int, generator: torch.Generator) -> Iterator[tuple[Tensor, float]]:
    """What the features' gradient is taken along, and the share of each."""
    for k in range(draws or g.shape[1]):
        if draws:
            yield torch.randn(g.shape, generator=generator, dtype=g.dtype).to(g.device), 1 / draws
        else:
            yield F.one_hot(torch.tensor(k, device=g.device), g.shape[1]).to(g).expand_as(g), 1.0


def rows_of(x: Tensor, with_one: bool) -> Float[Tensor, "rows d"]:
    rows = x.reshape(-1, x.shape[-1])
    return torch.cat([rows, rows.new_ones(len(rows), 1)], 1) if with_one else rows


def add(matrices: dict, name: str, place: int, more: Tensor) -> None:
    both = list(matrices.get(name, (0, 0)))
    both[place] = both[place] + more
    matrices[name] = tuple(both)
