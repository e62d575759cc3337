"""Races: the Jacobian products of taujp_core.products.jacobian against what the field's code does.

    python benchmarks/jacobian.py --json FILE         all races, about 9 minutes on two cores, 3 on a large GPU
    python benchmarks/jacobian.py --quick             fewer rounds, and no curve of ViT-B-32: below 2 minutes
    python benchmarks/jacobian.py --profile           where the time goes, instead of racing

Both sides run in turn in one process, on random images, labels and vectors; a ratio is the other side's median over
ours, so that larger is better (memory too). A step is the gradient of one batch: the optimiser's part is the same
for all. "The field's code" is autograd through torch.func.jvp, as LinearizedModel in tangent_task_arithmetic and
tau-Jp_Task_Arithmetic does it, with the parameters' difference taken in every pass.

The floor counts matrix products a layer: an ordinary step takes 3 (forward, and two in the backward pass), a
product 3 (the primal, ẋW, xẆ), a linearised step 5, whoever computes it.
"""

import argparse
import copy
import gc
import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.func import functional_call, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile

from analysis.coefficients import COEFFICIENTS, predictions
from taujp_core.applications.linearised import Products
from taujp_core.evaluation import cross_entropy
from taujp_core.files import write_json
from taujp_core.methods import METHODS, Batch
from taujp_core.models import Clip, logits
from taujp_core.parameters import Parameters, device_of
from taujp_core.pretrained import load_clip
from taujp_core.products.jacobian import jacobian_products
from taujp_core.products.precision import precision
from taujp_core.provenance import provenance

VECTORS = 8
PENALTY_WEIGHT = 0.1
PENALISED = 8  # a batch has one penalised image for each 8 of the task, as in the paper (128 and 16)

RACES = {  # target and floor of the ratio
    "linearised step / autograd through jvp": (1.6, 1.0),
    "linearised step / ordinary step": (0.5, 3 / 5),
    "penalised step / two passes through jvp": (1.7, 1.0),
    "curve of 21 coefficients / an evaluation each": (18.0, 21.0),
    "products of 8 vectors / 8 single products": (1.5, 8 * 3 / (1 + 8 * 2)),
    "peak memory of a step / autograd through jvp": (1.11, 1.0),
}


