"""What is done to a vector, and what does that change for another task?

Only the source is treated; the target's vector τ_t is the finished, untreated one of the same method and seed in
all arms, so that what changes on t comes from τ_s. Every table has a row per point:

    arm, level (λ, dose, share or onset; the untreated level is in every arm but `turned`), step (onset only, else -1)
    method, seed, source, target, application (`linearised` or `encoder`)
    tau_jp, tau_jp_squared, logit_jp, logit_jp_squared    on t's images, at θ₀ (`interference.exposure`)
    margin_scaled, towards_boundary    the same, by t's class boundaries as θ₀ + τ_t sees them, linearised
    accuracy_loss, loss_change, changed                   on t's images (`interference.interference`)
    norm (‖τ_s‖), cosine (of τ_s and τ_t), own_tau_jp (on s's images), own_accuracy (of θ₀ + τ_s on s)

All images measured are validation images; edits are solved on training images.
"""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch
from jaxtyping import Float
from scipy.optimize import brentq
from torch import Tensor

from taujp_core.datasets import Split, load_split
from taujp_core.models import Clip
from taujp_core.products.jacobian import product_norms
from taujp_core.suites import Suite
from taujp_core.task_vectors import TaskVector
from taujp_core.training.run_store import Run, snapshot_file

from ..interference import edit_direction, placebo_direction
from ..pairs import Treatment, measure_source
from ..products import measure_products
from ..trainings import by_method_and_seed

UNTREATED_METHOD = "linear"  # the method of the vectors that the arms dose, onset and scale start from
DOSES = (1.0, 0.5, 0.0, -0.5, -1.0)  # c: 1 takes the effect on t away as far as the solve can, -1 doubles it
# c: 0 is the edited vector, 1 has the untreated one's size back. The dose 1 − c of the edit is the same in the own direction.
TURNED = (0.0, 0.5, 1.0, 1.5, 2.0)
SHARES = (1.0, 0.75, 0.5, 0.25)  # of τ_s that are left in the scale arm


def dose_and_scale(clip: Clip, suite: Suite, by_weight: dict[float, Sequence[Run]], images: int) -> pd.DataFrame:
    """The arms dose and scale: vectors trained with each λ (the key; 0 must be there), and shares of the λ = 0 vectors."""
    if 0.0 not in by_weight:
        raise ValueError(f"the untreated λ = 0 must be among the weights: {', '.join(map(str, by_weight))}")
    weights = sorted(by_weight)
    tables = []
    for (_, seed), untreated in by_method_and_seed(by_weight[0.0]).items():
        treated = {weight: [run for run in by_weight[weight] if run.config.seed == seed] for weight in weights}
        for k, run in enumerate(untreated):
            directions = [treated[weight][k].vector for weight in weights]
            points = [
                ({"arm": "dose", "level": weight, "step": -1}, one_hot(column, len(weights)))
                for column, weight in enumerate(weights)
            ]
            points += [
                ({"arm": "scale", "level": share, "step": -1}, (share, *[0.0] * (len(weights) - 1))) for share in SHARES
            ]
            targets = [other.vector for other in untreated if other is not run]
            found = measure_source(clip, suite, run.config.task, targets, directions, points, images)
            tables.append(found.assign(method=run.config.method, seed=seed))
    return pd.concat(tables, ignore_index=True)


def target(clip: Clip, suite: Suite, untreated: Sequence[Run], runs: Sequence[Run], images: int) -> pd.DataFrame:
    """Arm 3: vectors trained with the penalty on one other task's images alone: seen on that task, and on third tasks.

    runs: each with one task in `penalty_tasks`. Rows on that task are the arm `target`, all others the arm `bystander`.
    """
    table = against_untreated(clip, suite, untreated, runs, images)
    spared = {(run.config.seed, run.config.task): run.config.penalty_tasks for run in runs}
    on_it = [(target,) == spared[seed, source] for seed, source, target in zip(table.seed, table.source, table.target, strict=True)]  # fmt: skip
    return table.assign(arm=["target" if yes else "bystander" for yes in on_it])


def raised(clip: Clip, suite: Suite, untreated: Sequence[Run], runs: Sequence[Run], images: int) -> pd.DataFrame:
    """Arm 4: vectors whose τJp was raised in training: the level is −λ."""
    table = against_untreated(clip, suite, untreated, runs, images)
    return table.assign(arm="raise", level=-table.level)


def against_untreated(
    clip: Clip, suite: Suite, untreated: Sequence[Run], runs: Sequence[Run], images: int
) -> pd.DataFrame:
    """Each run's vector at the level λ, and the untreated one of its task and seed at 0, on all other untreated tasks."""
    tables = []
    for run in runs:
        ours = [other for other in untreated if other.config.seed == run.config.seed]
        (before,) = (other for other in ours if other.config.task == run.config.task)
        points = [
            ({"level": level, "step": -1}, one_hot(column, 2))
            for column, level in enumerate((0.0, run.config.penalty_weight))
        ]
        targets = [other.vector for other in ours if other is not before]
        directions = [before.vector, run.vector]
        found = measure_source(clip, suite, run.config.task, targets, directions, points, images)
        tables.append(found.assign(method=UNTREATED_METHOD, seed=run.config.seed))
    return pd.concat(tables, ignore_index=True)


