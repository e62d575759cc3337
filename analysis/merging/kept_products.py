"""What are J·v and Jᵀ·u, again and again at one point, with nothing of the primal computed twice?

Jᵀu is linear in u. If its graph is kept beside that of the features, reverse mode through it gives its derivative's
transpose: (∂Jᵀu/∂u)ᵀ v = Jv. Each product then takes two matrix products a layer, where one Jv and one Jᵀu from
nothing take three each (`taujp_core.products.jacobian`), for memory: both graphs stay.
"""

import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.autograd import grad
from torch.func import functional_call

from taujp_core.parameters import Parameters, device_of, zeros_like
from taujp_core.products.forward_mode import forward_mode
from taujp_core.products.jacobian import jacobian_products, transpose_product
from taujp_core.products.memory import chunk_size, graph_bytes, memory_budget, to_device

FromEncoder = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
# What both graphs keep, in units of what a training step keeps: measured 2.4 to 2.9 on the small CLIP and ViT-B/32.
GRAPHS = 3
# At least, on a GPU, where all images may fit at once: to the metric each is a sample (`preconditioner.py`).
PARTS = 8


class KeptProducts:
    """J(x) = ∂f(x; θ)/∂θ at one θ for all these images, as products; f(x; θ) itself is `features` [n, d].

    As many images as fit into half of the memory budget keep their graphs; the others' products are computed from
    nothing. `most` bounds the kept ones further. from_encoder: of the `Application` whose Jacobian is meant, if it is not the
    encoder's.
    """

    def __init__(
        self,
        encoder: nn.Module,
        theta: Parameters,
        images: Shaped[Tensor, "n ..."],
        most: int | None = None,
        from_encoder: FromEncoder | None = None,
    ) -> None:
        if not len(images):
            raise ValueError("products with the Jacobian take at least one image")
        self.encoder, self.theta = encoder, {name: value.detach() for name, value in theta.items()}
        self.moving = {name: value.clone().requires_grad_() for name, value in self.theta.items()}
        device = device_of(theta)
        each = GRAPHS * graph_bytes(encoder, self.theta, images)
        budget = memory_budget(device) // 2
        kept = min(budget // each, len(images) if most is None else most)
        self.chunk = chunk = chunk_size(budget // PARTS, each, self.theta)
        if device.type == "cuda":
            self.chunk = chunk = min(chunk, math.ceil(len(images) / PARTS))
        self.graphs = [self.graph(to_device(part, device)) for part in images[:kept].split(chunk) if len(part)]
        self.rest = images[kept:]
        rest = [self.plain(to_device(part, device)) for part in self.rest.split(chunk) if len(part)]
        self.from_encoder = from_encoder
        self.features = torch.cat([features.detach() for features, _, _ in self.graphs] + rest)

    @torch.no_grad()
    def plain(self, images: Tensor) -> Tensor:
        return functional_call(self.encoder, self.theta, (images,))

    def graph(self, images: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """f, a u and Jᵀu of some images, with their graphs. Fused attention has no second derivative."""
        with torch.enable_grad(), forward_mode():
            features = functional_call(self.encoder, self.moving, (images,))
            u = torch.zeros_like(features, requires_grad=True)
            transposed = grad(features, self.parameters, u, create_graph=True, materialize_grads=True)
        return features, u, transposed

    @property
    def parameters(self) -> list[Tensor]:
        return list(self.moving.values())

    def forward(self, vector: Parameters) -> Float[Tensor, "n d"]:
        """J(x)·v for each image."""
        v = [vector[name] for name in self.moving]
        found = []
        for _, u, transposed in self.graphs:
            # Parameters that the features do not see have a zero here that hangs on nothing.
            seen = [(part, value) for part, value in zip(transposed, v, strict=True) if part.requires_grad]
            found.append(grad([part for part, _ in seen], u, [value for _, value in seen], retain_graph=True)[0])
        if len(self.rest):
            found.append(jacobian_products(self.encoder, self.theta, [vector], self.rest)[1][0])
        return self.seen(torch.cat(found), slice(None))

    def seen(self, changes: Float[Tensor, "m d"], rows: slice) -> Float[Tensor, "m d"]:
        """What is made of changes of these images' features; a symmetric matrix for each image."""
        return self.from_encoder(self.features[rows], changes)[1] if self.from_encoder else changes

    def transpose(self, cotangent: Float[Tensor, "n d"]) -> Parameters:
        """Jᵀu = Σ over images of J(x)ᵀu(x)."""
        total = zeros_like(self.theta)
        for part in self.parts(cotangent):
            for name, value in part.items():
                total[name].add_(value)
        return total

    @property
    def part_count(self) -> int:
        return len(self.graphs) + math.ceil(len(self.rest) / self.chunk)

    def parts(self, cotangent: Float[Tensor, "n d"]) -> Iterator[Parameters]:
        """Jᵀu of some images at a time; all parts together are `transpose`."""
        start = 0
        for features, _, _ in self.graphs:
            rows = slice(start, start + len(features))
            change = self.seen(cotangent[rows], rows)
            found = grad(features, self.parameters, change, retain_graph=True, materialize_grads=True)
            yield dict(zip(self.moving, found, strict=True))
            start += len(features)
        for images in self.rest.split(self.chunk):
            if len(images):
                rows = slice(start, start + len(images))
                yield transpose_product(self.encoder, self.theta, self.seen(cotangent[rows], rows), images)
                start += len(images)
