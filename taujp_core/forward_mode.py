"""PyTorch's forward-mode differentiation, with faster rules for the functions a transformer spends its time in.

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
    """rule(primals, tangents), where tangents are [T, ...]: all of them under vmap, one otherwise."""

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
            raise NotImplementedError("vmap over tangents only: the primal must be the same for all")
        tangents = []
        for tensor, dim in zip(tensors[count:], in_dims[2 + count :], strict=True):
            if tensor is not None:
                tensor = tensor.movedim(dim, 0) if dim is not None else tensor.expand(info.batch_size, *tensor.shape)
            tangents.append(tensor)
        return rule(tensors[:count], tangents), 0


def dual(primal: Tensor, rule: Callable, primals: list[Tensor], tangents: list[Tensor | None]) -> Tensor:
    """The primal with the tangent that `rule` gives; the primal alone where nothing moves."""
    if all(tangent is None for tangent in tangents):
        return primal
    with torch.no_grad():
        tangent = Tangents.apply(rule, len(primals), *(p if p is None else p.detach() for p in primals), *tangents)
    return make_dual(primal, tangent.to(primal.dtype))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    (x, dx), (weight, dweight) = unpack_dual(x), unpack_dual(weight)
    bias, dbias = unpack_dual(bias) if bias is not None else (None, None)
    y = F.linear(x, weight, bias)
    return dual(y, linear_tangents, [x.to(y.dtype), weight.to(y.dtype)], [dx, dweight, dbias])


def linear_tangents(primals: tuple[Tensor, ...], tangents: list[Tensor | None]) -> Tensor:
    x, weight = primals
    dx, dweight, dbias = tangents
    vectors = next(len(tangent) for tangent in tangents if tangent is not None)
    rows = x.reshape(-1, x.shape[-1])
    out = x.new_empty(vectors, len(rows), len(weight))
    for t in range(vectors):
        out[t] = dbias[t] if dbias is not None else 0
        if dx is not None:
            out[t].addmm_(dx[t].reshape(rows.shape).to(x.dtype), weight.T)
        if dweight is not None:
            out[t].addmm_(rows, dweight[t].T.to(x.dtype))
    return out.view(vectors, *x.shape[:-1], len(weight))


def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    (x, dx), (weight, dweight), (bias, dbias) = (
        unpack_dual(z) if z is not None else (None, None) for z in (x, weight, bias)
    )
    if dx is None:
        return NotImplemented
    x = x if weight is None else x.to(weight.dtype)  # autocast keeps layer norms in float32
    y, mean, rstd = torch.native_layer_norm(x, normalized_shape, weight, bias, eps)

    def rule(primals: tuple[Tensor, ...], tangents: list[Tensor | None]) -> Tensor:
        x, weight, mean, rstd = primals
        dx, dweight, dbias = tangents
        normalised = (x - mean).mul_(rstd) if dweight is not None else None
        out = x.new_empty(dx.shape)
        for t in range(len(dx)):
            # The Jacobian of x ↦ (x - mean)·rstd is symmetric, so the fused backward kernel gives its product.
            out[t], _, _ = torch.ops.aten.native_layer_norm_backward(
                dx[t].to(x.dtype).contiguous(), x, normalized_shape, mean, rstd, None, None, [True, False, False]
            )
            if weight is not None:
                out[t].mul_(weight)
            if dweight is not None:
                out[t].addcmul_(normalised, dweight[t])
            if dbias is not None:
                out[t].add_(dbias[t])
        return out

    return dual(y, rule, [x, weight, mean, rstd], [dx, dweight, dbias])


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    x, dx = unpack_dual(x)

    def rule(primals: tuple[Tensor, ...], tangents: list[Tensor]) -> Tensor:
        (x,), (dx,) = primals, tangents
        if len(dx) == 1:
            return torch.ops.aten.gelu_backward(dx, x[None], approximate=approximate)
        return dx * torch.ops.aten.gelu_backward(torch.ones_like(x), x, approximate=approximate)

    return dual(F.gelu(x, approximate=approximate), rule, [x], [dx])


def attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    """softmax(qkᵀ·scale)·v for q, k, v of one shape [..., l, d]."""
    if attn_mask is not None or dropout_p or is_causal or enable_gqa or not q.shape == k.shape == v.shape:
        return NotImplemented
    (q, dq), (k, dk), (v, dv) = unpack_dual(q), unpack_dual(k), unpack_dual(v)
    if not dq is dk is dv is None:
        dq, dk, dv = (torch.zeros_like(z) if dz is None else dz for z, dz in ((q, dq), (k, dk), (v, dv)))
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    shape, flat = q.shape, (-1, *q.shape[-2:])
    q, k, v = (z.reshape(flat) for z in (q, k, v))
    weights = torch.softmax((q * scale) @ k.mT, -1)
    y = weights @ v

    def rule(primals: tuple[Tensor, ...], tangents: list[Tensor]) -> Tensor:
        q, k, v, weights = primals
        q, k = q * scale, k * scale
        out = v.new_empty(len(tangents[0]), *v.shape)
        for t in range(len(out)):
            dq, dk, dv = (z[t].reshape(flat) for z in tangents)
            dweights = torch.baddbmm(dq @ k.mT, q, dk.mT).mul_(weights)
            dweights.addcmul_(weights, dweights.sum(-1, keepdim=True), value=-1)
            out[t] = torch.baddbmm(dweights @ v, weights, dv)
        return out

    return dual(y, rule, [q, k, v, weights], [dq, dk, dv]).view(shape)


def multi_head_attention(query, key, value, _, heads, in_weight, in_bias, bias_k, bias_v, zero, dropout, out_weight,
                         out_bias, training=True, key_padding_mask=None, need_weights=True, attn_mask=None,
                         use_separate_proj_weight=False, **other):  # fmt: skip
    """Self-attention of [l, b, width] by the rules above; anything else is left to PyTorch."""
    plain = bias_k is None and not zero and key_padding_mask is None and attn_mask is None and not need_weights
    if not plain or not (query is key is value) or use_separate_proj_weight or (dropout and training):
        return NotImplemented
    x = query.transpose(0, 1)
    b, length, width = x.shape
    q, k, v = linear(x, in_weight, in_bias).view(b, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    mixed = attention(q, k, v)
    y = linear(mixed.transpose(1, 2).reshape(b, length, width), out_weight, out_bias)
    return y.transpose(0, 1), None


RULES = {
    F.linear: linear,
    F.layer_norm: layer_norm,
    F.gelu: gelu,
    F.scaled_dot_product_attention: attention,
    F.multi_head_attention_forward: multi_head_attention,
}
