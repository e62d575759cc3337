"""How many workers does this machine take, and by which line does a worker start, here, under Slurm or anywhere?"""

import os
import shlex
import sys
from pathlib import Path

import psutil
import torch

from taujp_core.parameters import bytes_of, device_of
from taujp_core.pretrained import load_clip
from taujp_core.products.memory import graph_bytes
from taujp_core.suites import load_suite
from taujp_core.training.step_images import penalty_images

from ..trainings import run_configs
from .study import Study

KERNEL_BYTES = 2**30  # of a kernel beside its training: Python, torch, pictures
COPIES = 6  # of θ₀ in a training: θ₀, τ, their sum, its gradient, AdamW's two moments


def local_workers(study: Study, count: int | None) -> list[dict[str, str]]:
    """A worker's environment, where it differs from this one's, for each of `count` workers.

    By default one for each visible GPU, which it sees alone, else as many as cores and memory allow. Each takes its
    share of the cores as threads, for two small trainings on a thread each are faster than one after the other on two;
    a number of threads that the environment says already is kept.
    """
    gpus, cores = visible_gpus(), usable_cores()
    if count is None:
        fitting = psutil.virtual_memory().available // training_bytes(study)
        count = len(gpus) or max(1, min(cores, fitting))
    threads = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(max(1, cores // max(1, count)))}
    devices = [{"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {} for number in range(count)]
    return [{**threads, **device} for device in devices]


def visible_gpus() -> list[str]:
    """By their numbers, or as CUDA_VISIBLE_DEVICES names them."""
    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:count] if named else [str(number) for number in range(count)]


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def training_bytes(study: Study) -> int:
    """Memory of the largest training's kernel on a CPU, about: what a step keeps, parameters, and the kernel itself."""
    largest = KERNEL_BYTES
    for name in study.suites:
        suite = load_suite(name)
        clip = load_clip(suite.model, suite.pretrained)
        pixels = torch.zeros(1, 3, clip.image_size, clip.image_size, dtype=torch.uint8, device=device_of(clip.theta0))
        image = graph_bytes(clip.encoder, clip.theta0, pixels)
        tasks = study.tasks or list(suite.tasks)
        for config in run_configs(
            suite, tasks[:1], study.methods, study.seeds[:1], study.known or tasks, **study.recipe
        ):
            images = (config.batch_size + penalty_images(config)) / config.accumulation
            largest = max(largest, KERNEL_BYTES + COPIES * bytes_of(clip.theta0) + round(image * images))
    return largest


def worker_line(scheduler_file: Path) -> list[str]:
    """The command of a worker, wherever it starts; the run store and the scheduler's file must be visible there."""
    return [sys.executable, "-m", "analysis.studies.worker", str(scheduler_file)]


def slurm_script(study: str, line: list[str], folder: Path) -> str:
    """A job array whose jobs are workers: submit it once, or again whenever more workers are wanted."""
    return f"""#!/bin/bash
#SBATCH --job-name={study}
#SBATCH --array=1-8
#SBATCH --gpus=1
#SBATCH --cpus-per-task=4
#SBATCH --requeue
cd {shlex.quote(str(folder))}
exec {shlex.join(line)}
"""
