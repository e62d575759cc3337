"""How is a forward-mode pass through a transformer made fast?

PyTorch's forward-mode differentiation, with faster rules for the functions a transformer spends its time in.

A dual number carries a primal x and a tangent ẋ; every operation maps (x, ẋ) to (g(x), ∂g/∂x·ẋ). Under `vmap`
over T tangents PyTorch's own rules copy weights and recompute what depends on x alone. The rules below

- compute what depends on the primal once for all T tangents,
- record no graph for tangents, so that reverse mode sees the primal alone,
- need two matrix products a tangent in a linear layer: ẏ = ẋWᵀ + xẆᵀ + ḃ.

Everything else takes PyTorch's rules, so any module that forward mode supports is right, if slower.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.forward_ad import make_dual, unpack_dual
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode


@contextmanager
def forward_mode() -> Iterator[None]:
    """Attention without the fused kernels, which have no forward-mode derivative, and the rules of this file."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), FasterRules():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


class FasterRules(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        rule = RULES.get(func)
        result = rule(*args, **(kwargs or {})) if rule else NotImplemented
        return func(*args, **(kwargs or {})) if result is NotImplemented else result


class Tangents(torch.autograd.Function):
    """rule(primals, tangents): all T tangents at once under vmap, one otherwise.

    A rule gets tangents [T, ...] and returns [T, ...], each with the primal's strides: PyTorch copies a tangent
    that is laid out in another way.
    """

    @staticmethod
    def forward(rule, count, *tensors):
        tangents = [None if tensor is None else tensor[None] for tensor in tensors[count:]]
        return rule(tensors[:count], tangents)[0]

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass  # no derivative of a tangent is ever taken

    @staticmethod
    def vmap(info, in_dims, rule, count, *tensors):
        if any(dim is not None for dim in in_dims[2 : 2 + count]):
            raise ValueError("vmap over tangents only: the images and parameters must be the same for all")
        tangents = []
        for tensor, dim in zip(tensors[count:], in_dims[2 + count :], strict=True):
            if tensor is not None:
                tensor = tensor.movedim(dim, 0) if dim is not None else tensor.expand(info.batch_size, *tensor.shape)
            tangents.append(tensor)
        return rule(tensors[:count], tangents), 0


def dual(primal: Tensor, rule: Callable, primals: list[Tensor | None], tangents: list[Tensor | None]) -> Tensor:
    """The primal with the tangent that `rule` gives; the primal alone where nothing moves."""
    if all(tangent is None for tangent in tangents):
        return primal
    with torch.no_grad():
        tangent = Tangents.apply(rule, len(primals), *(p if p is None else p.detach() for p in primals), *tangents)
    return make_dual(primal, tangent.to(primal.dtype))


def parts(tensor: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Primal and tangent, each None if there is none."""
    return (None, None) if tensor is None else unpack_dual(tensor)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if weight.ndim != 2:
        return NotImplemented
    (x, dx), (weight, dweight), (bias, dbias) = parts(input), parts(weight), parts(bias)
    y = F.linear(x, weight, bias)
    return dual(y, linear_rule, [x.to(y.dtype), weight.to(y.dtype)], [dx, dweight, dbias])


def linear_rule(primals: tuple[Tensor | None, ...], tangents: list[Tensor | None]) -> Tensor:
    (x, weight), (dx, dweight, dbias) = primals, tangents
    vectors = next(len(tangent) for tangent in tangents if tangent is not None)
    rows = x.reshape(-1, x.shape[-1])
    out = x.new_empty(vectors, len(rows), len(weight))
    for t in range(vectors):
        out[t] = 0 if dbias is None else dbias[t]
        if dx is not None:
            out[t].addmm_(dx[t].reshape(rows.shape).to(x.dtype), weight.T)
        if dweight is not None:
            out[t].addmm_(rows, dweight[t].T.to(x.dtype))
    return out.view(vectors, *x.shape[:-1], len(weight))


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    (x, dx), (weight, dweight), (bias, dbias) = parts(input), parts(weight), parts(bias)
    if dx is None or len(normalized_shape) != 1:
        return NotImplemented
    x = x if weight is None else x.to(weight.dtype)  # autocast keeps layer norms in float32
    y, mean, rstd = torch.native_layer_norm(x, normalized_shape, weight, bias, eps)
    return dual(y, layer_norm_rule, [x, mean, rstd, weight], [dx, dweight, dbias])


def layer_norm_rule(primals: tuple[Tensor | None, ...], tangents: list[Tensor | None]) -> Tensor:
    """w·rstd·(ẋ - mean of ẋ - x̂·mean of x̂ẋ) + x̂·ẇ + ḃ."""
    (x, mean, rstd, weight), (dx, dweight, dbias) = primals, tangents
    normalised = None if dweight is None else (x - mean).mul_(rstd)
    out = x.new_empty(dx.shape)
    for t in range(len(dx)):
        # The Jacobian of x̂ = (x - mean)·rstd is symmetric, so reverse mode's fused kernel gives its product too.
        out[t], _, _ = torch.ops.aten.native_layer_norm_backward(
            dx[t].to(x.dtype).contiguous(), x, x.shape[-1:], mean, rstd, None, None, [True, False, False]
        )
        if weight is not None:
            out[t].mul_(weight)
        if dweight is not None:
            out[t].addcmul_(normalised, dweight[t])
        if dbias is not None:
            out[t].add_(dbias[t])
    return out


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    x, dx = unpack_dual(input)

    def rule(primals: tuple[Tensor, ...], tangents: list[Tensor]) -> Tensor:
        (x,), (dx,) = primals, tangents
        return dx * torch.ops.aten.gelu_backward(torch.ones_like(x), x, approximate=approximate)

    return dual(F.gelu(x, approximate=approximate), rule, [x], [dx])


def attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    """softmax(qkᵀ·scale)·v for q, k, v of one shape [b, heads, length, width]."""
    plain = attn_mask is None and not dropout_p and not is_causal and not enable_gqa
    if not plain or not query.shape == key.shape == value.shape or query.ndim != 4:
        return NotImplemented
    return attend(query, key, value, query.shape[-1] ** -0.5 if scale is None else scale).transpose(1, 2)


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """As `attention`, [b, length, heads, width]."""
    (q, dq), (k, dk), (v, dv) = unpack_dual(q), unpack_dual(k), unpack_dual(v)
    if not dq is dk is dv is None:
        dq, dk, dv = (torch.zeros_like(z) if dz is None else dz for z, dz in ((q, dq), (k, dk), (v, dv)))
    b, heads, length, width = q.shape
    q, k, v = (z.reshape(-1, length, width) for z in (q, k, v))
    weights = torch.softmax((q * scale) @ k.mT, -1)
    y = (weights @ v).view(b, heads, length, width)

    def rule(primals: tuple[Tensor, ...], tangents: list[Tensor]) -> Tensor:
        q, k, v, weights = primals
        q, k = q * scale, k * scale
        out = y.new_empty(len(tangents[0]), b, length, heads, width)
        for t in range(len(out)):
            dq, dk, dv = (z[t].reshape(q.shape) for z in tangents)
            dweights = torch.baddbmm(dq @ k.mT, q, dk.mT).mul_(weights)
            dweights.addcmul_(weights, dweights.sum(-1, keepdim=True), value=-1)
            dy = torch.baddbmm(dweights @ v, weights, dv)
            out[t] = dy.view(b, heads, length, width).transpose(1, 2)
        return out.flatten(-2)

    merged = y.transpose(1, 2).flatten(-2)
    return dual(merged, rule, [q, k, v, weights], [dq, dk, dv]).unflatten(-1, (heads, width))


def multi_head_attention(query, key, value, _, heads, in_weight, in_bias, bias_k, bias_v, zero, dropout, out_weight,
                         out_bias, training=True, key_padding_mask=None, need_weights=True, attn_mask=None,
                         use_separate_proj_weight=False, q_proj_weight=None, k_proj_weight=None, v_proj_weight=None,
                         static_k=None, static_v=None, average_attn_weights=True, is_causal=False):  # fmt: skip
    """Self-attention of [length, b, width] by the rules above; anything else is left to PyTorch."""
    extras = (bias_k, bias_v, key_padding_mask, attn_mask, static_k, static_v)
    plain = query is key is value and query.ndim == 3 and all(extra is None for extra in extras)
    if not plain or zero or need_weights or is_causal or use_separate_proj_weight or (dropout and training):
        return NotImplemented
    x = query.transpose(0, 1)
    q, k, v = linear(x, in_weight, in_bias).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    mixed = attend(q, k, v, q.shape[-1] ** -0.5).flatten(-2)
    return linear(mixed, out_weight, out_bias).transpose(0, 1), None


RULES = {
    F.linear: linear,
    F.layer_norm: layer_norm,
    F.gelu: gelu,
    F.scaled_dot_product_attention: attention,
    F.multi_head_attention_forward: multi_head_attention,
}