def edits(
    clip: Clip, suite: Suite, runs: Sequence[Run], images: int, solve_images: int, iterations: int
) -> pd.DataFrame:
    """Arms 5 to 7: edits of each finished vector for each target, two placebos, and another direction of the same size.

    edit: the effect on t is moved at doses c, the effect on s kept. random: ± a direction of the edit's norm that
    does nothing on t's and s's images. third: the same edit for a third task, which keeps s and t. turned: the edited vector,
    moved c times in the direction of what another source's edit for t takes off; at c = 1 its τJp is the untreated one's
    (`as_large`), on training images of t that no edit has seen. Only with three vectors or more.
    """
    tables = []
    for (_, seed), vectors in by_method_and_seed(runs).items():
        solved = [load_split(suite.task(run.config.task), "train").first(solve_images) for run in vectors]
        for target, other in enumerate(vectors):
            t = solved[target]
            made = {
                source: replace(
                    run.vector,
                    tau=edit_direction(
                        clip.encoder, clip.theta0, run.vector.tau, t.images, s.images, 1.0, iterations=iterations
                    ),
                )
                for source, (run, s) in enumerate(zip(vectors, solved, strict=True))
                if source != target
            }
            taus = [vectors[source].vector for source in made]
            unseen = further_images(suite, other.config.task, solve_images, images)
            moved = measure_products(clip, [*taus, *made.values()], unseen).products
            whole, part = (dict(zip(made, of, strict=True)) for of in moved.chunk(2))
            for source, edit in made.items():
                run, both = vectors[source], torch.cat([solved[source].images, t.images])
                u = load_split(suite.task(third(vectors, source, target, suite)), "train").first(solve_images).images
                placebo = placebo_direction(
                    clip.encoder, clip.theta0, both, edit.norm(), pair_seed(seed, source, target), iterations=iterations
                )
                # The mean over both kept sets halves each: a weight of 2 keeps each with weight 1.
                away = edit_direction(clip.encoder, clip.theta0, run.vector.tau, u, both, 2.0, iterations=iterations)
                directions = [run.vector, edit, *(replace(run.vector, tau=delta) for delta in (placebo, away))]
                points = edited_points()
                if other_sources := [name for name in made if name != source]:
                    another = next((name for name in other_sources if name > source), other_sources[0])
                    scale = as_large(whole[source] + part[source], -part[another], whole[source])
                    turned = {name: -scale * value for name, value in made[another].tau.items()}
                    directions.append(replace(run.vector, tau=turned))
                    points = [(labels, (*point, 0.0)) for labels, point in points]
                    points += [({"arm": "turned", "level": c, "step": -1}, (1.0, 1.0, 0.0, 0.0, c)) for c in TURNED]
                found = measure_source(clip, suite, run.config.task, [other.vector], directions, points, images)
                tables.append(found.assign(method=run.config.method, seed=seed))
    return pd.concat(tables, ignore_index=True)


def edited_points() -> list[Treatment]:
    """Of the arms edit, random and third, for the directions τ, edit, placebo and edit for a third task."""
    points: list[Treatment] = [({"arm": "edit", "level": dose, "step": -1}, (1.0, dose, 0.0, 0.0)) for dose in DOSES]
    for arm, column in (("random", 2), ("third", 3)):
        for dose in (1.0, 0.0, -1.0):
            point = tuple(dose * (k == column) + (k == 0) for k in range(4))
            points.append(({"arm": arm, "level": dose, "step": -1}, point))
    return points


def further_images(suite: Suite, task: str, after: int, count: int) -> Split:
    """So many training images behind the first `after` (0: all of them); those first ones where there are no others."""
    split = load_split(suite.task(task), "train").in_fair_order()
    rows = range(after, min(len(split), after + count) if count else len(split))
    return split.subset(rows, fair=True) if rows else split.first(after)


def as_large(start: Float[Tensor, "n d"], step: Float[Tensor, "n d"], wanted: Float[Tensor, "n d"]) -> float:
    """k ≥ 0 at which mean ‖start + k·step‖₂ is mean ‖wanted‖₂; 0 if there is none: a start that is longer, or no step.

    The mean norm is convex in k. From a start that is shorter than wanted, it passes that length once.
    """
    length = product_norms(wanted.double()).mean()

    def missing(k: float) -> float:
        return (product_norms(start.double() + k * step.double()).mean() - length).item()

    if not step.any() or missing(0.0) >= 0:
        return 0.0
    end = 1.0
    while missing(end) < 0:
        end *= 2
    return brentq(missing, 0.0, end)


def onset(
    clip: Clip, suite: Suite, untreated: Sequence[Run], runs: Sequence[Run], snapshot_steps: Sequence[int], images: int
) -> pd.DataFrame:
    """Arm 2: the vectors of `onset_configs` as they were at each saved step, against the finished untreated ones."""
    tables = []
    for run in runs:
        directions = [TaskVector.load(snapshot_file(run.folder, step), clip) for step in snapshot_steps]
        points = [
            (
                {"arm": "onset", "level": float(run.config.penalty_start), "step": step},
                one_hot(k, len(snapshot_steps)),
            )
            for k, step in enumerate(snapshot_steps)
        ]
        targets = [o.vector for o in untreated if o.config.seed == run.config.seed and o.config.task != run.config.task]
        found = measure_source(clip, suite, run.config.task, targets, directions, points, images)
        tables.append(found.assign(method=UNTREATED_METHOD, seed=run.config.seed))
    return pd.concat(tables, ignore_index=True)


def third(vectors: Sequence[Run], source: int, target: int, suite: Suite) -> str:
    """The next task after the target that is neither; the control where there are only two."""
    for step in range(1, len(vectors)):
        if (other := (target + step) % len(vectors)) not in (source, target):
            return vectors[other].config.task
    return suite.needed_control().name


def one_hot(column: int, count: int) -> tuple[float, ...]:
    return tuple(float(k == column) for k in range(count))


def pair_seed(seed: int, source: int, target: int) -> int:
    return 10_000 * seed + 100 * source + target
