"""How do finished vectors become one that does at coefficient 1 what each does, without labels and without training?

On a few dozen to a few hundred unlabelled images per task the merged model's features are made those of each task's
expert (`matching.py`). A round takes some of the images, linearises at the merged point (a linearised model is linear
already) and solves the least squares problem for the change (`solve.py`); a line search holds the objective of the
round's images from rising. Images that are held out decide where to start, ρ, the number of iterations, of rounds and
of a round's images, and which round's vector is the result, so there is nothing to tune.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from torch import Tensor

from taujp_core.checks import check_images
from taujp_core.evaluation import check_finite
from taujp_core.files import write_tensors
from taujp_core.identity import digest, fingerprint
from taujp_core.models import Clip
from taujp_core.parameters import Parameters, zeros_like
from taujp_core.progress import Progress
from taujp_core.task_vectors import TaskVector, applied_alike, check_moves, check_theta0, total
from taujp_core.training.state import read_state, state_digest

from .matching import Matching, held_out
from .merged import Merged
from .preconditioner import measure_preconditioner
from .rivals.actmat import actmat
from .solve import solve

VERSION = 1  # raised when the same vectors and images give another merge
HELD_OUT, HELD_MOST = 8, 16  # one image in so many is held out, and no more of a set than that
ROUND_IMAGES = 64  # of each set in the first round; after one that brings nothing the next has twice as many
ITERATIONS = 6  # of a round, at most: re-linearising soon brings more than solving on
ROUNDS = 24  # at most
PATIENCE = 2  # rounds in a row without an improvement on held-out images
LEAST = 0.005  # share of the held-out objective that counts as one
SUMS = (0.2, 0.3, 0.4, 0.6, 1.0)  # coefficients of Σ τ_t that are tried as the start, beside ActMat's vector
HALVINGS = 6  # of the line search
VECTORS = ("start", "tau", "best")  # that a state file holds


def merge(
    vectors: Sequence[TaskVector],
    clip: Clip,
    images: Mapping[str, Tensor],
    control: Tensor | None = None,
    state: Path | None = None,
    rounds: int = ROUNDS,
    round_images: int = ROUND_IMAGES,
) -> Merged:
    """One vector of several, by their experts' features on unlabelled images.

    images: for each vector's task, by its name; a few dozen do, hundreds are better. control: images on which the
    merged model shall stay what the pre-trained one is; they count as one task more. state: a file that the merge is
    saved in after every round, and goes on from if it was killed; whoever asked for it removes it. Ends after `rounds`
    rounds, the first of `round_images` images per set, and earlier when held-out images say so.

    Raises ValueError for fewer than two vectors, vectors of different θ₀ or applications, a task twice, a task without
    images, a vector that is zero, and a state that is damaged or of another merge; FloatingPointError for vectors with
    NaN.
    """
    check(vectors, clip, images, control)
    sets = [images[vector.task] for vector in vectors]
    experts = [vector.like(clip.theta0).tau for vector in vectors]
    names = [vector.task for vector in vectors]
    zero = zeros_like(clip.theta0)
    if control is not None:
        sets, experts, names = [*sets, control], [*experts, zero], [*names, "control"]
    solved, held = held_out(sets, HELD_OUT, HELD_MOST)
    application = vectors[0].application
    training, judge = (Matching(clip, application, experts, part) for part in (solved, held))
    this = identity(vectors, clip, images, control, rounds, round_images)
    going = resumed(state, this, clip.theta0) if state and state.exists() else started(vectors, judge, round_images)
    progress = Progress("merging", rounds, going.rounds, unit="round")
    while going.rounds < rounds and not going.ended:
        going = one_round(going, training.part(going.rounds, going.images), judge)
        if state is not None:
            save(going, state, this)
        progress.advance(1, held=f"{going.least:.4g}")
    progress.close()
    everything = total(vectors)
    found = {"pretrained": zero, "sum": everything.like(clip.theta0).tau, "start": going.start, "merged": going.best}
    distances = pd.DataFrame({name: judge.distances(tau).tolist() for name, tau in found.items()})
    distances.insert(0, "set", names)
    vector = TaskVector(going.best, clip.fingerprint, everything.task, everything.method)
    tasks = tuple(vector.task for vector in vectors)
    return Merged(vector, pd.DataFrame(going.history).astype(float), distances, clip, tasks, this, rounds)


@dataclass(frozen=True)
class Going:
    """What a merge carries from round to round.

    since: rounds in a row that brought nothing on held-out images; images: of each set in the next round.
    """

    start: Parameters
    tau: Parameters
    best: Parameters
    least: float
    since: int
    images: int
    history: list[dict]

    @property
    def rounds(self) -> int:
        return len(self.history) - 1

    @property
    def ended(self) -> bool:
        return self.since >= PATIENCE


def started(vectors: Sequence[TaskVector], judge: Matching, images: int) -> Going:
    """At the best of some data-free merges: ActMat's, and the sum with some coefficients."""
    everything = total(vectors).like(judge.clip.theta0).tau
    tried = [actmat(judge.experts[: len(vectors)])]
    tried += [{name: alpha * value for name, value in everything.items()} for alpha in SUMS]
    objectives = [judge.objective(tau) for tau in tried]
    least = min(objectives)
    tau = tried[objectives.index(least)]
    return Going(tau, tau, tau, least, 0, images, [row(least)])


