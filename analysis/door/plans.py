"""What will a notebook train? A function a notebook: its parameters to configurations, or a sentence why not.

A notebook is known by a parameter that only notebooks of its kind have.
"""

import torch

from taujp_core.checks import one_of
from taujp_core.mini.pretrain import PretrainConfig
from taujp_core.models import Clip, check_texts, load_clip
from taujp_core.parameters import device_of
from taujp_core.products.memory import graph_bytes, total_memory
from taujp_core.products.precision import check_precision
from taujp_core.suites import Suite, load_suite
from taujp_core.training.config import RunConfig, run_config
from taujp_core.training.finetune import check_snapshots
from taujp_core.training.run_store import is_finished, run_folder
from taujp_core.training.state import read_progress
from taujp_core.training.step_images import penalty_images

from ..analogy.quadruples import named_quadruples, tasks_of
from ..causal.arms import onset_configs
from ..continual.sequences import arrival_orders, sequence_configs
from ..explore.gather import check_linearised
from ..invariance.benchmark import ARMS as invariance_arms
from ..invariance.benchmark import DATA as invariance_data
from ..invariant_vectors.coloured import coloured_suite
from ..invariant_vectors.trained import PARTNER
from ..invariant_vectors.trained import plan as plan_coloured
from ..paths import check_readable, in_project
from ..report import TABLES, load_summary
from ..studies.records import PLAN
from ..trainings import run_configs


def check_plan(suite: Suite | None, values: dict) -> None:
    """Raises OSError, TypeError or ValueError, in a sentence, if what the parameters ask for together cannot be done.

    Data sets and weights must be there, and a step's images must fit into memory. Nothing is written, but the caches.
    """
    for parameter, plan in PLANS.items():
        if parameter in values:
            configs = plan(suite, values)
            break
    else:
        return
    if not configs:
        return
    check_data(suite, configs)
    clip = load_clip(suite.model, suite.pretrained)
    for task in dict.fromkeys(config.suite.task(config.task) for config in configs):
        check_texts(clip, task.classes, task.templates)
    for config in configs:
        check_precision(config.precision, device_of(clip.theta0))
    largest = max(configs, key=lambda config: images_at_once(config) / config.accumulation)
    check_memory(clip, images_at_once(largest), largest.accumulation)
    if "onset_snapshots" in values:
        check_saved(clip, configs, values)


def images_at_once(config: RunConfig) -> int:
    """Of one step, its penalised images among them."""
    return config.batch_size + penalty_images(config)


def check_data(suite: Suite, configs: list[RunConfig]) -> None:
    """Data sets that are not there would stop the first run that wants them, when others are trained."""
    wanted = {suite.control.name}.union(*([config.task, *config.penalty_tasks] for config in configs))
    for name in suite.datasets():
        if name in wanted:
            suite.task(name).locate()


def check_memory(clip: Clip, images: int, parts: int) -> None:
    """Raises ValueError for a step that takes more than all the memory of the device, however little else is there."""
    device = device_of(clip.theta0)
    one = graph_bytes(clip.encoder, clip.theta0, torch.zeros(1, 3, clip.image_size, clip.image_size, dtype=torch.uint8))
    needed, there = one * images / parts / 2**30, total_memory(device) / 2**30
    if needed > there:
        raise ValueError(
            f"batches of {images} images, penalised ones among them, in {parts} {'part' if parts == 1 else 'parts'} "
            f"take at least {needed:.0f} GiB, and {device} has {there:.0f} GiB: a smaller batch_size is accepted"
        )


def check_saved(clip: Clip, configs: list[RunConfig], values: dict) -> None:
    """Raises ValueError if a run of the onset arm is in the store, without a vector that is asked for."""
    for config in configs:
        folder = run_folder(in_project(values["store"]) / "onset", config, clip.fingerprint)
        if is_finished(folder):
            check_snapshots(folder, values["onset_snapshots"], config.steps)


def quickstart(suite: Suite, values: dict) -> list[RunConfig]:
    need_tasks(values["tasks"], 1)
    methods, changes = (
        ["standard", "linear", "taujp-efficient"],
        {name: values[name] for name in ("steps", "penalty_weight")},
    )
    for task in suite.datasets().values():  # whose pictures are shown
        task.locate()
    return run_configs(suite, values["tasks"], methods, [values["seed"]], **changes)


