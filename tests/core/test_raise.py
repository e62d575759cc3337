"""The method that raises τJp does what its formula says, up to its bound and no further."""

import pytest
import torch
import torch.nn.functional as F
from conftest import random_images, random_like

from analysis.products import measure_products
from taujp_core.datasets import load_split
from taujp_core.evaluation import linearised_features
from taujp_core.methods import METHODS, Batch
from taujp_core.models import Clip
from taujp_core.products.jacobian import jacobian_products
from taujp_core.suites import load_suite
from taujp_core.training.config import run_config
from taujp_core.training.finetune import finetune

RAISE = METHODS["taujp-raise"]


def parts(small, size):
    encoder, theta0 = small
    clip = Clip("small", encoder, None, encoder, theta0, "", 32, 1.0)
    head = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    batch = Batch(random_images(4), torch.tensor([0, 1, 2, 0]), random_images(6, seed=1))
    return clip, head, random_like(theta0, 7, size), batch


@pytest.mark.parametrize(("size", "beyond"), [(0.02, 0), (0.2, None), (20.0, 6)])
def test_the_gradient_is_that_of_the_formula(small, size, beyond):
    """With no image beyond the bound, with some, and with all of them, which are held back."""
    clip, head, tau, batch = parts(small, size)
    encoder, theta0, weight = clip.encoder, clip.theta0, 0.7
    ratios = jacobian_products(encoder, theta0, [tau], batch.others)[1][0].norm(dim=-1) / encoder(batch.others).norm(
        dim=-1
    )
    bound = ratios.median().item() * 1.01 if beyond is None else 1.0
    reached = int((ratios > bound).sum())
    assert reached == beyond if beyond is not None else 0 < reached < 6
    gradient, _, moved = RAISE.gradient(clip, head, tau, batch, penalty_weight=weight, bound=bound)
    assert moved.item() == pytest.approx((ratios * encoder(batch.others).norm(dim=-1)).mean().item(), rel=1e-12)

    def objective(tau):
        task = F.cross_entropy(
            F.normalize(linearised_features(encoder, theta0, tau, batch.images), dim=-1) @ head, batch.labels
        )
        norms = jacobian_products(encoder, theta0, [tau], batch.others)[1][0].norm(dim=-1)
        return task + weight * (bound * encoder(batch.others).norm(dim=-1) - norms).abs().mean()

    for seed in range(4):
        direction, h = random_like(theta0, 100 + seed, 1.0), 1e-6
        plus, minus = ({name: tau[name] + sign * h * direction[name] for name in tau} for sign in (1, -1))
        slope = ((objective(plus) - objective(minus)) / (2 * h)).item()
        ours = sum((gradient[name] * direction[name]).sum() for name in tau).item()
        assert ours == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_a_training_raises_tau_jp_on_other_tasks_and_stops_at_the_bound(tiny, tmp_path):
    """Features move by `bound` times their own length, and not far beyond."""
    suite, found = load_suite("mini"), {}
    changes = {"steps": 60, "batch_size": 8, "penalty_batch_size": 8, "peak_lr": 0.01, "weight_decay": 0.0}
    others = load_split(suite.task("mnist"), "validation").first(40)
    for name, method, more in (
        ("linear", "linear", {}),
        ("raised", "taujp-raise", {"penalty_weight": 2.0, "bound": 2.0, "penalty_tasks": ["mnist"]}),
        ("free", "taujp-raise", {"penalty_weight": 2.0, "bound": 1e6, "penalty_tasks": ["mnist"]}),
    ):
        run = finetune(run_config(suite, "uci", method, **changes, **more), tmp_path, tiny)
        products = measure_products(tiny, [run.vector], others)
        found[name] = (products.products[0].norm(dim=-1) / products.features.norm(dim=-1)).mean().item()
    assert found["linear"] < 1.3 < 1.6 < found["raised"] < 2.4 < 4 < found["free"]


def test_without_other_images_it_is_the_linear_method(small):
    clip, head, tau, batch = parts(small, 0.2)
    alone = Batch(batch.images, batch.labels, batch.others[:0])
    ours, theirs = (METHODS[name].gradient(clip, head, tau, alone)[0] for name in ("taujp-raise", "linear"))
    assert all(torch.equal(ours[name], theirs[name]) for name in tau)
