"""Whoever takes some of a split takes a fair sample of it, and no picture is decoded before it is wanted."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_what_is_read import unfairness
from written import encoded, noise

from analysis.merging.matching import held_out
from taujp_core.datasets import Split, reservoir
from taujp_core.datasets.pictures import Pictures


def numbered(labels: list[int], fair: bool = False) -> Split:
    """Images that hold their number."""
    images = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)
    return Split(images, torch.tensor(labels, dtype=torch.long), fair)


ORDERS = {
    "by class": [k for k in range(8) for _ in range(25)],
    "in turn": list(range(8)) * 25,
    "one class is half": [0] * 100 + [k for k in range(1, 5) for _ in range(25)],
}


@pytest.mark.parametrize("labels", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("count", [1, 8, 16, 40, 199])
def test_the_first_of_any_order_are_a_fair_sample(labels, count):
    split = numbered(labels)
    first = split.first(count)
    assert len(first) == count and first.fair
    share = torch.tensor(labels).bincount() / len(labels) * count
    assert (first.labels.bincount(minlength=len(share)) - share).abs().max() < 2
    assert torch.equal(first.labels, torch.tensor(labels)[first.images[:, 0, 0, 0].long()]), "labels stay with images"
    assert torch.equal(first.images, split.first(count).images), "always the same"
    assert torch.equal(first.first(count // 2).images, first.images[: count // 2] if count > 1 else first.images)
    # Some of some of them, sorted again by whoever took them: still fair.
    again = first.subset(first.labels.argsort(stable=True))
    assert not again.fair
    assert unfairness(again.first(len(first) // 2 or 1).labels) <= unfairness(first.labels) + 3


def test_a_random_order_is_left_as_it_is():
    split = numbered([0] * 10 + [1] * 10, fair=True)
    assert split.first(5).images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert split.first(0) is split and len(split.first(99)) == 20
    assert split.in_fair_order() is split
    kept = reservoir(split, 6)
    assert kept.fair and torch.equal(kept.first(3).images, kept.images[:3])


@settings(max_examples=50, deadline=None)
@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=60), data=st.data())
def test_what_is_chosen_is_what_is_given(labels, data):
    rows = data.draw(st.lists(st.integers(0, len(labels) - 1)))
    split, lazy = numbered(labels), Split(Pictures("a test", list(numbered(labels).images), 4), torch.tensor(labels))
    for part in (split.subset(rows), split.subset(torch.tensor(rows, dtype=torch.long)), lazy.subset(rows)):
        images, found = part.tensors
        assert images[:, 0, 0, 0].tolist() == rows
        assert found.tolist() == [labels[k] for k in rows]
    for images, found in (split[rows], lazy[rows]):
        assert images[:, 0, 0, 0].tolist() == rows and found.tolist() == [labels[k] for k in rows]
    assert torch.equal(split[:3][0], lazy[:3][0])
    for one in (split, lazy):  # as any torch Dataset
        assert torch.equal(one[len(labels) - 1][0], split.images[-1]) and one[0][1] == labels[0]
        assert [int(label) for _, label in one] == labels
    assert torch.equal(torch.cat([images for images, _ in lazy.batches()]), split.images)


def test_images_and_labels_of_different_length_are_refused():
    with pytest.raises((ValueError, TypeError)):
        Split(numbered([0, 1]).images, torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="a split has 2 images and 3 labels"):
        Split(Pictures("a test", [b"", b""], 4), torch.zeros(3, dtype=torch.long))


def test_a_picture_is_decoded_once_and_only_if_it_is_wanted(monkeypatch):
    sources, decoded = [encoded(noise(k)) for k in range(30)], []
    picture = Pictures.picture
    monkeypatch.setattr(Pictures, "picture", lambda self, k: decoded.append(self.name(k)) or picture(self, k))
    split = Split(Pictures("a test", sources, 16), torch.arange(30) % 3)
    few = split.first(12)
    assert (len(few), len(few.labels), len(few.subset([1, 2]))) == (12, 12, 2) and not decoded
    held = few.decoded()
    assert len(decoded) == len(set(decoded)) == 12
    _ = held.images, list(held.batches()), held[:3]
    assert len(decoded) == 12, "what is in memory is not decoded again"


@pytest.mark.parametrize("labels", [[k for k in range(8) for _ in range(size)] for size in (8, 17, 40, 100)])
def test_a_merge_is_judged_by_images_of_all_classes_whatever_their_order(labels):
    """`held_out` sees no labels: sets in the order of their classes, as somebody may hand them in."""
    images = torch.tensor(labels, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)
    solved, held = held_out([images], 8, 16)
    counts = held[0][:, 0, 0, 0].long().bincount(minlength=8)
    assert counts.min() >= 1 and counts.max() <= 3 and counts.sum() <= 16
    assert len(solved[0]) + len(held[0]) == len(labels)