def pretraining(suite: None, values: dict) -> list[RunConfig]:
    if values["steps"] < 1:
        raise ValueError("parameter steps: must be at least 1, not 0")
    check_memory(load_clip("mini", device="cpu"), values["batch_size"], 1)
    config = PretrainConfig(*(values[name] for name in ("steps", "batch_size", "peak_lr", "seed", "warmup_steps")))
    folder = in_project(values["output"])
    state = folder / "state.safetensors"
    if state.is_file() and (theirs := read_progress(state)["config"]) != vars(config):
        raise ValueError(f"{folder} holds a pre-training with other parameters {theirs}: choose another folder")
    return []


def one_run(suite: Suite, values: dict) -> list[RunConfig]:
    known = values["known"] or None
    return [run_config(suite, values["task"], values["method"], values["seed"], known, **values["recipe"])]


def probe(suite: Suite, values: dict) -> list[RunConfig]:
    tasks, seeds, weights = values["tasks"], values["seeds"], values["penalty_weights"]
    need_tasks(tasks, 3)
    if 0 not in weights or len(weights) < 2:
        raise ValueError(
            f"parameter penalty_weights: 0, the untreated, and at least one other are needed, not {weights}"
        )
    changes = {"steps": values["steps"]} if values["steps"] else {}
    known = values["known"] or list(suite.tasks)
    if len(known) < 2:
        raise ValueError(f"parameter known: at least two tasks are needed, for they are added, not {known[0]}")
    plain = ["linear", "standard", "taujp-efficient"]
    configs = [
        *run_configs(suite, tasks, values["edited"], seeds[:1], known, **changes),
        *run_configs(suite, tasks, ["linear"], seeds, known, **changes),
        *run_configs(suite, known, plain, seeds[:1], known, **changes),
    ]
    for weight in weights:
        configs += run_configs(suite, tasks, ["taujp-efficient"], seeds, known, penalty_weight=weight, **changes)
    onsets = {"penalty_weight": values["onset_weight"], **changes}
    starts, saved = values["onset_starts"], values["onset_snapshots"]
    return configs + onset_configs(suite, tasks, seeds[:1], known, starts, saved, **onsets)


def addition(suite: Suite, values: dict) -> list[RunConfig]:
    """And negation, and calibration."""
    tasks = values["tasks"] or list(suite.tasks)
    return run_configs(suite, tasks, values["methods"], values["seeds"], **values["recipe"])


def analogy(suite: Suite, values: dict) -> list[RunConfig]:
    tasks = tasks_of(named_quadruples(suite, values["quadruples"]), suite)
    return run_configs(suite, tasks, values["methods"], values["seeds"], **values["recipe"])


def explorer(suite: Suite, values: dict) -> list[RunConfig]:
    check_linearised(values["methods"])
    tasks = values["tasks"] or list(suite.tasks)
    return run_configs(suite, tasks, values["methods"], [values["seed"]], **values["recipe"])


def disentanglement(suite: Suite, values: dict) -> list[RunConfig]:
    if len(values["pair"]) != 2:
        raise ValueError(f"parameter pair: must be two different tasks, not {', '.join(values['pair'])}")
    if values["points"] % 4 != 1:
        raise ValueError(f"parameter points: 0 and 1 must be among them, as with 5, 9, 13, …, not {values['points']}")
    changes = {"penalty_weight": values["penalty_weight"]} | ({"steps": values["steps"]} if values["steps"] else {})
    known = values["tasks"] or list(suite.tasks)
    return run_configs(suite, values["pair"], values["methods"], [values["seed"]], known, **changes)


def continual(suite: Suite, values: dict) -> list[RunConfig]:
    orders = arrival_orders(values["tasks"] or list(suite.tasks), values["orders"])
    shared = (values["reservoir"], values["seed"])
    return [
        config
        for method in values["methods"]
        for order in orders
        for config in sequence_configs(suite, order, method, *shared, **values["recipe"])
    ]


