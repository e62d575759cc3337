"""What does the merge's solver cost, and what do other solvers reach in that time? One problem, one process, in turn.

    python benchmarks/merging.py                      # five tasks of mini, 32 images each: about ten minutes on a core
    python benchmarks/merging.py --cost ViT-B-32      # image-passes of a merge, and seconds an image-pass

The race: eight (or fewer) `standard` vectors of a run store, merged from ActMat's vector on the same images towards
the same features: conjugate gradients without and with the Kronecker-factored preconditioner, re-linearised every
ITERATIONS iterations, and Adam on the same objective, whose steps each see all the images too. Each gets the same
seconds; the objective on the solved and on held-out images, and the test accuracy, are read after each round (Adam:
after as many seconds), with the clock stopped.

An image-pass is a forward pass of one image through the encoder; --cost counts, for a round, how often an image's
products are computed, and measures each.
"""

import argparse
import json
import time
from pathlib import Path

import pandas as pd
import torch
from torch.func import functional_call

from analysis.merging.kept_products import KeptProducts
from analysis.merging.matching import Matching, held_out
from analysis.merging.merge import HELD_MOST, HELD_OUT, ITERATIONS, line_search
from analysis.merging.preconditioner import Preconditioner, measure_preconditioner
from analysis.merging.rivals.actmat import actmat
from analysis.merging.solve import solve
from analysis.trainings import run_configs, train
from taujp_core.applications import find_application
from taujp_core.datasets import load_split
from taujp_core.evaluation import accuracy
from taujp_core.models import Clip, zero_shot_head
from taujp_core.parameters import Parameters, device_of
from taujp_core.pretrained import load_clip
from taujp_core.provenance import provenance
from taujp_core.suites import Suite, load_suite

LEARNING_RATES = (3e-5, 1e-4, 3e-4)  # of Adam, each with the whole time; the best objective at the end counts


class Clock:
    """Seconds that were counted: `with clock:` counts."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self.started = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - self.started


def gauss_newton(training: Matching, judge: Matching, tau: Parameters, preconditioned: bool):
    """The merged vector after each round."""
    number = 0
    while True:
        solved, held = training.residuals(tau), judge.residuals(tau)
        metric = measure_preconditioner(solved.products, solved.weights, number) if preconditioned else identity(tau)
        delta = solve(solved, held, metric, ITERATIONS).delta
        tau, _, _ = line_search(training, tau, delta, training.objective(tau))
        number += 1
        yield tau


def identity(tau: Parameters) -> Preconditioner:
    """Plain conjugate gradients."""
    factors = {}
    for name, value in tau.items():
        rest = value[0].numel() if value.ndim > 1 else 0
        eye = [torch.eye(size).to(value) for size in (len(value), rest)] if rest else [torch.ones_like(value)]
        factors[name] = tuple(eye)
    return Preconditioner(factors)


def adam(training: Matching, tau: Parameters, learning_rate: float, chunk: int = 64):
    """The merged vector after each step, whose gradient is the objective's own, of all images."""
    moving = {name: value.clone().requires_grad_() for name, value in tau.items()}
    optimizer = torch.optim.Adam(moving.values(), lr=learning_rate)
    images, targets = torch.cat(training.images).to(device_of(tau)), torch.cat(training.targets)
    while True:
        optimizer.zero_grad()
        for rows in torch.arange(len(images)).split(chunk):
            theta = {name: value + moving[name] for name, value in training.clip.theta0.items()}
            off = functional_call(training.clip.encoder, theta, (images[rows],)) - targets[rows]
            (training.weights[rows] * off.square().sum(1)).sum().backward()
        optimizer.step()
        yield {name: value.detach().clone() for name, value in moving.items()}