def one_round(going: Going, part: Matching, judge: Matching) -> Going:
    """Linearise, solve, go as far as the objective of the round's images falls, and let held-out images judge."""
    solved, held = part.residuals(going.tau), judge.residuals(going.tau)
    preconditioner = measure_preconditioner(solved.products, solved.weights, going.rounds)
    solution = solve(solved, held, preconditioner, ITERATIONS)
    before = part.objective(going.tau)
    tau, length, after = line_search(part, going.tau, solution.delta, before)
    value = judge.objective(tau)
    history = [*going.history, row(value, going.images, before, after, solution.rho, solution.iterations, length)]
    since, images = (0, going.images) if value < (1 - LEAST) * going.least else (going.since + 1, 2 * going.images)
    best, least = (tau, value) if value < going.least else (going.best, going.least)
    return Going(going.start, tau, best, least, since, images, history)


def line_search(part: Matching, tau: Parameters, delta: Parameters, before: float) -> tuple[Parameters, float, float]:
    """τ + s·δ, s and the objective for the first s of 1, ½, ¼, … that lowers it; s = 0 if none does."""
    for halvings in range(HALVINGS):
        length = 0.5**halvings
        moved = {name: value + length * delta[name] for name, value in tau.items()}
        after = part.objective(moved)
        if after < before:
            return moved, length, after
    return tau, 0.0, before


def row(
    held: float,
    images: int = 0,
    before: float | None = None,
    after: float | None = None,
    rho: float | None = None,
    iterations: int = 0,
    length: float | None = None,
) -> dict[str, float | int | None]:
    """Of the history; the start has no images of its own, and no step."""
    on_images = {"images": images, "before": before, "after": after}
    return {"held": held, **on_images, "rho": rho, "iterations": iterations, "length": length}


def check(vectors: Sequence[TaskVector], clip: Clip, images: Mapping[str, Tensor], control: Tensor | None) -> None:
    """Raises what `merge` raises for its arguments, before anything is computed."""
    if len(vectors) < 2:
        raise ValueError(f"a merge takes at least two vectors, not {len(vectors)}")
    check_theta0(vectors, clip.theta0, clip.fingerprint)
    applied_alike(vectors)
    names = [vector.task for vector in vectors]
    for k, vector in enumerate(vectors):
        if vector.task in names[:k]:
            raise ValueError(f"a merge takes one vector a task, and {vector.task} has two")
        if vector.task not in images or not len(images[vector.task]):
            raise ValueError(f"a merge takes at least one image a task, and {vector.task} has none")
        check_images(f"images of {vector.task}", images[vector.task], clip.image_size)
        check_finite(f"the {vector.method} vector of {vector.task}", list(vector.tau.values()))
        check_moves(vector)
    if control is not None and not len(control):
        raise ValueError("a merge takes at least one control image, or None, not an empty set")
    if control is not None:
        check_images("images of the control", control, clip.image_size)


def identity(
    vectors: Sequence[TaskVector],
    clip: Clip,
    images: Mapping[str, Tensor],
    control: Tensor | None,
    rounds: int,
    round_images: int,
) -> str:
    """A digest of all that decides the result."""
    return digest(
        {
            "version": VERSION,
            "theta0": clip.fingerprint,
            "application": vectors[0].application.name,
            "vectors": [[vector.task, vector.digest()] for vector in vectors],
            "images": fingerprint({vector.task: images[vector.task] for vector in vectors}),
            "control": None if control is None else fingerprint({"control": control}),
            "rounds": rounds,
            "round_images": round_images,
        }
    )


def save(going: Going, path: Path, this: str) -> None:
    """Write the state atomically, with the merge that it is of and a digest of everything."""
    # Copies, for two of the vectors may be one, and safetensors refuses tensors that share memory.
    tensors = {f"{part}/{name}": value.clone() for part in VECTORS for name, value in getattr(going, part).items()}
    carried = {"least": going.least, "since": going.since, "images": going.images, "history": going.history}
    progress = {"merge": this, **carried}
    write_tensors(path, tensors, {"progress": progress, "digest": state_digest(tensors, progress)})


def resumed(path: Path, this: str, theta0: Parameters) -> Going:
    """Raises ValueError for a damaged file and for the state of another merge."""
    tensors, progress = read_state(path)
    if progress.get("merge") != this:
        raise ValueError(f"{path} is the state of another merge: delete it, or choose another file")
    start, tau, best = (
        {name: tensors[f"{part}/{name}"].to(value.device) for name, value in theta0.items()} for part in VECTORS
    )
    return Going(start, tau, best, *(progress[name] for name in ("least", "since", "images", "history")))