def public(suite: Suite, values: dict) -> list[RunConfig]:
    """Of a folder's checkpoints the names are known when they are read, which comes before any training."""
    from ..published.checkpoints import check_plan as check_public

    if values["base"] and not values["published"]:
        raise ValueError("parameter base: belongs to a folder of checkpoints, and published names none")
    names = [] if values["published"] else values["tasks"]
    if not values["published"]:
        check_public(suite, names, *(values[name] for name in ("new_task", "continued", "recipe", "further")))
    new, recipe = values["new_task"], values["recipe"]
    known = [*names, new]
    return [
        *run_configs(suite, names, ["standard"], [0], **recipe),
        *run_configs(suite, known, ["taujp-efficient"], [0], known, **values["further"]),
        *run_configs(suite, [new], ["standard", "linear", "taujp-efficient"], [0], known, **recipe),
    ]


def invariance(suite: None, values: dict) -> list[RunConfig]:
    """Small networks on the scans that ship: nothing of the run store."""
    for name in values["objectives"]:
        one_of("objective", name, invariance_arms)
    for name in values["data"]:
        one_of("data", name, invariance_data)
    return []


def invariant_vectors(suite: Suite, values: dict) -> list[RunConfig]:
    """The coloured tasks' trainings are of a suite that is made here; the partners' are of this one."""
    tasks, others = values["tasks"], values["others"]
    need_tasks(tasks, 1)
    for task in tasks:
        if others == [task]:
            raise ValueError(
                f"parameter others: {task} is a coloured task itself, and is not merged with its own vector"
            )
    coloured = coloured_suite(suite, tasks, values["agreements"])
    ours = plan_coloured(
        coloured, tasks, others, values["methods"], values["seeds"], len(values["agreements"]), **values["recipe"]
    )
    known = values["known"] or None
    return [
        *ours.values(),
        *run_configs(suite, others, list(PARTNER.values()), values["seeds"], known, **values["partner_recipe"]),
    ]


def merging(suite: Suite, values: dict) -> list[RunConfig]:
    """Of finished checkpoints nothing is trained."""
    for name in ("checkpoints", "images"):
        if values[name]:
            check_readable(values[name], folder=True)
    if values["checkpoints"]:
        return []
    if values["base"]:
        raise ValueError("parameter base: belongs to a folder of checkpoints, and checkpoints names none")
    tasks = values["tasks"] or list(suite.tasks)
    need_tasks(tasks, 2)
    # Of the penalty a standard training knows nothing; a change to it that nobody accepts is refused here as well.
    run_configs(suite, tasks[:1], ["taujp-efficient"], [values["seed"]], tasks, **values["recipe"])
    return run_configs(suite, tasks, ["standard"], [values["seed"]], **values["recipe"])


def report(suite: None, values: dict) -> list[RunConfig]:
    for name in values["suites"]:
        load_suite(name)
        for table in TABLES:
            load_summary(in_project(values["folder"]), table, name)
    if values["study"] and not (in_project(values["study"]) / PLAN).is_file():
        raise ValueError(f"parameter study: {values['study']} has no {PLAN}, so no study ran there")
    return []


def arena(suite: Suite, values: dict) -> list[RunConfig]:
    from ..merging.arena import check_merges

    tasks = values["tasks"] or list(suite.tasks)
    need_tasks(tasks, 2)
    for name in ("merges", "once", "in_curves"):
        check_merges(values[name])
    if both := sorted({*values["merges"]} & {*values["once"]}):
        raise ValueError(f"parameter once: {', '.join(both)} is among the merges already")
    for count in values["task_counts"]:
        if not 2 <= count <= len(tasks):
            raise ValueError(f"parameter task_counts: must be from 2 to {len(tasks)}, the number of tasks, not {count}")
    return run_configs(suite, tasks, values["methods"], values["seeds"], **values["recipe"])


def need_tasks(tasks: list[str], least: int) -> None:
    if len(tasks) < least:
        number = "one task is" if least == 1 else f"{least} tasks are"
        raise ValueError(f"parameter tasks: at least {number} needed, not {tasks}")


# By a parameter of each kind of notebook, the first that is there; `methods` alone are addition, negation and calibration.
PLANS = {
    "suites": report,
    "objectives": invariance,
    "published": public,
    "checkpoints": merging,
    "agreements": invariant_vectors,
    "task_counts": arena,
    "quadruples": analogy,
    "pair": disentanglement,
    "orders": continual,
    "penalty_weights": probe,
    "train": explorer,
    "task": one_run,
    "methods": addition,
    "tasks": quickstart,
    "warmup_steps": pretraining,
}
