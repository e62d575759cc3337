"""What does a merge hold in memory beside its vectors? Little for each: a vector is looked at when its turn comes.

Small networks of many layers, so that whatever is kept per task and layer shows, and whatever is kept of one layer or one
task at a time does not.
"""

import pytest
import torch
from conftest import random_images, random_like
from open_clip.transformer import VisionTransformer
from towers import peak_bytes

from analysis.merging.rivals import RIVALS, Evidence, adamerging, find_rival, fisher, wudi
from taujp_core.applications.encoder import ENCODER
from taujp_core.models import Clip, ImageEncoder, fingerprint
from taujp_core.parameters import bytes_of

CPU = torch.device("cpu")
FEW, MANY = 2, 5
BOUND = 0.5  # vectors per vector; ESM's factors are 0.35, a merge that held a second copy of each would stand at 1


@pytest.fixture(scope="module")
def clip() -> Clip:
    """16 blocks of width 16 with 17 tokens: a layer is a small part of a vector."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        visual = VisionTransformer(32, 8, 16, 16, 2, 1.0, output_dim=6)
    encoder = ImageEncoder(visual, (0.5,) * 3, (0.25,) * 3).eval().requires_grad_(False)
    theta0 = dict(encoder.named_parameters())
    return Clip("tower", encoder, None, encoder, theta0, fingerprint(theta0), 32, 1.0)


@pytest.mark.parametrize("name", list(RIVALS))
def test_a_vector_more_takes_little_memory_beside_itself(name, clip, monkeypatch):
    monkeypatch.setattr(adamerging, "STEPS", 2)
    monkeypatch.setattr(wudi, "STEPS", 2)
    generator = torch.Generator().manual_seed(0)
    taus = [random_like(clip.theta0, seed) for seed in range(MANY)]
    images = [random_images(1, seed) for seed in range(MANY)]
    heads = [torch.randn(6, 3, generator=generator) for _ in range(MANY)]

    def peak(count: int) -> int:
        evidence = Evidence(clip, ENCODER, images[:count], heads[:count])
        return peak_bytes(lambda: find_rival(name).merged(taus[:count], evidence), CPU)

    assert (peak(MANY) - peak(FEW)) / (MANY - FEW) < BOUND * bytes_of(clip.theta0)


def test_fishers_classes_share_the_memory_that_is_there(clip, monkeypatch):
    """The gradients of all of an image's classes at once would be a vector each."""
    taus, images = [random_like(clip.theta0, seed) for seed in range(2)], [random_images(1, seed) for seed in range(2)]
    heads = [torch.randn(6, 40, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    evidence, found, peaks = Evidence(clip, ENCODER, images, heads), [], []
    for budget in (2**40, 1):
        monkeypatch.setattr(fisher, "memory_budget", lambda device, budget=budget: budget)
        peaks.append(peak_bytes(lambda: found.append(fisher.fisher(taus, evidence)), CPU))
    assert peaks[1] < peaks[0] - 2 * bytes_of(clip.theta0)
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-5, atol=1e-7)