def race(
    clip: Clip, suite: Suite, vectors: list, images: int, seconds: float, test_images: int, every: float
) -> pd.DataFrame:
    """solver, seconds, solved, held, accuracy: a row whenever a solver is looked at."""
    experts = [vector.tau for vector in vectors]
    solved, held = held_out(
        [load_split(suite.task(v.task), "train").first(images).images for v in vectors], HELD_OUT, HELD_MOST
    )
    training, judge = (Matching(clip, find_application("encoder"), experts, sets) for sets in (solved, held))
    tests = []
    for vector in vectors:
        pictures, labels = load_split(suite.task(vector.task), "test").first(test_images).tensors
        tests.append((suite.task(vector.task), pictures, labels.to(device_of(clip.theta0))))
    start = actmat(experts)
    solvers = {
        "preconditioned conjugate gradients": lambda: gauss_newton(training, judge, start, True),
        "plain conjugate gradients": lambda: gauss_newton(training, judge, start, False),
        **{f"Adam, {rate:g}": lambda rate=rate: adam(training, start, rate) for rate in LEARNING_RATES},
    }
    rows = []

    def look(name: str, clock: Clock, tau: Parameters) -> None:
        right = [
            accuracy(training.features(tau, pictures), zero_shot_head(clip, task.classes, task.templates), labels)
            for task, pictures, labels in tests
        ]
        row = {"seconds": clock.seconds, "solved": training.objective(tau), "held": judge.objective(tau)}
        rows.append({"solver": name, **row, "accuracy": sum(right) / len(right)})
        print(f"{name:36s} " + "  ".join(f"{key} {value:.4g}" for key, value in rows[-1].items() if key != "solver"))

    for name, solver in solvers.items():
        clock, steps, seen = Clock(), solver(), 0.0
        look(name, clock, start)
        while clock.seconds < seconds:
            with clock:
                tau = next(steps)
            if clock.seconds - seen >= every or clock.seconds >= seconds:
                seen = clock.seconds
                look(name, clock, tau)
    return pd.DataFrame(rows)


def cost(name: str, images: int, tasks: int, device: str) -> dict[str, float]:
    """Seconds an image of a forward pass and of each part of a round, with random weights and made-up pictures."""
    clip = load_clip(name, None if name == "mini" else "random", device)
    generator = torch.Generator().manual_seed(0)
    size = (images, 3, clip.image_size, clip.image_size)
    pictures = torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
    tau = {name: 1e-3 * torch.randn(value.shape, generator=generator).to(value) for name, value in clip.theta0.items()}
    found = {}

    def timed(what: str, compute):
        ready()
        started = time.perf_counter()
        result = compute()
        ready()
        found[what] = (time.perf_counter() - started) / images
        return result

    def ready() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    matching = Matching(clip, find_application("encoder"), [tau], [pictures])
    matching.features(tau, pictures)
    timed("forward pass", lambda: matching.features(tau, pictures))
    products = timed("graphs", lambda: KeptProducts(clip.encoder, clip.theta0, pictures))
    cotangent = timed("Jv", lambda: products.forward(tau))
    timed("Jᵀu", lambda: products.transpose(cotangent))
    metric = timed("metric", lambda: measure_preconditioner(products, matching.weights, 0))
    timed("M⁻¹g", lambda: metric.solve(tau))
    # What does not grow with the images: at most SAMPLES second moments, their inverses, and the metric's products.
    fixed = images * (found.pop("metric") - found["Jᵀu"] + ITERATIONS * found.pop("M⁻¹g"))
    found["kept images"] = sum(len(graph[0]) for graph in products.graphs)
    forward = found["forward pass"]
    # A round: targets, graphs, a Jᵀu for the metric, ITERATIONS of both products, and two objectives of the line search.
    each = 3 * forward + found["graphs"] + found["Jᵀu"] + ITERATIONS * (found["Jv"] + found["Jᵀu"])
    found["image-passes an image and round"] = each / forward
    found["seconds a round for the metric"] = fixed
    found[f"seconds a round of {tasks} tasks of 64 images"] = fixed + each * 64 * tasks
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cost", help="an architecture: what a round costs there, instead of the race")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--images", type=int, default=32, help="of each task (of all, with --cost)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each solver")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks")
    parser.add_argument("--tasks", nargs="*", default=["mnist", "fashion", "street", "signs", "terrain"])
    parser.add_argument("--test-images", type=int, default=200)
    parser.add_argument("--store", default="runs")
    parser.add_argument("--json", type=Path, help="write the figures, hardware and versions to this file")
    arguments = parser.parse_args()
    where = provenance()
    if arguments.cost:
        found = cost(arguments.cost, arguments.images, 8, arguments.device)
        print("\n".join(f"{what:44s} {value:10.4g}" for what, value in found.items()))
    else:
        suite, clip = load_suite("mini"), load_clip("mini", device=arguments.device)
        runs = train(clip, run_configs(suite, arguments.tasks, ["standard"]), arguments.store)
        vectors = [run.vector for run in runs]
        sizes = (arguments.images, arguments.seconds, arguments.test_images, arguments.every)
        found = race(clip, suite, vectors, *sizes).to_dict("records")
    if arguments.json:
        arguments.json.write_text(json.dumps({**where, "found": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
