"""Metrics in units of the margin: against brute force, and in what they must be by their definition."""

import itertools

import pytest
import torch

from analysis.margins import margin_scaled, towards_boundary

N, D, K = 12, 5, 4


def drawn(seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = ((N, D), (D, K), (N, D))
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("size", [0.05, 0.5, 5.0])
def test_both_are_their_definition_image_by_image(size):
    features, head, moved = drawn(0)
    moved = size * moved
    ratios, ways = [], []
    for f, m in zip(features, moved, strict=True):
        y = max(range(K), key=lambda c: (head[:, c] @ f).item())
        normals = [head[:, y] - head[:, c] for c in range(K) if c != y]
        ratios.append(min(1.0, (m.norm() / min(n @ f / n.norm() for n in normals)).item()))
        ways.append(min(1.0, max(0.0, max((-(n @ m) / (n @ f)).item() for n in normals))))
        assert ways[-1] <= ratios[-1]
    assert margin_scaled(features, head, moved) == pytest.approx(sum(ratios) / N, rel=1e-12)
    assert towards_boundary(features, head, moved) == pytest.approx(sum(ways) / N, rel=1e-12)


def test_an_answer_changes_where_the_whole_way_is_gone():
    for seed, size in itertools.product(range(3), (0.3, 1.0)):
        features, head, moved = drawn(seed)
        for f, m in zip(features.split(1), size * moved, strict=True):
            whole = towards_boundary(f, head, m[None]) == 1.0
            assert whole == ((f @ head).argmax(-1) != ((f + m) @ head).argmax(-1)).item()


def test_a_movement_along_the_boundary_has_a_size_and_no_way():
    features, head = torch.tensor([[2.0, 1.0, 0.0]]), torch.eye(3)[:, :2]
    assert margin_scaled(features, head, torch.tensor([[0.0, 0.0, 0.3]])) == pytest.approx(0.3 * 2**0.5)
    assert towards_boundary(features, head, torch.tensor([[0.0, 0.0, 0.3]])) == 0.0
    assert towards_boundary(features, head, torch.tensor([[0.3, 0.0, 0.0]])) == 0.0  # away from it
    assert towards_boundary(features, head, torch.tensor([[0.0, 0.3, 0.0]])) == pytest.approx(0.3)


def test_without_a_boundary_nothing_is_near_it():
    features, moved = torch.randn(3, 4), torch.randn(3, 4)
    one = torch.randn(4, 1)
    for head in (one, one.repeat(1, 3)):  # one class, and classes of the same text
        assert margin_scaled(features, head, moved) == towards_boundary(features, head, moved) == 0.0


def test_an_image_on_a_boundary_counts_once_it_moves():
    features, head = torch.tensor([[1.0, 1.0]]), torch.eye(2)
    assert margin_scaled(features, head, torch.zeros(1, 2)) == towards_boundary(features, head, torch.zeros(1, 2)) == 0
    assert margin_scaled(features, head, torch.tensor([[0.0, 0.1]])) == 1.0
    assert towards_boundary(features, head, torch.tensor([[0.0, 0.1]])) == 1.0
