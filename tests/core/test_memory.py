"""Chunks: what fits is estimated, measured, and halved where it did not fit."""

import warnings

import pytest
import torch
from conftest import random_images, random_like
from towers import open_clip_tower, peak_bytes, relative_error

from taujp_core.models import ImageEncoder
from taujp_core.products import jacobian, memory
from taujp_core.products.jacobian import gauss_newton_product, jacobian_products, transpose_product
from taujp_core.products.precision import precision

CPU = torch.device("cpu")


def test_chunks_of_vectors_and_images_change_nothing(mini64, monkeypatch):
    images, u = random_images(7), torch.randn(7, 128, dtype=torch.float64)
    taus = [random_like(mini64.theta0, seed) for seed in (3, 4, 5)]

    def everything():
        return (
            *jacobian_products(mini64.encoder, mini64.theta0, taus, images),
            *gauss_newton_product(mini64.encoder, mini64.theta0, taus[0], images).values(),
            *transpose_product(mini64.encoder, mini64.theta0, u, images).values(),
        )

    whole = everything()
    theta_bytes = sum(value.nbytes for value in mini64.theta0.values())
    largest, total = memory.activation_bytes(mini64.encoder, mini64.theta0, images)
    batches, own = [], jacobian.functional_call

    def counted(encoder, theta, arguments):
        batches.append(len(arguments[0]))
        return own(encoder, theta, arguments)

    monkeypatch.setattr(jacobian, "functional_call", counted)
    # Room for 2 vectors and, where no graph is kept, 2 images.
    monkeypatch.setattr(memory, "memory_budget", lambda device: 4 * theta_bytes)
    room = 2 * 4 * 3 * largest
    monkeypatch.setattr(jacobian, "chunk_size", lambda budget, image_bytes, theta0: max(1, room // image_bytes))
    graph = max(1, room // (2 * total))
    for ours, expected in zip(everything(), whole, strict=True):
        assert (ours - expected).norm() <= 1e-12 * expected.norm()
    # The last group is one vector, which leaves room for more images.
    of_graphs = [min(graph, 7 - start) for start in range(0, 7, graph)]
    assert batches == [2, 2, 2, 1, 2, 2, 2, 1, *of_graphs, *of_graphs]


def test_chunk_sizes(mini):
    theta_bytes = memory.bytes_of(mini.theta0)
    assert memory.chunk_size(10 * 2**20, 2**20, mini.theta0) == 10
    assert memory.chunk_size(2**40, 2**20, mini.theta0) == 128  # a CPU's share
    assert memory.chunk_size(-5, 2**20, mini.theta0) == 1
    large = dict.fromkeys("abcdefghijklmnopqrst", torch.empty(2**23))  # 20 times the same 32 MiB
    assert memory.chunk_size(2**40, 2**20, large) == 640
    assert theta_bytes == 4 * sum(value.numel() for value in mini.theta0.values())


def test_running_out_of_memory_halves_the_budget_with_a_notice(mini64, monkeypatch):
    images, tau = random_images(9), random_like(mini64.theta0, 1)
    _, expected = jacobian_products(mini64.encoder, mini64.theta0, [tau], images)
    own, batches = jacobian.products_of, []

    def products_of(encoder, theta0, stacked, images):
        if len(images) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        batches.append(len(images))
        return own(encoder, theta0, stacked, images)

    monkeypatch.setattr(jacobian, "products_of", products_of)
    with pytest.warns(UserWarning, match=r"cpu ran out of memory: trying again within \d+ MiB"):
        _, products = jacobian_products(mini64.encoder, mini64.theta0, [tau], images)
    assert relative_error(products, expected) < 1e-12
    assert max(batches) <= 3


def test_errors_that_are_not_memory_pass(mini64, monkeypatch):
    def products_of(*args):
        raise RuntimeError("something else")

    monkeypatch.setattr(jacobian, "products_of", products_of)
    with warnings.catch_warnings(), pytest.raises(RuntimeError, match="something else"):
        warnings.simplefilter("error")
        jacobian_products(mini64.encoder, mini64.theta0, [mini64.theta0], random_images(2))


@pytest.mark.parametrize("heads", [3, 2])  # PyTorch has a fused attention for even numbers, which must not be counted
def test_measured_memory_stays_within_the_estimate(heads):
    """Chunk sizes rest on 4·(1 + T) of the largest tensor for products, and on all tensors twice for a graph."""
    torch.manual_seed(0)
    tower = open_clip_tower(width=64 * heads, heads=heads, layers=4)
    encoder = ImageEncoder(tower, (0.5,) * 3, (0.25,) * 3).eval().requires_grad_(False)
    theta0 = dict(encoder.named_parameters())
    images, taus = random_images(48), [random_like(theta0, seed) for seed in range(4)]
    largest, total = memory.activation_bytes(encoder, theta0, images)
    stacked = {name: torch.stack([tau[name] for tau in taus]) for name in theta0}
    with torch.no_grad():
        peak = peak_bytes(lambda: jacobian.products_of(encoder, theta0, stacked, images), CPU)
    assert 0.3 < peak / (len(images) * 4 * 5 * largest) < 1
    theta_bytes = sum(value.nbytes for value in theta0.values())
    peak = peak_bytes(lambda: gauss_newton_product(encoder, theta0, taus[0], images), CPU)
    assert 0.1 < (peak - 2 * theta_bytes) / (len(images) * 2 * total) < 1


def test_estimates_under_autocast_do_not_count_casts_of_weights(mini):
    exact = memory.activation_bytes(mini.encoder, mini.theta0, random_images(1))
    with precision("bf16", CPU):
        found = memory.activation_bytes(mini.encoder, mini.theta0, random_images(1))
    assert 0.4 * exact[0] < found[0] <= exact[0]
    assert 0.4 * exact[1] < found[1] < 1.5 * exact[1]


def test_graph_bytes_are_what_the_backward_pass_needs(small):
    """An image's numbers in float64: the convolution keeps its input, layer norm its input, mean and scale, tanh its
    output, which is the linear map's input."""
    network, theta = small
    kept = 3 * 32 * 32 + 64 + 2 + 64
    assert memory.graph_bytes(network, theta, random_images(1)) == 8 * kept


def test_an_encoder_is_measured_once_for_each_image_size_and_number_format(small, monkeypatch):
    network, theta = small
    calls, own = [], memory.functional_call
    monkeypatch.setattr(memory, "functional_call", lambda *arguments: calls.append(1) or own(*arguments))
    first = (
        memory.graph_bytes(network, theta, random_images(1)),
        memory.activation_bytes(network, theta, random_images(1)),
    )
    assert len(calls) == 4  # with two and with three images
    again = (
        memory.graph_bytes(network, theta, random_images(5)),
        memory.activation_bytes(network, theta, random_images(5)),
    )
    assert again == first and len(calls) == 4
    halves = {name: value.float() for name, value in theta.items()}
    assert memory.graph_bytes(network, halves, random_images(1)) == first[0] / 2


def test_a_training_step_takes_no_less_than_its_graph(mini):
    largest, everything = memory.activation_bytes(mini.encoder, mini.theta0, random_images(1))
    assert largest < memory.graph_bytes(mini.encoder, mini.theta0, random_images(1)) <= everything