class Sides:
    """A model with random weights or `mini`, a batch for steps, more images to measure, and both ways to compute."""

    def __init__(self, clip: Clip, batch: int, measured: int):
        generator = torch.Generator().manual_seed(0)
        self.clip, self.encoder, self.theta0 = clip, clip.encoder, clip.theta0
        device, size = device_of(clip.theta0), clip.image_size

        def images(count: int) -> torch.Tensor:
            return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator).to(device)

        self.images, self.penalised = images(batch), images(max(1, batch // PENALISED))
        self.measured, self.answers = (
            images(measured),
            torch.randint(0, 10, (measured,), generator=generator).to(device),
        )
        features = functional_call(self.encoder, self.theta0, (self.images,))
        head = torch.randn(features.shape[1], 10, generator=generator).to(device)
        # Without what all features share, so that predictions differ between images and between coefficients.
        shared = F.normalize(features.mean(0), dim=0)
        self.head = 20 * F.normalize(head - torch.outer(shared, shared @ head), dim=0)
        self.labels = torch.randint(0, 10, (batch,), generator=generator).to(device)
        # A change of a tenth of each tensor's size, so that Jτ is as large as after a training.
        self.vectors = [
            {name: 0.1 * value.std(correction=0) * torch.randn(value.shape, generator=generator).to(device)
             for name, value in self.theta0.items()}
            for _ in range(VECTORS)
        ]  # fmt: skip
        self.edited = {name: value + self.vectors[0][name] for name, value in self.theta0.items()}

    def to(self, dtype: torch.dtype) -> "Sides":
        """A copy in another precision; the images stay bytes."""
        other = copy.copy(self)
        other.clip = copy.copy(self.clip)
        other.encoder = other.clip.encoder = copy.deepcopy(self.encoder).to(dtype)
        other.theta0 = other.clip.theta0 = cast(self.theta0, dtype)
        other.vectors, other.head = [cast(tau, dtype) for tau in self.vectors], self.head.to(dtype)
        other.edited = {name: value + other.vectors[0][name] for name, value in other.theta0.items()}
        return other

    # Ours.
    def step(self) -> Parameters:
        batch = Batch(self.images, self.labels, self.images[:0])
        return METHODS["linear"].gradient(self.clip, self.head, self.vectors[0], batch)[0]

    def penalised_step(self) -> Parameters:
        batch = Batch(self.images, self.labels, self.penalised)
        method = METHODS["taujp-strict"]
        return method.gradient(self.clip, self.head, self.vectors[0], batch, penalty_weight=PENALTY_WEIGHT)[0]

    def products(self) -> torch.Tensor:
        return jacobian_products(self.encoder, self.theta0, self.vectors, self.measured)[1]

    def curve(self) -> list[float]:
        products = Products(
            *jacobian_products(self.encoder, self.theta0, self.vectors[:1], self.measured), self.answers
        )
        found = [predictions(products, self.head, [alpha]) for alpha in COEFFICIENTS]
        return [(one == self.answers).double().mean().item() for one in found]

    # The other side.
    def ordinary_step(self) -> Parameters:
        theta = {name: value.detach().requires_grad_() for name, value in self.edited.items()}
        loss = cross_entropy(functional_call(self.encoder, theta, (self.images,)), self.head, self.labels)
        return dict(zip(theta, torch.autograd.grad(loss, list(theta.values()), materialize_grads=True), strict=True))

    def jvp(self, theta: Parameters, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        difference = {name: theta[name] - value for name, value in self.theta0.items()}
        with pytorch_rules():
            return jvp(lambda theta: functional_call(self.encoder, theta, (images,)), (self.theta0,), (difference,))

    def step_through_jvp(self, penalised: bool = False) -> Parameters:
        theta = {name: value.detach().requires_grad_() for name, value in self.edited.items()}
        features, products = self.jvp(theta, self.images)
        loss = cross_entropy(features + products, self.head, self.labels)
        if penalised:
            loss = loss + PENALTY_WEIGHT * self.jvp(theta, self.penalised)[1].norm(dim=1).mean()
        gradients = torch.autograd.grad(loss, list(theta.values()), materialize_grads=True)
        return dict(zip(theta, gradients, strict=True))

    @torch.no_grad()
    def single_products(self) -> torch.Tensor:
        products = []
        for tau in self.vectors:
            with pytorch_rules():
                products.append(
                    jvp(lambda theta: functional_call(self.encoder, theta, (self.measured,)), (self.theta0,), (tau,))[1]
                )
        return torch.stack(products)

    @torch.no_grad()
    def evaluations(self) -> list[float]:
        accuracies = []
        for alpha in COEFFICIENTS:
            theta = {name: value + alpha * self.vectors[0][name] for name, value in self.theta0.items()}
            found = logits(sum(self.jvp(theta, self.measured)), self.head)
            accuracies.append((found.argmax(-1) == self.answers).double().mean().item())
        return accuracies


def cast(parameters: Parameters, dtype: torch.dtype) -> Parameters:
    return {name: value.to(dtype) for name, value in parameters.items()}


@contextmanager
def pytorch_rules():
    """Forward mode as PyTorch has it: attention without the fused kernels."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def seconds(compute: Callable, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    compute()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def medians(sides: dict[str, Callable], rounds: int, device: torch.device) -> dict[str, float]:
    """Median seconds of each side, all in turn, `rounds` times after one that is not counted (if there are several)."""
    times = {name: [] for name in sides}
    for _ in range(rounds + (rounds > 1)):
        for name, compute in sides.items():
            times[name].append(seconds(compute, device))
    return {name: statistics.median(values[-rounds:]) for name, values in times.items()}


def peak_bytes(compute: Callable, device: torch.device) -> int:
    """Most memory that was allocated at once beyond what was there before."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        compute()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        compute()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


def race(sides: Sides, rounds: tuple[int, int, int]) -> dict[str, tuple[float, float]]:
    """The other side's figure and ours, for each race: seconds, or bytes. Rounds of steps, products, curve."""
    device = device_of(sides.theta0)
    steps = {
        "ours": sides.step, "jvp": sides.step_through_jvp, "ordinary": sides.ordinary_step,
        "penalised": sides.penalised_step, "two passes": lambda: sides.step_through_jvp(penalised=True),
    }  # fmt: skip
    step = medians(steps, rounds[0], device)
    products = medians({"ours": sides.products, "single": sides.single_products}, rounds[1], device)
    figures = {
        "linearised step / autograd through jvp": (step["jvp"], step["ours"]),
        "linearised step / ordinary step": (step["ordinary"], step["ours"]),
        "penalised step / two passes through jvp": (step["two passes"], step["penalised"]),
        "products of 8 vectors / 8 single products": (products["single"], products["ours"]),
    }
    if rounds[2]:
        curve = medians({"ours": sides.curve, "each": sides.evaluations}, rounds[2], device)
        figures["curve of 21 coefficients / an evaluation each"] = curve["each"], curve["ours"]
    memory = tuple(peak_bytes(compute, device) for compute in (sides.step_through_jvp, sides.step))
    return figures | {"peak memory of a step / autograd through jvp": memory}


def relative_errors(sides: Sides, exact: Sides, name: str) -> dict[str, float]:
    """‖ours − float64‖ / ‖float64‖ of the products and of the penalised gradient, in one precision."""
    with precision(name, device_of(sides.theta0)):
        products, gradient = sides.products().double(), cast(sides.penalised_step(), torch.float64)
    expected, expected_gradient = exact.products(), exact.penalised_step()
    off = sum((gradient[key] - value).square().sum() for key, value in expected_gradient.items()).sqrt()
    size = sum(value.square().sum() for value in expected_gradient.values()).sqrt()
    return {
        "products": ((products - expected).norm() / expected.norm()).item(),
        "gradient": (off / size).item(),
    }


def show_profile(title: str, compute: Callable) -> None:
    """The processor's time by operation, after one call to warm up."""
    compute()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        compute()
    averages = profiler.key_averages()
    products = {"aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm", "aten::baddbmm", "aten::mkldnn_convolution"}
    whole = sum(event.self_cpu_time_total for event in averages)
    share = sum(event.self_cpu_time_total for event in averages if event.key in products) / whole
    print(f"\n{title}: {whole / 1e3:.0f} ms, {share:.0%} of it in matrix products")
    print(averages.table(sort_by="self_cpu_time_total", row_limit=10, max_name_column_width=40))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="on a CPU: fewer images and rounds")
    parser.add_argument("--json", type=Path, help="write the rows, hardware and versions to this file")
    parser.add_argument("--profile", action="store_true", help="profile steps and products instead, on a CPU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    on_gpu = device.type == "cuda"
    if arguments.profile and on_gpu:
        parser.error("--profile shows the processor's time: use it with --device cpu")
    where = provenance()  # of the code that is loaded, whatever is edited meanwhile
    # Images of a step, images measured, rounds of steps, products and curves (none: no such race).
    sizes = {"mini": (64, 256, (15, 5, 3)), "ViT-B-32": (8, 32, (5, 1, 1))}
    if on_gpu:
        sizes = {"mini": (128, 256, (15, 5, 3)), "ViT-B-32": (128, 256, (15, 5, 3)), "ViT-L-14": (32, 64, (3, 1, 0))}
    elif arguments.quick:
        sizes = {"mini": (64, 128, (5, 2, 1)), "ViT-B-32": (8, 8, (1, 1, 0))}

    rows, errors = [], []
    for name, (batch, measured, rounds) in sizes.items():
        sides = Sides(load_clip(name, None if name == "mini" else "random", str(device)), batch, measured)
        if arguments.profile:
            for title in ("step_through_jvp", "step", "ordinary_step", "single_products", "products"):
                show_profile(f"{name}, {title}", getattr(sides, title))
            continue
        for number_format in ("float32", "tf32", "bf16") if on_gpu else ("float32",):
            with precision(number_format, device):
                figures = race(sides, rounds)
            print(f"\n{name}, {batch} images a step, {measured} measured, {device}, {number_format}")
            for title, (other, ours) in figures.items():
                target, floor = RACES[title]
                unit, scale = ("MiB", 2**-20) if "memory" in title else ("ms", 1e3)
                ratio = other / ours
                print(
                    f"  {title:47s} {ratio:6.2f}  target {target:5.2f} {'met ' if ratio >= target else 'miss'} "
                    f"floor {floor:5.2f}  {other * scale:9.1f} / {ours * scale:.1f} {unit}"
                )
                rows.append(
                    {
                        "race": title, "encoder": name, "device": str(device), "precision": number_format,
                        "batch": batch, "measured": measured, "ratio": ratio, "target": target, "floor": floor,
                    }
                )  # fmt: skip
        if name == "mini" or not arguments.quick:
            few = Sides(sides.clip, 4, 4)
            exact = few.to(torch.float64)
            for number_format in ("float32", "tf32", "bf16") if on_gpu else ("float32", "bf16"):
                found = relative_errors(few, exact, number_format)
                errors.append({"encoder": name, "precision": number_format, **found})
                print(f"  {number_format} against float64: " + ", ".join(f"{k} {v:.1e}" for k, v in found.items()))
    if arguments.json:
        write_json(arguments.json, {**where, "rows": rows, "relative_errors": errors})


if __name__ == "__main__":
    main()
